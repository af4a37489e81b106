"""Promise 11: everything has a cap; at a cap the caller is told what to do, and nothing is evicted."""

from pathlib import Path

import pytest

from greentrip import GreenTrip, QueueFull, State
from greentrip.record import Evidence
from greentrip.store import NewTrip, Store
from greentrip.store import trips as store_trips
from greentrip.testing import FakeClock, FakeServer
from greentrip.wire import BATCH_BYTES_MAX, BATCH_LINES_MAX
from support.refusals import refused
from support.trips import FAR_END, UTRECHT, ride, walk

LEVELS = Evidence((b"[1]", b"[2]", b"[3]"), (b"a" * 16, b"b" * 16, b"c" * 16))


def _size(phone: GreenTrip) -> int:
    """Bytes in use, with those that are still in the log."""
    (pages,), (free,) = (phone._store._read(f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count"))
    return (pages - free) * 4096


def test_a_full_file_says_to_erase_and_keeps_everything(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    kept = [ride(enrolled, clock).id for _ in range(12)]
    enrolled.start("rail", "虎坊桥")
    clock.tick(3600)
    monkeypatch.setattr(store_trips, "FILE_BYTES_MAX", _size(enrolled) - 1)
    with refused(QueueFull, says="bytes are stored.*erasing trips frees some"):
        enrolled.finish(FAR_END)
    assert enrolled.active is not None
    assert enrolled.stats().refused == 1
    assert enrolled.sync().settled == {State.ACCEPTED: 12}, "what waits can always be sent"
    for one in kept:
        enrolled.erase_trip(one)
    finished = enrolled.finish(FAR_END)
    assert [trip.id for trip in enrolled.trips()] == [finished.id]


def test_a_full_file_takes_no_trip_that_stays_on_the_phone_either(
    enrolled: GreenTrip, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_trips, "FILE_BYTES_MAX", 4096)
    enrolled.start("walk", UTRECHT)
    end = walk(enrolled, clock, 1000, UTRECHT)
    with refused(QueueFull, says="bytes are stored"):
        enrolled.finish(end)
    assert enrolled.active is not None


def test_what_settled_needs_no_place_in_the_queue(
    enrolled: GreenTrip, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_trips, "QUEUE_ROWS_MAX", 2)
    for _ in range(5):
        ride(enrolled, clock)
        ride(enrolled, clock)
        enrolled.start("rail", "虎坊桥")
        clock.tick(60)
        with refused(QueueFull, says="2 trips wait to be sent.*sync"):
            enrolled.finish(FAR_END)
        enrolled.cancel()
        enrolled.sync()
    assert len(enrolled.trips()) == 10


def test_batches_keep_to_both_caps(path: Path, store: Store):
    line = b'{"x":"' + b"y" * 2_000
    for number in range(600):
        store.commit_trip(NewTrip(f"{number}", 0, {}, LEVELS, line + b'","n":%d}' % number))
    sizes = []
    while batch := store.lease(f"{len(sizes)}", 0, 60_000, BATCH_LINES_MAX, BATCH_BYTES_MAX):
        sizes.append((len(batch), sum(len(record.line) + 1 for record in batch)))
        store.set_aside(f"{len(sizes) - 1}", {}, 86_400_000)
    assert sum(rows for rows, _ in sizes) == 600
    assert all(rows <= BATCH_LINES_MAX and size <= BATCH_BYTES_MAX for rows, size in sizes)
    assert max(size for _, size in sizes) > BATCH_BYTES_MAX - 4_096, "and are filled"


def test_the_log_is_cut_back_and_does_not_grow_with_what_passed_through_it(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    for _ in range(30):
        ride(enrolled, clock)
        enrolled.sync()
    assert enrolled._store.wal_bytes <= 5 * 1024 * 1024
    before = _size(enrolled)
    for trip in enrolled.trips():
        enrolled.erase_trip(trip.id)
    assert _size(enrolled) < before
    assert enrolled._store.wal_bytes <= 64 * 1024
