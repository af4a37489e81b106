"""`greentrip`, verb by verb: what it prints, in two languages and as JSON, and how it ends."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from greentrip import GreenTrip, State
from greentrip.cli import VERBS, main
from greentrip.receipts import Bundle
from greentrip.signing import signer_of
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip.wire import base64url
from support.trips import ride

HELP_LINES_MAX = 30
HELP_COLUMNS = 80

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(enrolled: GreenTrip, tmp_path: Path, clock: FakeClock) -> Path:
    """The folder of a phone with an account and two trips that wait."""
    for _ in range(2):
        ride(enrolled, clock)
    enrolled.close(timeout=0)
    return tmp_path / "phone"


@pytest.fixture
def run(
    home: Path,
    server: FakeServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a verb on that phone. Returns how it ended, and what it printed on both outputs."""
    opened = partial(GreenTrip.open, transport=server.transport, clock=clock, dice=lambda: 1.0)
    monkeypatch.setattr("greentrip.cli.phone.GreenTrip.open", opened)
    capsys.readouterr()

    def run_it(*words: object, phone: bool = True) -> tuple[int, str, str]:
        where = ("--folder", home, "--root-key", server.root_key) if phone else ()
        status = main([str(word) for word in (*words, *where)])
        return status, *capsys.readouterr()

    return run_it


@pytest.fixture
def synced(run: Run) -> Run:
    """The same, after both trips were accepted."""
    assert run("sync")[0] == 0
    return run


def _told(done: tuple[int, str, str]) -> object:
    assert done[2] == "", "JSON stands alone"
    return json.loads(done[1])


@pytest.mark.parametrize(
    "verb", [*([name] for name in VERBS), *(["receipts", do] for do in ("list", "verify", "export"))]
)
def test_help_fits_a_screen(verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", str(HELP_COLUMNS))
    with pytest.raises(SystemExit) as ended:
        main([*verb, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) <= HELP_LINES_MAX
    assert max(map(len, shown)) <= HELP_COLUMNS


@pytest.mark.parametrize(
    ("verb", "en", "zh"),
    [
        (["trips"], "accepted", "已计入"),
        (["stats"], "recorded", "已记录"),
        (["notices"], "no notices", "暂无通知"),
        (["account"], "balance", "余额"),
        (["repair"], "everything that was due is sent", "待上传的记录均已上传"),
        (["receipts", "list"], "accepted", "已计入"),
        (["receipts", "verify"], "2 proven, 0 not", "2 份已证实，0 份无效"),
        (["opt-out", "--pending", "keep"], "you opted out", "已停止参与"),
        (["opt-in"], "take part again", "已重新参与"),
        (["erase", "--all"], "everything is erased", "已全部删除"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_verb_speaks_two_languages_and_json(synced: Run, verb: list[str], en: str, zh: str):
    assert en in synced(*verb, "--lang", "en")[1]
    assert zh in synced(*verb, "--lang", "zh")[1]
    json.loads(synced(*verb, "--json")[1])


def test_without_a_folder_or_a_key_it_says_what_is_missing(run: Run, tmp_path: Path, server: FakeServer):
    assert "--folder" in run("stats", phone=False)[2]
    assert "--root-key" in run("stats", "--folder", tmp_path / "new", phone=False)[2]
    assert not (tmp_path / "new").exists()


WORDS_OF: dict[str, list[list[str]]] = {
    "answer": [["answer", "some-trip", "walk"]],
    "receipts": [["receipts", "list"], ["receipts", "verify"], ["receipts", "export", "some-trip", "file"]],
    "erase": [["erase", "--all"], ["erase", "some-trip"]],
    "opt-out": [["opt-out", "--pending", "erase"]],
}
"""What must be said to a verb beside the phone."""
MAKE_A_PHONE = {"enrol", "replay"}


@pytest.mark.parametrize(
    "verb",
    [words for name in VERBS if name not in MAKE_A_PHONE for words in WORDS_OF.get(name, [[name]])],
    ids=" ".join,
)
def test_no_other_verb_makes_a_phone_that_is_not_there(
    run: Run, verb: list[str], tmp_path: Path, home: Path, server: FakeServer
):
    """Else a mistyped folder would look erased, a wrong key would prove all of no receipts, and an empty store stay."""
    other = base64url(signer_of(b"\x66" * 32).public_key)
    for folder, key in ((tmp_path / "new", server.root_key), (home, other)):
        status, printed, said = run(*verb, "--folder", folder, "--root-key", key, "--lang", "en", phone=False)
        assert (status, printed, "has no data for this server" in said) == (1, "", True)
    assert not (tmp_path / "new").exists()
    assert len(list(home.glob("*.sqlite3"))) == 1


# Receipts


def test_receipts_are_listed(synced: Run, server: FakeServer):
    told = _told(synced("receipts", "list", "--json"))
    assert [(item["status"], item["signed_at"], item["key"]) for item in told] == [
        ("accepted", server.now.isoformat(), server.keys[0].kid)
    ] * 2
    assert {item["trip"] for item in told} == set(server.records)


def test_before_a_sync_there_are_no_receipts(run: Run):
    assert run("receipts", "list", "--lang", "en")[:2] == (0, "no receipts yet: they come with sync\n")
    assert run("receipts", "verify", "--lang", "en")[:2] == (0, "no receipts yet: they come with sync\n")
    assert _told(run("receipts", "verify", "--json")) == []


def test_receipts_are_verified_without_a_network(synced: Run, server: FakeServer):
    server.requests.clear()
    status, printed, _ = synced("receipts", "verify", "--lang", "en")
    assert status == 0
    assert printed.count("2026-03-05T") == 2
    assert printed.count(server.keys[0].kid) == 2
    told = _told(synced("receipts", "verify", "--json"))
    assert [item["proven"] for item in told] == [True, True]
    assert [item["proof"]["trip"] for item in told] == [item["receipt"] for item in told]
    assert told[0]["proof"]["official_mg"] == 2_517_120
    assert server.requests == []


def test_one_trips_receipt_is_verified(synced: Run, server: FakeServer):
    trip = next(iter(server.records))
    (only,) = _told(synced("receipts", "verify", trip[:13], "--json"))
    assert only["receipt"] == trip
    assert "0 trips begin with" in synced("receipts", "verify", "zz", "--lang", "en")[2]


def test_a_receipt_that_proves_nothing_is_said_and_ends_with_1(
    synced: Run, server: FakeServer, home: Path, clock: FakeClock
):
    (path,) = home.glob("*.sqlite3")
    changed = "CAST(replace(result_line, 'accepted', 'rejected') AS BLOB)"
    _change(path, f"UPDATE queue SET result_line = {changed} WHERE seq = 1")  # noqa: S608 - our own names
    status, printed, _ = synced("receipts", "verify", "--lang", "en")
    assert status == 1
    assert "proves nothing" in printed
    assert "the receipt is for other bytes" in printed
    assert "1 proven, 1 not" in printed
    bad, good = _told(synced("receipts", "verify", "--json"))
    assert (bad["proven"], bad["proof"], good["proven"]) == (False, None, True)
    assert "无效" in synced("receipts", "verify", "--lang", "zh")[1]


@pytest.mark.parametrize("column", ["jws", "device", "request_lines", "answer_lines", "at"])
def test_a_damaged_receipt_is_no_crash(synced: Run, home: Path, column: str):
    (path,) = home.glob("*.sqlite3")
    _change(path, f"UPDATE receipt SET {column} = 'damaged'")  # noqa: S608 - our own names
    assert synced("receipts", "list")[0] == 0
    status, printed, _ = synced("receipts", "verify", "--lang", "en")
    assert (status, "0 proven, 2 not" in printed) == (1, True)


def test_an_exported_receipt_is_verified_with_the_root_key_alone(synced: Run, server: FakeServer, tmp_path: Path):
    trip, file = next(iter(server.records)), tmp_path / "receipt.json"
    status, printed, _ = synced("receipts", "export", trip, file, "--lang", "en")
    assert (status, str(file) in printed) == (0, True)
    assert file.stat().st_mode & 0o077 == 0, "it is about a trip"
    key = ("--root-key", server.root_key)
    status, printed, _ = synced("receipts", "verify", file, *key, "--lang", "en", phone=False)
    assert (status, "1 proven, 0 not" in printed) == (0, True)
    (told,) = _told(synced("receipts", "verify", file, *key, "--json", phone=False))
    assert told["proof"]["trip"] == trip
    file.write_bytes(file.read_bytes().replace(b'"slot', b'"slit'))
    status, printed, _ = synced("receipts", "verify", file, *key, "--lang", "en", phone=False)
    assert (status, "proves nothing" in printed) == (1, True)
    assert "--root-key" in synced("receipts", "verify", file, phone=False)[2]


def test_a_root_key_that_is_none_is_not_blamed_on_the_receipts(synced: Run, server: FakeServer, tmp_path: Path):
    trip, file = next(iter(server.records)), tmp_path / "receipt.json"
    synced("receipts", "export", trip, file)
    status, printed, said = synced("receipts", "verify", file, "--root-key", "short", "--lang", "en", phone=False)
    assert (status, printed, "43 characters" in said) == (1, "", True)
    other = base64url(signer_of(b"\x66" * 32).public_key)
    for lang, why in (("en", "not by this root key"), ("zh", "请核对服务器的根公钥")):
        printed = synced("receipts", "verify", file, "--root-key", other, "--lang", lang, phone=False)[1]
        assert why in printed
        assert "settled" not in printed
        assert "结算" not in printed


def test_a_file_is_never_overwritten(synced: Run, server: FakeServer, tmp_path: Path):
    trip, file = next(iter(server.records)), tmp_path / "receipt.json"
    file.write_text("mine")
    status, _, said = synced("receipts", "export", trip, file, "--lang", "en")
    assert (status, "choose another" in said, file.read_text()) == (1, True, "mine")
    assert synced("receipts", "export", trip, tmp_path / "no" / "folder", "--lang", "en")[0] == 1


def test_a_file_that_is_not_there_or_no_receipt_is_said(run: Run, server: FakeServer, tmp_path: Path):
    key = ("--root-key", server.root_key)
    status, _, said = run("receipts", "verify", tmp_path / "lost.json", *key, "--lang", "en", phone=False)
    assert (status, "is no file" in said) == (1, True)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    status, printed, _ = run("receipts", "verify", tmp_path / "photo.jpg", *key, "--lang", "en", phone=False)
    assert (status, "this is no receipt of greentrip" in printed) == (1, True)


def test_a_status_of_a_later_version_is_shown_as_it_is(
    synced: Run, home: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer
):
    from greentrip import receipts

    check = receipts.check_bundle
    monkeypatch.setattr(receipts, "check_bundle", lambda bundle, key: replace(check(bundle, key), status="issued"))
    assert "issued" in synced("receipts", "verify", "--lang", "zh")[1]


# A support case


def test_diagnose_prints_the_bundle(synced: Run, server: FakeServer, tmp_path: Path):
    server.requests.clear()
    told = json.loads(synced("diagnose")[1])
    assert told["queue"]["exits"] == {"accepted": 2}
    assert told["syncs"][-1]["stop"] == "done"
    file = tmp_path / "case.json"
    status, printed, _ = synced("diagnose", "--out", file, "--lang", "en")
    assert (status, str(file) in printed) == (0, True)
    assert json.loads(file.read_text()).keys() == told.keys()
    assert file.stat().st_mode & 0o077 == 0
    assert _told(synced("diagnose", "--out", tmp_path / "other.json", "--json")) == {
        "file": str(tmp_path / "other.json")
    }
    assert synced("diagnose", "--out", file)[0] == 1, "never overwritten"
    assert server.requests == []


# What the person takes back


def test_a_trip_is_erased(synced: Run, server: FakeServer):
    trip = next(iter(server.records))
    assert _told(synced("erase", trip[:8], "--json")) == {"erased": trip}
    assert len(_told(synced("trips", "--json"))) == 1
    assert synced("sync")[0] == 0
    assert server.records[trip].status is State.ERASED


def test_everything_is_erased(synced: Run, server: FakeServer):
    assert _told(synced("erase", "--all", "--json")) == {"erased": "all", "certified": True}
    assert _told(synced("trips", "--json")) == []
    assert server.accounts["account-1"].erased


def test_a_phone_that_lost_its_key_says_who_can_erase_the_account(synced: Run, server: FakeServer, home: Path):
    for key in home.rglob("*.key"):
        key.unlink()
    status, printed, _ = synced("erase", "--all", "--lang", "en")
    assert (status, "ask the operator" in printed) == (0, True)
    assert _told(synced("trips", "--json")) == []
    assert not server.accounts["account-1"].erased


def test_an_order_that_waits_is_said_so(synced: Run, server: FakeServer):
    server.plan(*[problem(503)] * 100, path="/v1/erasure")
    assert "waits until it is confirmed" in synced("erase", "--all", "--lang", "en")[1]


def test_everything_is_erased_here_also_without_a_server(synced: Run, server: FakeServer):
    server.plan(*[problem(503)] * 100, path="/v1/erasure")
    assert _told(synced("erase", "--all", "--json")) == {"erased": "all", "certified": False}
    assert _told(synced("trips", "--json")) == []
    assert not server.accounts["account-1"].erased


@pytest.mark.parametrize("words", [[], ["some-trip", "--all"]], ids=["nothing", "both"])
def test_erase_is_told_what(run: Run, words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        run("erase", *words)
    assert ended.value.code == 2


@pytest.mark.parametrize(("pending", "left"), [("keep", 2), ("erase", 0)])
def test_opting_out_and_in(run: Run, server: FakeServer, pending: str, left: int):
    assert _told(run("opt-out", "--pending", pending, "--json")) == {"opted_out": True, "pending": pending}
    assert run("sync", "--json")[0] == 1
    assert server.posted == []
    assert len(_told(run("trips", "--json"))) == left
    assert _told(run("opt-in", "--json")) == {"opted_out": False}
    assert run("sync")[0] == 0
    assert len(server.records) == left


# The rest


def test_stats_count_everything(run: Run, server: FakeServer):
    rule = {"rule": "speed", "severity": "soft", "en": "too fast", "zh": "速度过快"}
    server.plan(server.results("rejected", rules=[rule]))
    run("sync")
    told = _told(run("stats", "--json"))
    assert (told["recorded"], told["exits"], told["rules"]) == (2, {"rejected": 2}, {"speed": 2})
    printed = run("stats", "--lang", "en")[1]
    assert re.search(r"^left the queue: rejected +2$", printed, re.MULTILINE)
    assert re.search(r"^rule speed +2$", printed, re.MULTILINE)


@pytest.mark.parametrize(("lang", "both"), [("en", {"in the queue", "pending"}), ("zh", {"上传队列中", "待上传"})])
def test_stats_have_a_word_for_each_count(run: Run, lang: str, both: set[str]):
    printed = run("stats", "--lang", lang)[1].splitlines()
    named = [re.sub(r" +\d+$", "", line) for line in printed]
    assert both <= set(named)
    assert len(named) == len(set(named))


def test_notices_say_what_was_decided(synced: Run, server: FakeServer):
    trip = next(iter(server.records))
    server.accounts["account-1"].erase([trip], server.now)
    printed = synced("notices", "--lang", "en")[1]
    assert re.search(rf"^ +1 .* erased by you +{trip} +erased$", printed, re.MULTILINE)
    assert re.search(rf"^ +1 .* 您已删除 +{trip} +已删除$", synced("notices", "--lang", "zh")[1], re.MULTILINE)
    assert "删除出行" in synced("account", "--lang", "zh")[1]
    (told,) = _told(synced("notices", "--json"))
    assert (told["number"], told["kind"], told["trip"], told["status"]) == (1, "erasure", trip, "erased")


def test_repair_sends_what_the_server_lost(synced: Run, server: FakeServer):
    before = dict(server.records)
    server.accounts["account-1"].trips.clear()
    server.accounts["account-1"]._ids.clear()
    assert synced("repair", "--json")[0] == 0
    assert server.records.keys() == before.keys()


def test_a_server_that_says_no_is_told_and_ends_with_1(run: Run, server: FakeServer):
    server.plan(problem(403, "consent", detail="no consent", detail_zh="未获同意"), path="/v1/notices")
    assert run("notices", "--lang", "zh")[::2] == (1, "未获同意\n")


def _change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute(statement).rowcount


def test_what_was_exported_can_be_read_by_a_program(synced: Run, server: FakeServer, tmp_path: Path):
    trip, file = next(iter(server.records)), tmp_path / "receipt.json"
    synced("receipts", "export", trip, file)
    assert Bundle.from_bytes(file.read_bytes()).record.encode() == server.records[trip].line
