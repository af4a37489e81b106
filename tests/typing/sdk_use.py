"""Typical use of the SDK. Not run: mypy proves the types (tests/sdk/test_public_api.py)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

from greentrip import (
    Account,
    ActiveTrip,
    Clock,
    Entry,
    FileSecrets,
    FixRequest,
    GreenTrip,
    GreenTripError,
    InvalidInput,
    LegView,
    Methodology,
    Mode,
    Network,
    Point,
    Reason,
    Receipt,
    Refused,
    Sampling,
    SecretStore,
    State,
    Station,
    Stats,
    Stop,
    Suggestion,
    SyncReport,
    SystemClock,
    TripView,
    UnknownStation,
    gap_text,
    needs,
)
from greentrip.testing import FakeClock


class KeyStore:
    """What an app puts in place of FileSecrets."""

    def load(self, name: str) -> bytes | None:
        return None

    def save(self, name: str, secret: bytes) -> None: ...

    def erase(self, name: str) -> None: ...


def open_it(folder: Path, methodology: Methodology) -> GreenTrip:
    secrets: SecretStore = KeyStore()
    secrets = FileSecrets(folder)
    clock: Clock = SystemClock()
    clock = FakeClock()
    return GreenTrip.open(
        folder, server="https://x", root_key="k", network=Network.sample(), methodology=methodology, secrets=secrets,
        clock=clock, dice=lambda: 0.5,
    )  # fmt: skip


def record(green: GreenTrip) -> None:
    green.start(Mode.RAIL, Station("虎坊桥"))
    green.start("rail", "虎坊桥", at=datetime.now(UTC))
    green.switch("walk", Point(39.9, 116.4), changes=["双井"], at=1.0)
    green.fix(Point(39.9, 116.4), accuracy_m=5, mock=False)
    assert_type(green.resume(), ActiveTrip)
    assert_type(green.active, ActiveTrip | None)
    assert_type(green.next_fix(saver=True, moving=False), FixRequest)
    assert_type(green.next_fix().interval_s, int | None)
    assert_type(green.sampling_report(), tuple[Sampling, ...])
    suggestion = green.suggestion()
    assert_type(suggestion, Suggestion | None)
    if suggestion is not None:
        green.switch(suggestion.mode or "bus", suggestion.place, at=suggestion.at)
        green.finish(suggestion.place, at=suggestion.at)
        green.decline(suggestion)
    trip = green.finish("东夏园", changes=("双井", "呼家楼"))
    assert_type([gap_text(gap, "zh") for leg in trip.legs for gap in leg.gaps], list[str])
    assert_type(trip, TripView)
    assert_type(trip.legs, tuple[LegView, ...])
    assert_type(trip.legs[0].reasons, tuple[Reason, ...])
    assert_type(trip.legs[0].reasons[0].text("zh"), str)
    assert_type(trip.reduction_mg, int)
    assert_type(trip.official_mg, int | None)
    assert_type(trip.started_at, datetime)
    assert_type(trip.state, State)
    assert_type(green.trips(), list[TripView])
    assert_type(needs(Mode.BUS), str)


def send(green: GreenTrip) -> None:
    green.request_code("13800000000")
    assert_type(green.enrol("123456", {"programme": "2026-03"}), str)
    assert_type(green.account_id, str | None)
    report = green.sync(timeout=5)
    assert_type(report, SyncReport)
    assert_type(report.settled, dict[State, int])
    assert_type(report.stop, Stop)
    assert_type(green.account(), Account)
    assert_type(green.account().trips, Mapping[str, int])
    assert_type(green.statement(), list[Entry])
    assert_type(green.stats(), Stats)
    assert_type(green.receipt("id"), tuple[bytes, Receipt] | None)
    assert_type(green.close(), SyncReport)


def handle(green: GreenTrip) -> str:
    try:
        green.finish()
    except UnknownStation as error:
        assert_type(error.suggestions, tuple[str, ...])
    except InvalidInput as error:
        assert_type(error.field, str)
    except Refused as error:
        assert_type(error.problem, dict[str, object])
    except GreenTripError as error:
        return error.message("zh")
    return ""


def mistakes(green: GreenTrip) -> None:
    """Each of these must be refused by a type checker: an ignore that is not needed is an error."""
    green.start("rail")  # type: ignore[call-arg]
    green.start("rail", (39.9, 116.4))  # type: ignore[arg-type]
    green.fix("虎坊桥")  # type: ignore[arg-type]
    green.finish("东夏园", ["双井"])  # type: ignore[call-arg]
    green.sync("5")  # type: ignore[arg-type]
    green.finish().reduction_mg = 5  # type: ignore[misc]
