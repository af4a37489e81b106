"""Every fault of the network really happens, is counted, and comes again with the same seed."""

import random
from collections import Counter
from dataclasses import fields
from email.utils import parsedate_to_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.testing import FakeClock, FlakyTransport, NetworkFaults
from greentrip.testing.flaky_transport import RETRY_AFTERS, STATUSES, TIMEOUT_S

URL = "https://greentrip.example/v1/trips?page=1"
BODY = b"".join(b"line %d\n" % number for number in range(100))
TIMEOUT = httpx.Timeout(connect=5, read=20, write=20, pool=20)
KINDS = [item.name for item in fields(NetworkFaults)]


class Server(httpx.BaseTransport):
    """Answers, and keeps what arrived."""

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self.closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.arrived.append(request.content)
        return httpx.Response(200, headers={"Answer": str(len(self.arrived))}, content=BODY)

    def close(self) -> None:
        self.closed = True


class Phone:
    """Calls through a flaky network, and says what it saw."""

    def __init__(self, faults: NetworkFaults, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.server = Server()
        self.network = FlakyTransport(self.server, faults, random.Random(seed), self.clock)
        self._client = httpx.Client(transport=self.network, timeout=TIMEOUT)

    def call(self, body: bytes = b"1") -> httpx.Response:
        return self._client.post(URL, content=body)

    def see(self, body: bytes = b"1") -> str:
        """The outcome in a word, with what arrived and what time passed."""
        before, arrived = self.clock.now(), len(self.server.arrived)
        try:
            answer = self.call(body)
            outcome = f"{answer.status_code} {len(answer.content)} {answer.headers.get('Retry-After')}"
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        return f"{outcome}, {len(self.server.arrived) - arrived} arrived, {self.clock.now() - before:.0f} s"


def only(kind: str) -> NetworkFaults:
    return NetworkFaults(**{kind: 1.0})


def seen(kind: str, times: int = 200) -> Counter[str]:
    """What many calls see that all meet one fault."""
    phone = Phone(only(kind))
    found = Counter(phone.see() for _ in range(times))
    assert phone.network.counts == {kind: times}
    assert [exchange.fault for exchange in phone.network.log] == [kind] * times
    return found


def test_a_healthy_network_changes_nothing():
    phone = Phone(NetworkFaults.none())
    assert phone.network.healthy
    answer = phone.call(b"hello")
    assert (answer.status_code, answer.content, answer.headers["Answer"]) == (200, BODY, "1")
    assert phone.server.arrived == [b"hello"]
    assert not phone.network.counts
    (exchange,) = phone.network.log
    assert (exchange.method, exchange.path, exchange.fault, exchange.outcome) == ("POST", "/v1/trips", "", "200")
    assert exchange.at == phone.clock.now()


def test_nothing_arrives_while_it_is_offline_and_that_costs_no_time():
    phone = Phone(NetworkFaults.none())
    phone.network.offline = True
    assert not phone.network.healthy
    assert phone.see() == "ConnectError, 0 arrived, 0 s"
    assert phone.network.counts == {"offline": 1}
    phone.network.offline = False
    assert phone.call().status_code == 200


@pytest.mark.parametrize(
    ("kind", "sees"),
    [
        ("drop", "ConnectTimeout, 0 arrived, 5 s"),
        ("lose", "ReadError, 1 arrived, 0 s"),
        ("delay", "ReadTimeout, 1 arrived, 20 s"),
        ("duplicate", "200 790 None, 2 arrived, 0 s"),
        ("reset", "ReadError, 1 arrived, 0 s"),
    ],
)
def test_what_a_fault_does(kind: str, sees: str):
    assert set(seen(kind)) == {sees}


def test_a_caller_who_names_no_timeout_has_one():
    phone = Phone(only("delay"))
    with pytest.raises(httpx.ReadTimeout):
        phone.network.handle_request(httpx.Request("GET", URL))
    assert phone.clock.now() == FakeClock().now() + TIMEOUT_S


def test_a_duplicate_gets_the_second_answer():
    assert Phone(only("duplicate")).call().headers["Answer"] == "2"


def test_a_late_request_arrives_after_a_later_one():
    phone = Phone(only("late"))
    assert [phone.see(body) for body in (b"1", b"2")] == ["ReadTimeout, 0 arrived, 20 s"] * 2
    phone.network.faults = NetworkFaults.none()
    assert phone.call(b"3").headers["Answer"] == "1"
    assert phone.server.arrived == [b"3", b"1", b"2"]
    phone.call(b"4")
    assert phone.server.arrived == [b"3", b"1", b"2", b"4"], "once"


def test_healing_lets_late_requests_arrive():
    phone = Phone(only("late"))
    phone.network.offline = True
    phone.see(b"1")
    phone.network.offline = False
    phone.see(b"2")
    phone.network.heal()
    assert phone.network.healthy
    assert phone.server.arrived == [b"2"]


def test_a_truncated_body_is_short_or_cannot_be_read():
    words = {entry.partition(",")[0] for entry in seen("truncate")}
    assert {"DecodingError", "RemoteProtocolError"} < words
    lengths = {int(word.split()[1]) for word in words if word.startswith("200")}
    assert len(lengths) > 20, "cut anywhere"
    assert max(lengths) < len(BODY)


def test_what_is_cut_is_the_beginning_of_the_truth():
    phone = Phone(only("truncate"))
    bodies = []
    for _ in range(100):
        try:
            bodies.append(phone.call().content)
        except httpx.HTTPError:
            continue
    assert bodies
    assert all(BODY.startswith(body) for body in bodies)


def test_an_empty_answer_can_be_truncated_too():
    phone = Phone(only("truncate"))
    phone.server.handle_request = lambda request: httpx.Response(204)
    for _ in range(20):
        phone.see()
    assert phone.network.counts["truncate"] == 20


def test_a_status_from_between_has_every_form():
    phone = Phone(only("status"))
    answers = [phone.call() for _ in range(2_000)]
    assert {answer.status_code for answer in answers} == set(STATUSES)
    forms = {answer.headers.get("Retry-After") for answer in answers}
    assert {None, "1", "120", "-1", "NaN", "1e12", "later", ""} < forms
    dates = {parsedate_to_datetime(form).timestamp() for form in forms if form and form.endswith("GMT")}
    assert dates == {phone.clock.now() + 60, phone.clock.now() - 60}
    assert len(forms) == len(RETRY_AFTERS)
    assert 0.4 < len(phone.server.arrived) / len(answers) < 0.6, "half of them arrived all the same"


def test_a_portal_answers_with_a_page_or_the_way_to_one():
    phone = Phone(only("portal"))
    answers = [phone.call() for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200, 302}
    assert all(b"<!doctype" in answer.content for answer in answers if answer.status_code == 200)
    assert all("Location" in answer.headers for answer in answers if answer.status_code == 302)
    assert phone.server.arrived == []


def test_faults_come_as_often_as_is_asked():
    phone = Phone(NetworkFaults(drop=0.2, lose=0.1))
    for _ in range(2_000):
        phone.see()
    assert set(phone.network.counts) == {"drop", "lose"}
    assert 340 < phone.network.counts["drop"] < 460
    assert 150 < phone.network.counts["lose"] < 250


def test_a_bad_network_has_every_fault():
    phone = Phone(NetworkFaults.bad())
    for _ in range(500):
        phone.see()
    assert set(phone.network.counts) == set(KINDS)


@given(seed=st.integers(0, 2**32), times=st.integers(1, 30))
def test_the_same_seed_gives_the_same_network(seed: int, times: int):
    phones = [Phone(NetworkFaults.bad(), seed) for _ in range(2)]
    first, second = ([phone.see(b"%d" % number) for number in range(times)] for phone in phones)
    assert first == second
    assert phones[0].network.log == phones[1].network.log
    assert phones[0].server.arrived == phones[1].server.arrived


def test_another_seed_gives_another_network():
    assert (
        len(
            {tuple(phone.see() for _ in range(20)) for seed in range(10) if (phone := Phone(NetworkFaults.bad(), seed))}
        )
        == 10
    )


def test_no_body_and_no_query_is_kept():
    phone = Phone(NetworkFaults.bad())
    for _ in range(50):
        phone.see(b"a secret place")
    assert "secret" not in repr(phone.network.log)
    assert "page" not in repr(phone.network.log)


def test_a_fault_of_the_server_is_passed_on_but_for_those_that_nobody_waits_for():
    def die(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("killed")

    phone = Phone(NetworkFaults.none())
    phone.server.handle_request = die
    assert phone.see().startswith("ReadError")
    assert phone.network.log[-1].outcome == "ReadError"
    phone.network.faults = only("late")
    phone.see()
    phone.network.heal()


def test_closing_closes_what_is_inside():
    phone = Phone(NetworkFaults.none())
    phone.network.close()
    assert phone.server.closed


@pytest.mark.parametrize("wrong", [{"drop": -0.1}, {"drop": 1.1}, {"drop": 0.6, "lose": 0.6}, {"drop": float("nan")}])
def test_probabilities_are_checked(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="probability of 0 to 1"):
        NetworkFaults(**wrong)
