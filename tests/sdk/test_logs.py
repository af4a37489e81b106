"""Promise 21: nothing located or secret is in a log, a warning, an error or an event, at any level."""

import logging
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path

import httpx
import pytest

from greentrip import GreenTrip, GreenTripError, Point
from greentrip.events import StoreReplaced
from greentrip.testing import FakeClock, FakeServer, portal, problem
from support.disk import FAULTS, Disk
from support.trips import FAR_END, ride, walk

OpenPhone = Callable[..., GreenTrip]
START = Point(39.123456, 116.654321)
NUMBER = "13812345678"
CODE = "123456"
STATION = "虎坊桥"
DAY_S = 24 * 3600

A_COORDINATE = re.compile(r"\b(39|116)\.\d{3,}")


class _Everything(logging.Handler):
    """What any logger of this process says at any level, with its arguments."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name} {record.getMessage()} {record.args!r}")
        if record.exc_info:
            self.said.append("".join(traceback.format_exception(*record.exc_info)))


@pytest.fixture
def logged() -> Iterator[list[str]]:
    handler, root = _Everything(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.NOTSET)
    logging.captureWarnings(True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield handler.said
    logging.captureWarnings(False)
    root.setLevel(before)
    root.removeHandler(handler)


def _live(phone: GreenTrip, server: FakeServer, clock: FakeClock) -> Iterator[str]:
    """A life in a few days with all that goes wrong; yields what every error says, and where it says it."""

    def attempt(act: Callable[[], object]) -> str:
        try:
            act()
        except GreenTripError as error:
            return f"{error!r} {error.message('zh')}"
        return ""

    yield attempt(lambda: phone.request_code(NUMBER))
    yield attempt(lambda: phone.enrol("000000", {"location": "2026-03", "sync": "2026-03"}))
    yield attempt(lambda: phone.enrol(CODE, {"location": "2026-03", "sync": "2026-03"}))
    trouble = [
        problem(503, "unavailable", {"Retry-After": "1"}),
        problem(400, "malformed", detail="no"),
        portal(),
        portal(redirect=True),
        httpx.Response(204),
        httpx.ConnectError("no route"),
        server.lose_answer,
        server.cut_answer,
        server.results("held"),
        server.results("something new"),
    ]
    for answer in trouble:
        yield attempt(lambda: phone.start("walk", START))
        yield attempt(lambda: phone.fix(START))
        yield attempt(lambda: walk(phone, clock, 700, START))
        yield attempt(phone.finish)
        yield attempt(lambda: ride(phone, clock))
        server.plan(answer)
        report = phone.sync(timeout=1)
        yield f"{report!r} {report.message()} {report.message('zh')}"
        clock.tick(7 * 3600)
    shown = [trip.id for trip in phone.trips()]
    yield attempt(lambda: phone.erase_trip(shown[0]))
    yield attempt(lambda: phone.repair(timeout=1))
    yield attempt(lambda: phone.suspend())
    yield attempt(lambda: phone.trips())
    yield attempt(lambda: phone.wake())
    yield attempt(lambda: phone.opt_out("keep"))
    yield attempt(lambda: phone.start("walk", START))
    yield attempt(phone.opt_in)
    yield attempt(lambda: phone.switch_account("nobody"))


def _secrets(phone: GreenTrip, server: FakeServer, folder: Path) -> list[str]:
    """What no log may hold: who, where, what leaves the phone, and with which keys."""
    trips = phone.trips()
    keys = [path.read_bytes() for path in folder.rglob("*.key")]
    tokens = {value for request in server.requests for name, value in request.headers.items() if "signature" in name}
    found = [NUMBER, NUMBER[3:], STATION, FAR_END, f"{START.lat}", f"{START.lon}", "39.12", "116.65", phone.account_id]
    found += [key.hex() for key in keys] + [repr(key)[2:-1] for key in keys] + sorted(tokens)
    found += [leg.start for trip in trips for leg in trip.legs] + [leg.end for trip in trips for leg in trip.legs]
    return [one for one in found if one]


def _with_text(told: list[object]) -> list[str]:
    return [f"{event!r} {event.message()} {event.message('zh')}" for event in told]  # type: ignore[attr-defined]


def _assert_clean(lines: list[str], secrets: list[str], ids: list[str]) -> None:
    for line in lines:
        for secret in secrets:
            assert secret not in line, (secret, line)
        assert not A_COORDINATE.search(line), line
        for one in ids:
            assert one not in line, (one, line)


def test_no_logger_is_told_who_or_where(
    open_phone: OpenPhone, server: FakeServer, clock: FakeClock, logged: list[str], tmp_path: Path, capfd
):
    told: list[object] = []
    phone = open_phone(observer=told.append, background=False)
    errors = list(_live(phone, server, clock))
    secrets = _secrets(phone, server, tmp_path)
    ids = [trip.id for trip in phone.trips()]
    said = capfd.readouterr()
    assert len(ids) > 10
    _assert_clean([*logged, *said.out.splitlines(), *said.err.splitlines()], secrets, ids)
    # An app is told the id of its own trip, and shows it to its own person; nothing more.
    _assert_clean(errors, secrets, [])
    _assert_clean(_with_text(told), secrets, [])
    ours = [line for line in logged if line.startswith("greentrip")]
    assert ours == [], "the SDK logs nothing at all"


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_of_the_disk_says_who_or_where(
    open_phone: OpenPhone, server: FakeServer, clock: FakeClock, logged: list[str], tmp_path: Path, fault: str, capfd
):
    disk, told = Disk(), []
    phone = open_phone(connection=disk, observer=told.append)
    phone.request_code(NUMBER)
    phone.enrol(CODE, {"location": "2026-03", "sync": "2026-03"})
    errors: list[str] = []
    for number in range(0, 40, 3):
        phone.start("walk", START)
        walk(phone, clock, 700, START)
        disk.fail(fault, number)
        for act in (lambda: phone.fix(START), phone.finish, phone.sync, phone.trips, lambda: phone.opt_out("keep")):
            try:
                act()
            except GreenTripError as error:
                errors += traceback.format_exception(error)
                errors.append(error.message("zh"))
        disk.mend()
        phone.opt_in()
        with suppress(GreenTripError):
            phone.cancel()
        clock.tick(DAY_S)
    assert errors
    secrets = _secrets(phone, server, tmp_path)
    said = capfd.readouterr()
    ids = [trip.id for trip in phone.trips()]
    lines = [line for text in errors for line in text.splitlines() if "tests/" not in line and "START" not in line]
    _assert_clean(lines, secrets, ids)
    _assert_clean([*logged, *said.out.splitlines(), *said.err.splitlines()], secrets, ids)
    _assert_clean(_with_text(told), secrets, [])


def test_a_damaged_file_is_told_by_its_name_alone(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, logged: list[str], tmp_path: Path
):
    enrolled.start("walk", START)
    walk(enrolled, clock, 700, START)
    enrolled.finish()
    secrets = _secrets(enrolled, server, tmp_path)
    path = enrolled._store.path
    enrolled.close(timeout=0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    told: list[object] = []
    phone = open_phone(observer=told.append)
    assert [type(event) for event in told] == [StoreReplaced]
    phone.sync()
    _assert_clean([*logged, *_with_text(told)], secrets, [])


def test_a_fault_of_ours_is_told_by_its_place_in_the_code_alone(
    open_phone: OpenPhone, server: FakeServer, clock: FakeClock, logged: list[str], monkeypatch: pytest.MonkeyPatch
):
    told: list[object] = []
    phone = open_phone(observer=told.append)
    phone.request_code(NUMBER)
    phone.enrol(CODE, {"location": "2026-03", "sync": "2026-03"})
    ride(phone, clock)

    def broken(*_: object) -> None:
        raise RuntimeError(f"at {START} of {NUMBER}")

    monkeypatch.setattr(phone._sender, "run", broken)
    report = phone.sync()
    assert report.stop.value == "fault"
    assert re.fullmatch(r"RuntimeError at test_logs\.py:\d+", report.detail)
    _assert_clean([*logged, repr(report), *_with_text(told)], [NUMBER, "39.12", "116.65", "Point"], [])


def test_an_event_has_no_room_for_more(open_phone: OpenPhone):
    from greentrip import events

    allowed = {"trip_id", "state", "trigger", "report", "detail", "stop", "until", "path", "seq", "certified"}
    kinds = [kind for kind in vars(events).values() if is_dataclass(kind) and kind.__module__ == events.__name__]
    assert len(kinds) > 8
    for kind in kinds:
        assert {field.name for field in fields(kind)} <= allowed, kind
