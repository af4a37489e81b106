"""The simulator replays exactly, passes where all is well, and finds what is broken on purpose."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greentrip.remote import Remote
from greentrip.states import State
from greentrip.store import Store
from greentrip.store import queue as store_queue
from greentrip.sync import Sender
from greentrip.testing import fake_server
from greentrip.testing.fake_books import FakeAccount
from greentrip.testing.simulator import (
    COMMUTER,
    COMMUTER_LOSSY,
    HEALTHY,
    HOSTILE,
    LOSSY,
    Profile,
    SeedResult,
    Tally,
    simulate,
)
from greentrip.testing.simulator.__main__ import main
from greentrip.testing.simulator.fake_backend import FakeBackend
from greentrip.wire import sha256_hex

CHUNK_SEEDS = 20
HUNT_SEEDS_MAX = 60
"""A defect that is not found within so many worlds would not be found in practice."""
COMMAND = [sys.executable, "-m", "greentrip.testing.simulator"]
SMALL = replace(HOSTILE, steps=25)
COSTS = [(HEALTHY, CHUNK_SEEDS, 1.05), (LOSSY, CHUNK_SEEDS, 1.5), (COMMUTER, 10, 1.05), (COMMUTER_LOSSY, 10, 1.5)]
"""How bad it is, over how many worlds, and the requests for each settled record at most."""


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    made = FakeBackend()
    yield made
    made.end()


# Where all is well


@pytest.mark.parametrize("first", range(0, 5 * CHUNK_SEEDS, CHUNK_SEEDS))
def test_a_hostile_world_loses_nothing(backend: FakeBackend, first: int):
    for result in simulate(range(first, first + CHUNK_SEEDS), HOSTILE, backend):
        assert result.violations == (), result.seed


@pytest.mark.parametrize(("profile", "seeds", "requests_max"), COSTS, ids=[profile.name for profile, _, _ in COSTS])
def test_requests_for_each_settled_record(backend: FakeBackend, profile: Profile, seeds: int, requests_max: float):
    total = Tally()
    for result in simulate(range(seeds), profile, backend):
        assert result.violations == (), result.seed
        total.add(result.tally)
    assert total.settled == total.recorded > 0
    assert total.requests_each <= requests_max


def test_every_recorded_trip_ends_once(backend: FakeBackend):
    total = Tally()
    for result in simulate(range(CHUNK_SEEDS), HOSTILE, backend):
        assert sum(result.tally.ends.values()) == result.tally.recorded, result.seed
        total.add(result.tally)
    assert {State.ACCEPTED, "erased", State.DAMAGED, State.WITHDRAWN} <= set(total.ends)
    assert total.settled == sum(total.ends[state] for state in (State.ACCEPTED, State.HELD, State.REJECTED))


def test_every_kind_of_fault_is_injected(backend: FakeBackend):
    total = Tally()
    for result in simulate(range(CHUNK_SEEDS), HOSTILE, backend):
        total.add(result.tally)
    kinds = {kind.partition(":")[0] for kind in total.all_faults}
    assert kinds == {"disk", "network", "phone", "server"}
    named = {"drop", "lose", "delay", "late", "duplicate", "truncate", "reset", "status", "portal", "offline"}
    assert set(total.network) == named
    disk = {"disk: SQLITE_BUSY", "disk: SQLITE_FULL", "disk: SQLITE_IOERR_WRITE", "disk: killed at a statement"}
    server = {"server: killed within a request", "server: database down", "server: overload"}
    assert disk | server | {"server: restored from a backup", "phone: flipped bit"} <= set(total.faults)


# One seed decides everything


def test_a_seed_replays_exactly(backend: FakeBackend):
    first = [result.trace for result in simulate(range(6), SMALL, backend, keep_trace=True)]
    again = [result.trace for result in simulate(range(6), SMALL, backend, keep_trace=True)]
    assert first == again
    assert len({*first}) == len(first), "and another seed is another world"


def test_a_seed_replays_in_another_process(backend: FakeBackend):
    """Also when Python hashes differently there, and when other worlds came before."""
    digests = [result.digest for result in simulate(range(3), HOSTILE, backend)]
    told = subprocess.run(
        [*COMMAND, "--first", "2", "--seeds", "1", "--trace"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"seed 2: passed, trace {digests[2][:16]}" in told.stdout


def test_a_passing_seed_keeps_no_trace(backend: FakeBackend):
    (result,) = simulate([0], SMALL, backend)
    assert (result.violations, result.trace) == ((), ())


# It finds what is broken


def settle_what_was_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt is not checked."""
    at = "2026-03-05T08:30:00+00:00"
    monkeypatch.setattr(Remote, "verify", lambda self, call, *, ndjson: call.answer.headers["greentrip-receipt"] and at)


def delete_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed call deletes its records."""

    def release(store: Store, lease: str) -> None:
        with store._write() as db:
            db.execute("DELETE FROM queue WHERE lease = ?", (lease,))

    monkeypatch.setattr(Store, "release", release)


def make_a_new_id_for_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is sent again has another id, so the server takes it for another trip."""
    kept = Store.release

    def release(store: Store, lease: str) -> None:
        with store._write() as db:
            for trip_id, line in db.execute("SELECT id, line FROM queue WHERE lease = ?", (lease,)).fetchall():
                last = "0" if trip_id[-1] != "0" else "1"
                changed = line.replace(trip_id.encode(), (trip_id[:-1] + last).encode())
                db.execute(
                    "UPDATE queue SET line = ?, sha256 = ? WHERE id = ?", (changed, sha256_hex(changed), trip_id)
                )
        kept(store, lease)

    monkeypatch.setattr(Store, "release", release)


def credit_every_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server credits a record each time that it comes."""
    kept = FakeAccount.take

    def take(account: FakeAccount, *arguments: Any) -> dict[str, Any]:
        result = kept(account, *arguments)
        if result.get("duplicate"):
            account.balance_mg += int(result.get("official_mg", 0))
        return result

    monkeypatch.setattr(FakeAccount, "take", take)


def let_no_lease_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process had leased stays leased."""
    monkeypatch.setattr(store_queue, "_free_expired", lambda db, now_ms, lease_ms: None)


def forget_what_was_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is never told of an erased trip."""
    monkeypatch.setattr(Store, "erasures", lambda store: [])


def refuse_without_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses records and does not say why."""
    monkeypatch.setattr(fake_server, "_accept", lambda record: State.REJECTED)


def plan_no_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure nothing is planned: the "will retry" that never comes."""
    kept = Sender.next_due_ms

    def next_due_ms(sender: Sender) -> int | None:
        return None if sender._state().attempts else kept(sender)

    monkeypatch.setattr(Sender, "next_due_ms", next_due_ms)


DEFECTS: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
    settle_what_was_not_verified,
    delete_what_was_refused,
    make_a_new_id_for_a_retry,
    credit_every_repeat,
    let_no_lease_end,
    forget_what_was_erased,
    refuse_without_a_reason,
    plan_no_next_try,
)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_it_finds(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, defect: Callable[[Any], None]):
    defect(monkeypatch)
    assert hunt(backend).violations


def hunt(backend: FakeBackend) -> SeedResult:
    """The first world that shows that something is wrong."""
    for result in simulate(range(HUNT_SEEDS_MAX), HOSTILE, backend):
        if result.violations:
            assert result.trace, "a failed seed tells what happened"
            return result
    pytest.fail(f"not found within {HUNT_SEEDS_MAX} worlds")


def test_a_world_that_breaks_is_a_failed_seed(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FakeBackend, "last_code", lambda self: 1 / 0)
    results = list(simulate(range(3), SMALL, backend))
    assert len(results) == 3
    assert any("ZeroDivisionError" in line for result in results for line in result.violations)


# The command


def test_the_terms_of_the_report_add_up(capsys: pytest.CaptureFixture[str]):
    assert main(["--seeds", "6", "--processes", "1"]) == 0
    told = capsys.readouterr().out
    (terms,) = re.findall(r"^records: (\d+) recorded = (.+); (\d+) settled$", told, re.MULTILINE)
    ends = {end: int(count) for count, end in re.findall(r"(\d+) (\w+)", terms[1])}
    assert (sum(ends.values()), len(ends) > 2) == (int(terms[0]), True)
    assert int(terms[2]) == sum(ends.get(state, 0) for state in ("accepted", "held", "rejected"))


def test_the_command_reports(capsys: pytest.CaptureFixture[str]):
    assert main(["--seeds", "2", "--profile", "healthy", "--processes", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["profile"], told["seeds"], told["failures"]) == ("healthy", 2, [])
    assert told["settled"] == told["recorded"] == sum(told["ends"].values()) > 0


FORGETFUL = """
from greentrip.testing.simulator.fake_backend import FakeBackend
class Forgetful(FakeBackend):
    def accounts(self):
        return {}
"""


def test_the_command_names_the_failing_seed(tmp_path: Path):
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    told = subprocess.run(
        [*COMMAND, "--first", "3", "--seeds", "1", "--backend", "forgetful:Forgetful", "--replay", "again {seed}"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1, told.stderr
    assert "seed 3 FAILED\n  phone 1: the server does not know its account" in told.stdout
    assert "replay: again 3" in told.stdout


def test_the_command_says_that_there_is_no_such_backend(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--backend", "no_such_module:Server"])
    assert ended.value.code == 2
    assert "no_such_module" in capsys.readouterr().err
