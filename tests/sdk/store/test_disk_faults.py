"""Promise 7: a disk that fails at any statement of any call costs nothing that was recorded."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from greentrip import GreenTrip, StorageCorrupt, StorageError, StorageFull
from greentrip.report import Stop
from greentrip.store import file as store_file
from support.disk import FAULTS, Disk

KINDS = {"SQLITE_FULL": StorageFull, "SQLITE_CORRUPT": StorageCorrupt}
STATEMENTS_MAX = 400

Act = Callable[[GreenTrip], object]


def _kind(fault: str) -> type[StorageError]:
    return KINDS.get(fault, StorageError)


def _each_fault(template, fault: str, act: Act, *, for_good: bool = False) -> Iterator[tuple[GreenTrip, object]]:
    """A phone for each statement of `act`, after `act` met the fault there: with what it gave, or its error."""
    for number in range(STATEMENTS_MAX):
        disk = Disk()
        phone = template.open(template.copy(), connection=disk)
        disk.fail(fault, number, for_good=for_good)
        outcome: object
        try:
            outcome = act(phone)
        except StorageError as error:
            outcome = error
        hit = disk.mend()
        if isinstance(outcome, StorageError):
            assert type(outcome) is _kind(fault), disk.statements[number]
        yield phone, outcome
        with suppress(StorageError):
            phone.close(timeout=0)
        if not hit:
            assert number > 1, "the act has statements"
            return
    raise AssertionError("more statements than any call has")


@pytest.fixture(params=[False, True], ids=["once", "for a while"])
def for_good(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.parametrize("fault", FAULTS)
def test_finish_gives_a_trip_or_an_error_and_never_both(template, fault: str, for_good: bool):
    for phone, outcome in _each_fault(template, fault, template.finish, for_good=for_good):
        if isinstance(outcome, StorageError):
            assert phone.active is not None, "the trip goes on"
            outcome = template.finish(phone)
        assert phone.active is None
        template.assert_drains(phone, {template.accepted, *template.waiting, str(outcome)})


@pytest.mark.parametrize("fault", FAULTS)
def test_sync_says_storage_and_never_raises(template, fault: str, for_good: bool):
    for phone, report in _each_fault(template, fault, lambda phone: phone.sync(), for_good=for_good):
        assert report.stop in (Stop.STORAGE, Stop.DONE)
        finished = template.finish(phone)
        template.assert_drains(phone, {template.accepted, *template.waiting, finished})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_trip_is_erased_or_still_there(template, fault: str, for_good: bool):
    gone = template.waiting[0]
    for phone, outcome in _each_fault(template, fault, lambda phone: phone.erase_trip(gone), for_good=for_good):
        if isinstance(outcome, StorageError):
            phone.erase_trip(gone)
        finished = template.finish(phone)
        template.assert_drains(phone, {template.accepted, template.waiting[1], finished})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_trip_that_was_sent_is_erased_or_still_there_and_then_the_server_is_told(template, fault: str):
    gone = template.accepted
    for phone, outcome in _each_fault(template, fault, lambda phone: phone.erase_trip(gone)):
        if isinstance(outcome, StorageError):
            phone.erase_trip(gone)
        phone.sync()
        assert {trip.id for trip in phone.trips()} == set(template.waiting)
        assert template.server.records[gone].line is None


@pytest.mark.parametrize("pending", ["erase", "keep"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_person_is_out_or_everything_is_as_it_was(template, fault: str, pending: str):
    for phone, outcome in _each_fault(template, fault, lambda phone: phone.opt_out(pending)):
        raised = isinstance(outcome, StorageError)
        assert phone.opted_out is not raised
        gone = pending == "erase" and not raised
        kept = {template.accepted} if gone else {template.accepted, *template.waiting}
        assert {trip.id for trip in phone.trips()} == kept
        assert (phone.active is None) is gone
        phone.opt_in()
        if not gone:
            kept.add(template.finish(phone))
        template.assert_drains(phone, kept)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_opens_or_an_error_says_why_and_it_is_as_it_was(
    template, fault: str, for_good: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_MS", 50)
    for number in range(STATEMENTS_MAX):
        folder, disk = template.copy(), Disk()
        disk.fail(fault, number, for_good=for_good)
        error = None
        try:
            template.open(folder, connection=disk).close(timeout=0)
        except StorageError as raised:
            error = raised
        assert error is None or type(error) is _kind(fault)
        hit = disk.mend()
        # An error at the right moment looks like a damaged file: then all of it is found again in the new one.
        phone = template.open(folder)
        template.assert_drains(phone, {template.accepted, *template.waiting, template.finish(phone)})
        phone.close(timeout=0)
        if not hit:
            return
    raise AssertionError("more statements than opening has")


@pytest.mark.parametrize("fault", FAULTS)
def test_everything_is_erased_or_everything_is_there(template, fault: str):
    for phone, outcome in _each_fault(template, fault, lambda phone: phone.erase()):
        if isinstance(outcome, StorageError) and phone.trips():
            template.assert_drains(phone, {template.accepted, *template.waiting, template.finish(phone)})
            continue
        assert phone.trips() == []
        template.clock.tick(3600)
        phone.sync()
        assert template.server.accounts["account-1"].erased
