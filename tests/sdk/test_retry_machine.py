"""The retry machine over time: who is refused is found, no innocent is blamed, and nobody is asked without end."""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.report import Stop, Trigger
from greentrip.retry import (
    ASIDE_MAX,
    CAP_S,
    PAUSE_GAP_S,
    PAUSE_S,
    ROWS_CAP_S,
    TRIGGER_GAP_S,
    Action,
    Answered,
    Asked,
    Enrolled,
    Event,
    Network,
    NoAnswer,
    Read,
    RetryState,
    Send,
    Served,
    SetAside,
    Untrusted,
    Wait,
    next_try_ms,
    step,
)
from greentrip.wire import BATCH_LINES_MAX

NOW_MS = 1_772_697_600_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
YEARS_MS = 3650 * DAY_MS
ISOLATE_REQUESTS_MAX = 2 * math.log2(BATCH_LINES_MAX) + 3

Answer = Callable[[list[int]], Event]
"""What the server says to a batch."""


@dataclass
class Phone:
    """A queue of numbered records and one machine, driven by nothing but its timer."""

    queue: list[int]
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    now_ms: int = NOW_MS
    state: RetryState = field(default_factory=RetryState)
    sizes: list[int] = field(default_factory=list)
    """Of the batches that were sent."""
    settled: set[int] = field(default_factory=set)
    aside: list[int] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def tell(self, event: Event) -> Action:
        self.state, action = step(self.state, event, self.now_ms, self.dice.random())
        return action

    def drain(self, answer: Answer, *, requests_max: int = 5000, until_ms: float = math.inf) -> None:
        """Send until nothing is left, or the time or the patience is at an end."""
        action = self.tell(Asked(Trigger.TIMER))
        while self.queue and len(self.sizes) < requests_max:
            if isinstance(action, Send):
                action = self._send(action.rows_max, answer)
                continue
            if isinstance(action, SetAside):
                assert self.sizes[-1] == 1
                self.aside.append(self.queue.pop(0))
            else:
                self.waits.append(action)
                if action.until_ms > until_ms:
                    return
                self.now_ms = action.until_ms
            action = self.tell(Asked(Trigger.TIMER))

    def _send(self, rows_max: int, answer: Answer) -> Action:
        batch = self.queue[:rows_max]
        self.sizes.append(len(batch))
        event = answer(batch)
        if isinstance(event, Read):
            # The last of a batch are those without a result; they go behind the others.
            self.settled |= set(batch[: event.settled])
            self.queue = self.queue[len(batch) :] + batch[event.settled :]
        return self.tell(event)


def takes_all(batch: list[int]) -> Event:
    return Read(len(batch), len(batch))


def refuses(guilty: Collection[int], status: int = 400) -> Answer:
    """A server that says no to every batch with one of these in it."""
    return lambda batch: Answered(status, len(batch), detail="no") if set(batch) & set(guilty) else takes_all(batch)


# Records that are refused


@given(st.integers(1, BATCH_LINES_MAX), st.data(), st.sampled_from([400, 422]))
def test_one_poison_among_500_is_found_and_no_innocent_is_set_aside(count: int, data: st.DataObject, status: int):
    poison = data.draw(st.integers(0, count - 1))
    phone = Phone(list(range(count)))
    phone.drain(refuses({poison}, status))
    assert phone.aside == [poison]
    assert phone.settled == set(range(count)) - {poison}
    assert len(phone.sizes) <= ISOLATE_REQUESTS_MAX
    assert all(wait.until_ms - NOW_MS <= 1000 for wait in phone.waits)


@given(st.sets(st.integers(0, BATCH_LINES_MAX - 1), max_size=12), st.integers(0, 99))
def test_every_poison_is_found_and_no_innocent_is_set_aside(guilty: set[int], seed: int):
    phone = Phone(list(range(BATCH_LINES_MAX)), random.Random(seed))
    phone.drain(refuses(guilty))
    assert sorted(phone.aside) == sorted(guilty)
    assert phone.settled == set(range(BATCH_LINES_MAX)) - guilty
    assert len(phone.sizes) <= (len(guilty) + 1) * ISOLATE_REQUESTS_MAX


def test_a_run_of_poison_does_not_block_the_queue_for_ever():
    guilty = set(range(10))
    phone = Phone(list(range(50)))
    phone.drain(refuses(guilty))
    assert (phone.aside, phone.settled) == (sorted(guilty), set(range(10, 50)))
    assert [wait.stop for wait in phone.waits].count(Stop.PAUSED) == len(guilty) - ASIDE_MAX
    assert phone.now_ms - NOW_MS < 2 * DAY_MS


def test_when_every_call_is_refused_it_is_the_call_and_not_the_records():
    phone = Phone(list(range(BATCH_LINES_MAX)))
    phone.drain(refuses(range(BATCH_LINES_MAX)), until_ms=NOW_MS + HOUR_MS)
    assert phone.sizes == [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert len(phone.aside) == ASIDE_MAX
    assert (phone.waits[-1].stop, phone.waits[-1].detail) == (Stop.PAUSED, "no")
    assert phone.waits[-1].until_ms == phone.now_ms + PAUSE_S * 1000
    phone.drain(refuses(range(BATCH_LINES_MAX)), until_ms=phone.now_ms + 7 * DAY_MS)
    pauses = [wait.stop for wait in phone.waits].count(Stop.PAUSED) - 2
    assert 27 <= pauses <= 28
    assert len(phone.aside) == ASIDE_MAX + pauses, "one more with each pause"
    assert phone.sizes[15:] == [1] * 4 * pauses, "it twice, and the next one twice"
    phone.drain(takes_all)
    assert phone.queue == []


def test_one_stray_refusal_of_a_lone_record_sets_nothing_aside():
    phone = Phone([0])
    answers = iter([Answered(400, 1), NoAnswer(), Answered(503, 1), Read(1, 1)])
    phone.drain(lambda _: next(answers))
    assert (phone.aside, phone.settled, len(phone.sizes)) == ([], {0}, 4)


def test_trouble_in_the_middle_of_a_search_does_not_spoil_it():
    dice = random.Random(3)
    poisoned = refuses({321})

    def answer(batch: list[int]) -> Event:
        trouble: list[Event] = [NoAnswer(), Answered(503, len(batch)), Untrusted(), Answered(429, len(batch))]
        return dice.choice(trouble) if dice.random() < 0.5 else poisoned(batch)

    phone = Phone(list(range(BATCH_LINES_MAX)))
    phone.drain(answer)
    assert (phone.aside, len(phone.settled)) == ([321], BATCH_LINES_MAX - 1)


@given(st.integers(0, 10**6))
def test_records_that_come_and_go_during_a_search_are_not_blamed(seed: int):
    dice = random.Random(seed)
    phone = Phone(list(range(200)), dice)
    guilty = {dice.randrange(200)}
    poisoned = refuses(guilty)

    def answer(batch: list[int]) -> Event:
        event = poisoned(batch)
        if dice.random() < 0.3:
            phone.queue += [len(phone.queue) + 10_000 * len(phone.sizes)]
        if isinstance(event, Read) and dice.random() < 0.3:
            return Read(len(batch), dice.randrange(len(batch) + 1))
        return event

    phone.drain(answer)
    assert set(phone.aside) == guilty
    assert phone.queue == []


@given(st.lists(st.one_of(st.integers(100, 599), st.sampled_from([400, 413, 422])), min_size=40))
def test_a_server_that_settles_nothing_is_not_asked_without_end(statuses: list[int]):
    phone, at_once = Phone(list(range(BATCH_LINES_MAX))), Counter[int]()
    said = iter(statuses)

    def answer(batch: list[int]) -> Event:
        at_once[phone.now_ms] += 1
        return Answered(next(said), len(batch))

    phone.drain(answer, requests_max=len(statuses))
    # Ten sizes of a batch, and three records that may be set aside.
    assert max(at_once.values()) <= 10 + ASIDE_MAX


def test_another_call_that_was_served_ends_the_back_off_and_not_the_search():
    phone = Phone(list(range(BATCH_LINES_MAX)))
    phone.tell(Answered(413, 500))
    phone.tell(Answered(400, 250))
    phone.tell(NoAnswer())
    assert phone.tell(Served()) == Send(125)
    assert phone.state.attempts == 0
    phone.state = RetryState(aside=ASIDE_MAX)
    assert phone.tell(Served()) == Send(1)
    assert isinstance(phone.tell(Answered(400, 1)), Wait)


# Batches that are too large


@pytest.mark.parametrize("most", [*range(1, 51), 100, 499])
def test_413_halves_until_the_server_takes_it(most: int):
    phone = Phone(list(range(BATCH_LINES_MAX)))
    phone.drain(lambda batch: Answered(413, len(batch)) if len(batch) > most else takes_all(batch))
    assert (len(phone.settled), phone.aside, phone.waits) == (BATCH_LINES_MAX, [], [])
    refused = [size for size in phone.sizes if size > most]
    assert refused == phone.sizes[: len(refused)], "what was learnt is kept"
    assert len(refused) <= 9
    assert max(phone.sizes[len(refused) :]) > most / 2 - 1


def test_50_down_to_1():
    phone = Phone(list(range(50)))
    phone.drain(lambda batch: Answered(413, len(batch)) if len(batch) > 1 else takes_all(batch))
    assert phone.sizes == [50, 25, 12, 6, 3] + [1] * 50


def test_after_a_day_success_doubles_the_batch_again():
    phone = Phone(list(range(2000)))
    phone.drain(lambda batch: Answered(413, len(batch)) if len(batch) > 100 else takes_all(batch), requests_max=6)
    assert (phone.state.rows_cap, phone.sizes) == (62, [500, 250, 125, 62, 62, 62])
    phone.now_ms += round(ROWS_CAP_S * 1000)
    phone.sizes.clear()
    phone.drain(takes_all, requests_max=6)
    assert phone.sizes == [62, 124, 248, 496, 500, 384]


@given(st.integers(1, 60), st.integers(0, 299))
def test_a_small_limit_and_a_poison_together(most: int, poison: int):
    phone = Phone(list(range(300)))
    poisoned = refuses({poison})
    phone.drain(lambda batch: Answered(413, len(batch)) if len(batch) > most else poisoned(batch))
    assert (phone.aside, len(phone.settled)) == ([poison], 299)


def test_a_search_keeps_to_the_size_that_the_server_takes():
    phone = Phone(list(range(BATCH_LINES_MAX)))
    assert phone.tell(Answered(400, 500)) == Send(250)
    assert phone.tell(Answered(413, 250)) == Send(125)
    assert phone.tell(Read(125, 125)) == Send(125)


def test_a_size_that_was_learnt_before_the_clock_was_set_back_is_not_kept_for_years():
    phone = Phone([0])
    phone.tell(Answered(413, 100))
    phone.now_ms -= 10 * 365 * DAY_MS
    phone.tell(Asked(Trigger.TIMER))
    phone.now_ms += DAY_MS
    assert phone.tell(Read(50, 50)) == Send(100)


def test_a_record_that_is_too_large_for_the_server_is_stepped_over():
    phone = Phone([0, 1, 2])
    phone.drain(refuses({1}, 413))
    assert (phone.aside, phone.settled) == ([1], {0, 2})


# Results that do not come


def test_some_results_are_no_failure_and_none_are_one():
    phone = Phone(list(range(4)), now_ms=NOW_MS)
    phone.state = RetryState(attempts=5)
    action = phone.tell(Read(4, 3))
    assert isinstance(action, Wait)
    assert (action.stop, phone.state.attempts) == (Stop.WAIT, 0)
    assert action.until_ms - NOW_MS <= 1000
    for attempts in range(1, 4):
        assert isinstance(phone.tell(Read(4, 0)), Wait)
        assert phone.state.attempts == attempts
    assert phone.tell(Read(4, 4)) == Send(BATCH_LINES_MAX)
    assert phone.state == RetryState(planned_ms=NOW_MS)


def test_hours_of_503_then_it_drains_by_itself():
    phone = Phone(list(range(1200)))
    back_ms = NOW_MS + 8 * HOUR_MS
    phone.drain(lambda batch: Answered(503, len(batch)) if phone.now_ms < back_ms else takes_all(batch))
    assert (phone.queue, len(phone.settled)) == ([], 1200)
    assert phone.now_ms <= back_ms + CAP_S * 1000
    assert 32 <= len(phone.sizes) <= 120


@pytest.mark.parametrize("asked_s", [120.0, 3600.0])
def test_phones_that_were_told_the_same_time_come_back_spread_out(asked_s: float):
    dice = random.Random(11)
    phones = [step(RetryState(), Answered(503, 9, "", "", asked_s), NOW_MS, dice.random())[0] for _ in range(1000)]
    tries_s = [(next_try_ms(phone, NOW_MS) - NOW_MS) / 1000 for phone in phones]
    assert min(tries_s) >= asked_s
    tenth_s = min(asked_s, CAP_S) / 10
    tenths = Counter(int((try_s - asked_s) // tenth_s) for try_s in tries_s)
    assert len(tenths) == 10
    assert max(tenths.values()) < 150


# Triggers


def test_a_tap_ends_a_back_off_and_a_pause_but_not_what_the_server_asked():
    for failure in (NoAnswer(), Answered(401, 1), Answered(403, 1), Answered(500, 1), Answered(429, 1)):
        phone = Phone([0])
        assert isinstance(phone.tell(failure), Wait)
        assert isinstance(phone.tell(Asked(Trigger.RECORD)), Wait)
        assert isinstance(phone.tell(Asked(Trigger.TIMER)), Wait)
        assert phone.tell(Asked(Trigger.PERSON)) == Send(BATCH_LINES_MAX)
    phone = Phone([0])
    phone.tell(Answered(403, 1, retry_after_s=60))
    assert phone.tell(Asked(Trigger.PERSON)) == Wait(NOW_MS + MINUTE_MS, Stop.PAUSED)


@pytest.mark.parametrize("event", [Network(online=True), Asked(Trigger.NETWORK), Asked(Trigger.APP)])
@pytest.mark.parametrize(("failure", "gap_s"), [(NoAnswer(), TRIGGER_GAP_S), (Answered(403, 1), PAUSE_GAP_S)])
def test_network_and_app_bring_the_next_try_forward(event: Event, failure: Event, gap_s: float):
    phone = Phone([0])
    phone.state = RetryState(attempts=30)
    phone.dice.random = lambda: 1.0  # type: ignore[method-assign]
    phone.tell(failure)
    early = phone.tell(event)
    assert isinstance(early, Wait)
    assert early.until_ms == NOW_MS + gap_s * 1000
    phone.now_ms = early.until_ms
    assert isinstance(phone.tell(Asked(Trigger.TIMER)), Send), "and no further trigger is needed"


@pytest.mark.parametrize(("failure", "calls_max"), [(NoAnswer(), 75), (Untrusted(), 75), (Answered(403, 1), 5)])
def test_a_network_that_comes_and_goes_every_second_does_not_hammer(failure: Event, calls_max: int):
    phone, calls = Phone([0]), 0
    phone.state = RetryState(attempts=30)
    for second in range(3600):
        phone.now_ms = NOW_MS + second * 1000
        if isinstance(phone.tell(Network(online=second % 2 == 0)), Send):
            calls += 1
            phone.tell(failure)
    assert 2 <= calls <= calls_max


def test_offline_is_waited_out_without_a_failure_and_believed_for_six_hours():
    phone = Phone([0])
    until_ms = NOW_MS + round(PAUSE_S * 1000)
    assert phone.tell(Network(online=False)) == Wait(until_ms, Stop.OFFLINE)
    for trigger in (Trigger.RECORD, Trigger.TIMER, Trigger.APP):
        assert phone.tell(Asked(trigger)) == Wait(until_ms, Stop.OFFLINE)
    assert phone.tell(Asked(Trigger.PERSON)) == Send(BATCH_LINES_MAX), "a person may know better"
    assert phone.tell(NoAnswer()) == Wait(until_ms, Stop.OFFLINE)
    assert phone.state.attempts == 0
    phone.now_ms = until_ms - 1
    assert phone.tell(Network(online=False)) == Wait(until_ms, Stop.OFFLINE), "said again, it is no new wait"
    phone.now_ms = until_ms
    assert isinstance(phone.tell(Asked(Trigger.TIMER)), Send)


@pytest.mark.parametrize(
    "event", [Read(1, 1), Served(), Answered(503, 1), Untrusted(), Network(online=True), Enrolled()]
)
def test_whatever_comes_over_the_network_shows_that_it_is_there(event: Event):
    phone = Phone([0])
    phone.tell(Network(online=False))
    phone.tell(event)
    assert phone.state.offline_until_ms == 0


def test_enrolling_again_ends_a_pause_and_keeps_what_the_server_asked_of_all():
    phone = Phone([0])
    phone.tell(Answered(401, 1))
    assert phone.tell(Enrolled()) == Send(BATCH_LINES_MAX)
    phone.tell(Answered(413, 100))
    phone.tell(Answered(401, 1, retry_after_s=60))
    assert phone.tell(Enrolled()) == Wait(NOW_MS + MINUTE_MS, Stop.WAIT)
    phone.now_ms += MINUTE_MS
    assert phone.tell(Asked(Trigger.TIMER)) == Send(50)
    phone.state = RetryState(attempts=3, suspects=9, aside=2)
    assert (phone.tell(Enrolled()), phone.state) == (Send(BATCH_LINES_MAX), RetryState())
