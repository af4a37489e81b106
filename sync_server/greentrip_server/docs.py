"""The pages of docs/reference/ that are made from the code, so that they cannot say anything else.

`python -m greentrip_server.docs` writes them again (`make docs`); a test compares them with what is committed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast, get_args, get_origin

import click
from pydantic.fields import FieldInfo

import greentrip
import greentrip.cli
import greentrip.errors
import greentrip.packs.cli
from greentrip_server import cli, errors, openapi
from greentrip_server.app import ROUTES
from greentrip_server.checks.reference import markdown as checks_page
from greentrip_server.errors import KINDS, Problem
from greentrip_server.settings import Settings

FOLDER = Path("docs") / "reference"
_AGAIN = "<!-- Generated: make docs -->\n"
_CLI = """\
Three programs: `greentrip` comes with the SDK and plays a phone on a computer; `greentrip-pack` comes with it too and
makes the region pack of an app; `greentrip-server` runs and looks after a server. Every verb answers `--help`. All end
with status 0 when all went well, 1 when not, and 2 when the command line or a setting is wrong.
"""
_SETTINGS = """\
All settings come from the environment; no file is read. An empty variable counts as not set. What is wrong is named,
all at once, before anything starts, and the program ends with status 2. With `GREENTRIP_ENVIRONMENT=production` the
server refuses to start until it has a phone hash key, its three key files and a code sender other than `log`, and
until the database is of its version; [how to run a server](../how-to/run-a-server.md) goes through that.
"""
_PROBLEMS = f"""\
An answer with status 400 or above is an RFC 9457 document, `application/problem+json`. Its `type` is
`/problems/<kind>`, an address of the server that shows what stands here; its members `title`, `detail`, `title_zh` and
`detail_zh` say it in English and Chinese. `type` and the members named below are for programs and stay; the sentences
may change. An answer with status 401 carries `WWW-Authenticate: {errors.SIGNATURE_CHALLENGE}`. Problems are not signed,
with one exception: [`clock`](#clock) carries a receipt, since a phone sets its clock by it. The SDK raises `Refused`,
with the document in `problem` and the kind in `kind`.
"""
_COMMON_MEMBERS = ("type", "title", "title_zh", "status", "detail", "detail_zh")


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "checks.md": checks_page(),
        "cli.md": cli_page(),
        "openapi.json": openapi.snapshot(ROUTES),
        "problems.md": problems_page(),
        "settings.md": settings_page(),
    }


# --- the command line ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Verb:
    """One thing that a program can do. `words`: how each argument and option is written, and what it is for."""

    name: str
    text: str
    words: Sequence[tuple[str, str]]


def cli_page() -> str:
    """docs/reference/cli.md."""
    return "\n".join(
        [
            "# Command line\n",
            _AGAIN,
            _CLI,
            "## greentrip\n",
            f"{greentrip.cli.__doc__ or ''}\n",
            "[How to prove a receipt](../how-to/prove-a-receipt.md) and [how to support a case]"
            "(../how-to/support-a-case.md) show some of them at work.\n",
            *map(_verb, _argparse_verbs(greentrip.cli._parser())),
            "## greentrip-pack\n",
            f"{greentrip.packs.cli.__doc__ or ''}\n",
            "[How to build a region pack](../how-to/build-a-region-pack.md) shows them at work.\n",
            *map(_verb, _argparse_verbs(greentrip.packs.cli._parser())),
            "## greentrip-server\n",
            f"{cli.cli.help}\n",
            "`--version` prints the version. The settings are on [a page of their own](settings.md).\n",
            *map(_verb, _click_verbs(cli.cli, "greentrip-server")),
        ]
    )


def _verb(verb: _Verb) -> str:
    table = _table(("argument", "what it is"), [(f"`{word}`", text) for word, text in verb.words])
    return f"### `{verb.name}`\n\n{verb.text}\n\n{table}"


def _argparse_verbs(parser: argparse.ArgumentParser) -> Iterator[_Verb]:
    (verbs,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for verb in cast("Mapping[str, argparse.ArgumentParser]", verbs.choices).values():
        if any(isinstance(action, argparse._SubParsersAction) for action in verb._actions):
            yield from _argparse_verbs(verb)
            continue
        words = [_argparse_word(action) for action in verb._actions if not isinstance(action, argparse._HelpAction)]
        # As for the other program: what stands by itself first, then options.
        words.sort(key=lambda word: word[0].startswith("-"))
        yield _Verb(verb.prog, _sentence(verb.description or ""), words)


def _argparse_word(action: argparse.Action) -> tuple[str, str]:
    if not action.option_strings:
        word = f"[{action.metavar}]" if action.nargs == "?" else f"{action.metavar}{'...' if action.nargs else ''}"
        return word, _sentence(action.help or "")
    value = "" if action.nargs == 0 else f" {action.metavar or _choices(action.choices) or action.dest.upper()}"
    needed = " Required." if action.required else ""
    return ", ".join(action.option_strings) + value, _sentence(action.help or "") + needed


def _click_verbs(group: click.Group, path: str) -> Iterator[_Verb]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _click_verbs(command, f"{path} {name}")
        else:
            words = [_click_word(parameter) for parameter in command.params]
            words.sort(key=lambda word: word[0].startswith("-"))
            yield _Verb(f"{path} {name}", (command.help or "").strip(), words)


def _click_word(parameter: click.Parameter) -> tuple[str, str]:
    if not isinstance(parameter, click.Option):
        return (parameter.name or "").upper(), "Required." if parameter.required else ""
    choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else None
    plain = parameter.type.name.upper().removesuffix(" RANGE")
    value = "" if parameter.is_flag else f" {parameter.metavar or _choices(choices) or plain}"
    text = parameter.help or ""
    if parameter.show_default:
        text += f" Default: {parameter.default}."
    if parameter.multiple:
        text += " May be given several times."
    return ", ".join(parameter.opts) + value, text


def _choices(choices: object) -> str:
    return "|".join(map(str, cast("Sequence[object]", choices))) if choices else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


# --- settings --------------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """docs/reference/settings.md."""
    rows = [
        (f"`GREENTRIP_{name.upper()}`", field.description or "", _kind(field), _default(name, field))
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Settings of the server\n",
            _AGAIN,
            _SETTINGS,
            _table(("setting", "what it is", "values", "default"), rows),
        ]
    )


def _kind(field: FieldInfo) -> str:
    types = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    names = {"str": "text", "Path": "path", "int": "integer", "float": "number", "SecretStr": "secret"}
    bounds = [
        f"{sign} {value}"
        for sign, word in ((">", "gt"), ("at least", "ge"), ("at most", "le"))
        for item in field.metadata
        if (value := getattr(item, word, None)) is not None
    ]
    return ", ".join([*(names[kind.__name__] for kind in types), *bounds])


def _default(name: str, field: FieldInfo) -> str:
    folder = Path("<GREENTRIP_DATA_DIR>")
    value = field.get_default(call_default_factory=True, validated_data={"data_dir": folder})
    if value is None:
        made = name == "phone_hash_key"
        return "none; development makes one in `<GREENTRIP_DATA_DIR>/phone_hash_key`" if made else "none"
    return f"`{value.as_posix() if isinstance(value, Path) else value}`"


# --- problems --------------------------------------------------------------------------------------------------------


def problems_page() -> str:
    """docs/reference/problems.md."""
    rows = [(f"[`{kind}`](#{kind})", str(known.status), known.title_en, known.title_zh) for kind, known in _by_status()]
    return (
        "\n".join(
            [
                "# Problems\n",
                _AGAIN,
                _PROBLEMS,
                _table(("kind", "status", "title", "标题"), rows),
                *(_kind_section(kind) for kind, _ in _by_status()),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _by_status() -> list[tuple[str, errors.Kind]]:
    return sorted(KINDS.items(), key=lambda item: item[1].status)


def _kind_section(kind: str) -> str:
    known, example = KINDS[kind], _EXAMPLES[kind]
    document = example.document()
    more = {key: value for key, value in document.items() if key not in _COMMON_MEMBERS}
    lines = [
        f"## {kind}\n",
        f"{known.status}. {known.title_en}. {known.title_zh}。\n",
        f"- {known.remedy_en}",
        f"- {known.remedy_zh}",
    ]
    if more:
        members = ", ".join(f"`{key}`" for key in more)
        lines.append(f"- Further members: {members}; here {json.dumps(more, ensure_ascii=False)[1:-1]}.")
    headers = {name: value for name, value in example.headers().items() if name == "Retry-After"}
    if headers:
        lines.append("- Header: `Retry-After`, in seconds.")
    lines.append(f"- For example: “{example.detail_en}” “{example.detail_zh}”\n")
    return "\n".join(lines)


_EXAMPLES: Mapping[str, Problem] = {
    problem.kind: problem
    for problem in (
        errors.malformed("phone", "Expected `str`, got `int`", "缺失或格式不正确"),
        errors.signature("digest", "does not fit this request", "与本次请求不符"),
        errors.clock(datetime(2026, 3, 5, 8, 30, 15, tzinfo=UTC)),
        errors.unknown_device(),
        errors.consent("sync"),
        errors.device_ended(),
        errors.not_found("address", "地址"),
        Problem("method_not_allowed", "not at this address", "该地址不支持此方法"),
        errors.timeout(5),
        errors.too_large(266240),
        errors.media_type("application/x-ndjson"),
        errors.invalid(
            "phone",
            "must be a mobile number of 11 digits, or one with its country code such as +85291234567",
            "请填写 11 位手机号码，或带国家/地区代码的号码（如 +85291234567）",
        ),
        errors.code_wrong(4),
        errors.code_expired(),
        errors.upgrade(),
        errors.too_many(1200),
        errors.internal(),
        errors.unavailable(30),
    )
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def with_parts(page: str) -> str:
    """docs/reference/sdk.md, which is written by hand, with its generated parts as the code has them now."""
    for name, text in (("errors", _errors()), ("stops", _stops())):
        before, begin, rest = page.partition(f"<!-- Generated from here: make docs ({name}) -->\n")
        _, end, after = rest.partition("<!-- To here -->\n")
        page = "".join((before, begin, text, end, after)) if end else page
    return page


def _errors() -> str:
    lines = (greentrip.errors.__doc__ or "").splitlines()
    tree = [line.removeprefix("    ") for line in lines if line.startswith("    ")]
    return "\n".join(["```text", *tree, "```\n"])


def _stops() -> str:
    reports = [greentrip.SyncReport(stop=stop) for stop in greentrip.Stop]
    return _table(("`Stop`", "English", "中文"), [(f"`{r.stop}`", r.message("en"), r.message("zh")) for r in reports])


def main(folder: Path = FOLDER) -> int:
    """Write every page into a folder, from the root of the repository by default."""
    if not folder.is_dir():
        print(f"{folder} is not here: run this in the root of the repository", file=sys.stderr)
        return 1
    for name, text in pages().items():
        # The bytes, not the text: a committed file must not depend on the platform.
        (folder / name).write_bytes(text.encode("utf-8"))
    if (sdk := folder / "sdk.md").is_file():
        sdk.write_bytes(with_parts(sdk.read_text(encoding="utf-8")).encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
