"""`diagnose()`: what a support case needs, and no id, place, name, number, address or key, whatever the store holds."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greentrip import GreenTrip, State, Stop, Trigger
from greentrip import __version__ as version
from greentrip.diagnose import PROBLEM_KINDS, TALLIES
from greentrip.redaction import REDACTED, whitelisted
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip_server.errors import KINDS
from support.trips import HOME, ride, walk

OpenPhone = Callable[..., GreenTrip]
HOUR_S = 3600
PHONE_NUMBER = "13800000000"


@pytest.fixture
def busy(enrolled: GreenTrip, server: FakeServer, clock: FakeClock) -> GreenTrip:
    """A phone with some history: settled, held, waiting, refused, and a trip in progress."""
    ride(enrolled, clock)
    server.plan(server.results("held"))
    enrolled.sync()
    ride(enrolled, clock)
    enrolled.sync()
    clock.tick(3 * HOUR_S)
    ride(enrolled, clock)
    clock.tick(2 * HOUR_S)
    ride(enrolled, clock)
    server.plan(problem(503, "unavailable", {"Retry-After": "600"}, detail="the database in 东夏园 is down"))
    enrolled.sync(0.5)
    enrolled.start("walk", HOME)
    walk(enrolled, clock, 100)
    return enrolled


def test_the_bundle_says_how_the_queue_is(busy: GreenTrip):
    told = busy.diagnose()
    assert json.loads(json.dumps(told)) == told
    assert told["bundle"] == "greentrip-diagnosis-1"
    assert told["versions"]["greentrip"] == version
    assert told["versions"]["sqlite"] == sqlite3.sqlite_version
    assert told["store"]["integrity"] == "ok"
    assert told["store"]["file_bytes"] > 0
    assert told["queue"]["states"] == {"accepted": 1, "held": 1, "pending": 2}
    assert told["queue"]["exits"] == {"accepted": 1}
    assert told["queue"]["tallies"] == {"recorded": 4}
    assert told["queue"]["pending_age_h"] == {"oldest": 3, "newest": 0}
    assert [(sync["stop"], sync["trigger"], sync["problem"]) for sync in told["syncs"]] == [
        ("done", "person", ""),
        ("done", "person", ""),
        ("wait", "person", "unavailable"),
    ]
    assert [sync["settled"] for sync in told["syncs"]] == [{"held": 1}, {"accepted": 1}, {}]
    assert told["syncs"][0]["hour"] == "2026-03-05T01Z"
    assert told["retry"]["stop"] == "wait"
    assert 0 < told["retry"]["silence_s"] <= 600
    assert told["keys"] == {"seq": 1, "age_h": 9}
    assert told["phone"] == {"enrolled": True, "opted_out": False}
    assert told["settings"] == {"background": False, "send_delay_s": 21600}
    assert REDACTED not in json.dumps(told)


def test_nothing_that_is_told_says_who_or_where(busy: GreenTrip, server: FakeServer):
    text = json.dumps(busy.diagnose(), ensure_ascii=False)
    hidden = [
        *(trip.id for trip in busy.trips()),
        *(place for trip in busy.trips() for leg in trip.legs for place in (leg.start, leg.end)),
        busy.account_id,
        *server.devices,
        *(key.kid for key in server.keys),
        server.root_key,
        PHONE_NUMBER,
        "greentrip.example",
        "39.9",
        "116.4",
    ]
    assert [word for word in hidden if str(word) in text] == []
    assert not re.search(r"[^\x00-\x7f]", text), "no text in the person's language"
    assert not re.search(r"\d{11}", text), "no number as long as a phone number"
    assert not re.search(r"https?:|/", text), "no address and no path"


def test_a_new_phone_has_little_to_tell(phone: GreenTrip):
    told = phone.diagnose()
    assert told["queue"] == {"states": {}, "exits": {}, "tallies": {}, "pending_age_h": None}
    assert told["syncs"] == []
    assert told["keys"] == {"seq": None, "age_h": None}
    assert told["phone"] == {"enrolled": False, "opted_out": False}
    assert REDACTED not in json.dumps(told)


def test_twenty_syncs_are_remembered(enrolled: GreenTrip, clock: FakeClock):
    for _ in range(25):
        ride(enrolled, clock, minutes=30)
        enrolled.sync()
    syncs = enrolled.diagnose()["syncs"]
    assert len(syncs) == 20
    assert syncs[-1]["hour"] == "2026-03-05T12Z"


def test_opting_out_and_the_settings_are_told(open_phone: OpenPhone):
    phone = open_phone(background=True, send_delay_s=60)
    phone.opt_out("keep")
    told = phone.diagnose()
    assert told["phone"] == {"enrolled": False, "opted_out": True}
    assert told["settings"] == {"background": True, "send_delay_s": 60}


def test_the_kind_of_a_problem_is_told_only_when_it_is_one_of_ours(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    for kind in ("too_many", "zhang_san_of_dongxiayuan"):
        ride(enrolled, clock)
        server.plan(problem(503, kind))
        enrolled.sync(0.5)
        clock.tick(24 * HOUR_S)
    assert [sync["problem"] for sync in enrolled.diagnose()["syncs"]] == ["too_many", REDACTED]


def test_all_kinds_of_problem_of_the_server_are_known():
    assert set(KINDS) <= set(PROBLEM_KINDS)


# Whatever the store holds

_KEEP = {
    # What names a row, or what the code must find to work at all; nothing of it is told.
    ("meta", "name"),
    ("session", "boot"),
    ("session", "pid"),
}


def _columns(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Every table, column, and the column that names a row of it."""
    found = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = db.execute(f"PRAGMA table_info({table})").fetchall()
        key = next(name for _, name, *_, place in columns if place == 1)
        found += [(table, name, key) for _, name, *_ in columns]
    return found


def _poison(path: Path, canary: str) -> int:
    """Put a canary into every field of every row; returns how many fields took it."""
    taken = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        for table, column, key in _columns(db):
            if (table, column) in _KEEP:
                continue
            for (row,) in db.execute(f"SELECT {key} FROM {table}").fetchall():  # noqa: S608 - our own names
                with suppress(sqlite3.IntegrityError):  # a key that must be a number, or be there once
                    update = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"  # noqa: S608
                    taken += db.execute(update, (canary, row)).rowcount
    return taken


canaries = st.one_of(
    st.sampled_from([PHONE_NUMBER, "东夏园", "39.9042,116.4074", "https://canary.example", "canary"]),
    st.uuids().map(str),
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=6, max_size=40),
    st.text(min_size=6, max_size=40).filter(lambda text: text.isprintable() and not text.isnumeric()),
    st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True),
)
_WORDS_OF_OURS = (*State, *Stop, *Trigger, *PROBLEM_KINDS, *TALLIES, REDACTED)


@given(canary=canaries)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_canary_in_any_field_is_not_in_the_bundle(
    open_phone: OpenPhone, tmp_path_factory: pytest.TempPathFactory, server: FakeServer, clock: FakeClock, canary: str
):
    folder = tmp_path_factory.mktemp("phone")
    phone = open_phone(folder)
    names = json.dumps(phone.diagnose())  # hypothesis also tries words that it finds in the code
    phone.request_code(PHONE_NUMBER)
    phone.enrol("123456", {"location": "1", "sync": "1"})
    ride(phone, clock)
    server.plan(problem(503, canary, detail=canary))
    phone.sync(0.5)
    ride(phone, clock)
    phone.close()
    (path,) = folder.glob("*.sqlite3")
    assert _poison(path, canary) > 20
    told = json.dumps(open_phone(folder).diagnose(), ensure_ascii=False)
    assert canary not in told or any(canary in word for word in (names, *_WORDS_OF_OURS))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_is_not_on_the_list_is_redacted(value: object):
    word = re.compile("yes|no")
    told = whitelisted(value, {"a": word, "b": [word], "c": {"d": word}})
    assert set(_leaves(told)) <= {"yes", "no", REDACTED, None}


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in ([] if key in "abcd" else [key]) + _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def test_the_list_lets_through_what_is_on_it():
    word = re.compile("yes|no")
    rule = {"a": word, "b": [word], "c": {"d": word}}
    good = {"a": "yes", "b": ["no", "yes"], "c": {"d": None}}
    assert whitelisted(good, rule) == good
    assert whitelisted({"a": "yes and no", "x": "yes"}, rule) == {"a": REDACTED, REDACTED: REDACTED}
    assert whitelisted({"a": ["yes"], "b": "yes", "c": "yes"}, rule) == {
        "a": REDACTED,
        "b": REDACTED,
        "c": REDACTED,
    }


def test_a_file_that_was_moved_aside_is_told(open_phone: OpenPhone, tmp_path: Path, clock: FakeClock):
    phone = open_phone(tmp_path / "one")
    ride(phone, clock)
    phone.close(timeout=0)
    (path,) = (tmp_path / "one").glob("*.sqlite3")
    path.write_bytes(b"garbage" * 1000)
    told = open_phone(tmp_path / "one").diagnose()
    assert told["store"]["corrupt_files"] == 1
    assert told["store"]["integrity"] == "ok"


def test_what_a_captive_portal_said_is_not_told(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    server.plan(httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<h1>Hotel Canary</h1>"))
    enrolled.sync(0.5)
    assert "anary" not in json.dumps(enrolled.diagnose())
