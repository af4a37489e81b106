"""What errors say to a person: whole sentences in the person's own language; the rest is for developers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import greentrip
from greentrip import errors
from greentrip.errors import InvalidInput, Refused, Unproven, Unreachable, Untrusted
from greentrip.states import State
from greentrip.words import server_word
from greentrip_server.ledger.service import TransferKind
from greentrip_server.notices.models import NoticeKind

SDK = Path(greentrip.__file__).parent
LATIN = re.compile(r"[A-Za-z]{2,}")
NAMED = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, InvalidInput) and name != "BadFile"
}
"""The errors that begin with the name of a field."""

Call = tuple[str, ast.Call]


def _trees() -> Iterator[ast.Module]:
    """Of what runs on a phone: not of the tools that make packs, nor of the doubles."""
    for path in SDK.rglob("*.py"):
        if path.relative_to(SDK).parts[0] in ("packs", "testing"):
            continue
        yield ast.parse(path.read_text("utf-8"))


def _calls(tree: ast.AST) -> Iterator[Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr, node


def _takes_field() -> dict[str, int]:
    """The functions of the SDK that are told which field to blame, and at which place (without `self`)."""
    found = {}
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                names = [argument.arg for argument in node.args.args if argument.arg != "self"]
                if "field" in names:
                    found[node.name] = names.index("field")
    return found


def _fields() -> set[str]:
    """Every name of a field that is written down where an `InvalidInput` of the SDK begins."""
    places = _takes_field() | dict.fromkeys(NAMED, 0)
    found = set()
    for tree in _trees():
        for name, call in _calls(tree):
            place = places.get(name)
            argument = call.args[place] if place is not None and place < len(call.args) else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.add(argument.value)
    return found


def test_every_field_has_a_chinese_name():
    """Options and their values (--folder, FILE) stand as they are typed."""
    fields = {name for name in _fields() if not name.startswith("--") and not name.isupper()}
    assert {"trip", "account", "pending", "receipt", "send_delay_s", "station", "end"} <= fields
    assert [name for name in sorted(fields) if LATIN.search(InvalidInput(name, "", "").message("zh"))] == []


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("ConnectError"),
        Untrusted("the receipt is for other bytes"),
        Unproven("the receipt is for other bytes", "内容不符"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_commuter_reads_no_words_for_developers(error: greentrip.ServerError):
    assert not LATIN.search(error.message("zh"))
    assert re.search("ConnectError|other bytes", str(error))


def test_a_refusal_without_chinese_words_says_its_status():
    assert Refused(403, {"title": "no consent"}).message("zh") == "服务器拒绝了请求（HTTP 403）"
    assert str(Refused(403, {"title": "no consent"})) == "no consent"


def test_what_benefits_a_commuter_is_said_in_chinese():
    assert "另一个账户" in Untrusted("the server names another account", "服务器给出的是另一个账户").message("zh")


def test_a_receipt_that_proves_nothing_speaks_of_no_sending():
    error = Unproven("at does not fit", "签署时间不符")
    assert isinstance(error, Untrusted)
    assert str(error) == "the receipt proves nothing: at does not fit"
    assert error.message("zh") == "该凭证无效：签署时间不符"


@pytest.mark.parametrize("name", [*NoticeKind, *TransferKind, *State])
def test_every_word_of_the_server_is_said_in_two_languages(name: str):
    assert "_" not in server_word(name, "en")
    assert not LATIN.search(server_word(name, "zh"))


def test_a_word_of_a_later_server_is_shown_as_it_is():
    assert server_word("issued", "zh") == "issued"
