"""The one public door: what it shows, that all of it is explained, and that its types are what the docs say."""

import ast
import inspect
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import greentrip
import greentrip.errors
import greentrip.methodology
import greentrip.signing
import greentrip.testing
from greentrip import GreenTripError, errors

ROOT = Path(__file__).resolve().parents[2]
TYPING = ROOT / "tests" / "typing"


@pytest.mark.parametrize(
    "module", [greentrip, greentrip.testing, greentrip.methodology, greentrip.signing], ids=lambda m: m.__name__
)
def test_all_is_sorted_and_equals_what_is_visible(module: types.ModuleType):
    listed = module.__all__
    assert listed == sorted(listed)
    assert len(listed) == len(set(listed))
    for name in listed:
        assert hasattr(module, name), name
    if module in (greentrip, greentrip.testing):
        # What else is visible are the package's own modules and the names of the language.
        visible = {name for name, value in vars(module).items() if not name.startswith("_")}
        visible -= {name for name in visible if isinstance(getattr(module, name), types.ModuleType)}
        assert visible - {"annotations"} == set(listed)


def test_the_errors_are_all_at_the_public_door():
    assert set(errors.__all__) <= set(greentrip.__all__)
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert classes == set(errors.__all__)


def _drawn_tree() -> dict[str, str | None]:
    """Class -> base, as drawn in the docstring."""
    found: dict[str, str | None] = {}
    way: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"    ([│├└─ ]*)([A-Z]\w+)(?:  |$)", line)
        if drawn:
            depth = len(drawn[1]) // 4
            del way[depth:]
            found[drawn[2]] = way[-1] if way else None
            way.append(drawn[2])
    return found


def test_the_tree_of_errors_is_as_drawn():
    real = {
        name: None if name == "GreenTripError" else getattr(errors, name).__bases__[0].__name__
        for name in errors.__all__
    }
    assert _drawn_tree() == real


def test_every_error_is_one_except_away():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), GreenTripError)
    assert issubclass(errors.InvalidInput, ValueError), "for callers who know Python and not us"


def _public_things() -> Iterator[tuple[str, object]]:
    for module in (greentrip, greentrip.testing):
        for name in module.__all__:
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing) and thing.__module__.startswith("greentrip"):
                for attribute, value in vars(thing).items():
                    plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                    if not attribute.startswith("_") and isinstance(plain, types.FunctionType | property):
                        yield f"{module.__name__}.{name}.{attribute}", plain


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*each, id=each[0]) for each in _public_things()])
def test_what_is_public_is_explained(name: str, thing: object):
    doc = (thing.__doc__ or "").strip()
    if _explained_by_protocol(name) or _says_it_in_its_name(name):
        return
    assert doc, f"{name} has no docstring"
    assert not doc.startswith(f"{name.rpartition('.')[2]}("), f"{name} has the docstring that dataclass makes"


def _explained_by_protocol(name: str) -> bool:
    """Methods of SystemClock, FileSecrets and FakeClock do what `Clock` and `SecretStore` say."""
    protocols = {"SystemClock": greentrip.Clock, "FakeClock": greentrip.Clock, "FileSecrets": greentrip.SecretStore}
    _, _, rest = name.removeprefix("greentrip.testing.").rpartition("greentrip.")
    cls, _, method = rest.partition(".")
    return bool(method and cls in protocols and getattr(protocols[cls], method, None) is not None)


def _says_it_in_its_name(name: str) -> bool:
    return name.rpartition(".")[2] in {"en", "zh", "text", "duration_s", "cut", "restore"}


def _annotations(thing: object) -> Iterator[str]:
    plain = thing.fget if isinstance(thing, property) else thing
    if isinstance(plain, types.FunctionType):
        signature = inspect.signature(plain)
        yield str(signature.return_annotation)
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls"):
                yield str(parameter.annotation)


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*each, id=each[0]) for each in _public_things()])
def test_no_public_signature_says_any_or_nothing(name: str, thing: object):
    for annotation in _annotations(thing):
        assert annotation != str(inspect.Parameter.empty), name
        assert not re.search(r"\bAny\b", annotation), name


def test_each_module_says_what_it_is_for():
    for path in (ROOT / "sdk" / "greentrip").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path


def test_the_version_is_that_of_the_distribution():
    text = (ROOT / "sdk" / "pyproject.toml").read_text()
    assert f'version = "{greentrip.__version__}"' in text
    assert (ROOT / "sdk" / "greentrip" / "py.typed").is_file()


@pytest.mark.parametrize("file", sorted(TYPING.glob("*.py")), ids=lambda file: file.stem)
def test_typical_use_has_the_types_that_it_should(file: Path, tmp_path: Path):
    """mypy proves each assert_type; an unused ignore is an error, so what must be refused is refused."""
    pytest.importorskip("mypy")
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--no-incremental",
            "--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path, file,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_files_of_typical_use():
    assert [file.stem for file in sorted(TYPING.glob("*.py"))], "tests/typing is empty"
