"""Enrolment: codes, devices, consents; and that a phone number is never kept."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select
from sqlmodel import SQLModel

import greentrip_server
from greentrip.signing import new_seed, signer_of, thumbprint
from greentrip_server.db import Database
from greentrip_server.enrolment.models import Consent, Device, DeviceStatus, Enrolment, PersonAccount, Purpose
from greentrip_server.enrolment.sender import LogSender, MemorySender, WebhookSender, sender_of
from greentrip_server.enrolment.service import (
    CODE_LIFE,
    Begun,
    Hasher,
    NewDevice,
    begin,
    device_of,
    enrol,
    forget_enrolments,
    give_consents,
    normalise_phone,
    register_device,
    require_consent,
    withdraw_consent,
)
from greentrip_server.errors import Problem
from greentrip_server.settings import Settings
from greentrip_server.vault.models import Identity

PHONE = "13800138000"
HASHER = Hasher(b"k" * 32)
CONSENTS = {"location": "2026-01", "sync": "2026-01"}


def new_key() -> bytes:
    return signer_of(new_seed()).public_key


def begun(database: Database, now: datetime, phone: str = PHONE) -> Begun:
    with database.write() as session:
        return begin(session, HASHER, phone, now)


def register(database: Database, of: Begun, now: datetime, key: bytes | None = None, code: str | None = None) -> Device:
    new = NewDevice(of.enrolment_id, of.code if code is None else code, key or new_key(), CONSENTS)
    with database.write() as session:
        return register_device(session, HASHER, new, now)


def refusal(database: Database, of: Begun, now: datetime, **changes: object) -> Problem:
    with pytest.raises(Problem) as caught:
        register(database, of, now, **changes)
    return caught.value


def count(database: Database, table: type[SQLModel]) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


# --- phone numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phone", "number"),
    [
        ("13800138000", "+8613800138000"),
        ("+8613800138000", "+8613800138000"),
        ("138 0013-8000", "+8613800138000"),
        ("１３８００１３８０００", "+8613800138000"),
        ("+852 9123 4567", "+85291234567"),
        ("+1 (202) 555-0100", "+12025550100"),
    ],
)
def test_phone_numbers_have_one_form(phone: str, number: str):
    assert normalise_phone(phone) == number


@pytest.mark.parametrize(
    "phone", ["", "12345", "12800138000", "+8612800138000", "+86138001380", "8613800138000", "+0123456789", "x" * 99]
)
def test_wrong_phone_numbers_are_explained(phone: str):
    with pytest.raises(Problem) as caught:
        normalise_phone(phone)
    assert caught.value.kind == "invalid"
    assert caught.value.document()["field"] == "phone"
    assert "11 位" in caught.value.detail_zh
    assert "11 digits" in caught.value.detail_en


# --- codes -----------------------------------------------------------------------------------------------------------


def test_a_code_has_six_digits_and_ten_minutes(database: Database, now: datetime):
    of = begun(database, now)
    assert re.fullmatch(r"\d{6}", of.code)
    assert of.expires_at == now + timedelta(minutes=10)
    assert of.phone == f"+86{PHONE}"


def test_neither_number_nor_code_is_kept_or_shown(database: Database, now: datetime):
    of = begun(database, now)
    register(database, of, now)
    with database.read() as session:
        rows = [row.model_dump() for table in (Enrolment, Identity) for row in session.execute(select(table)).scalars()]
    kept = repr(rows)
    assert len(rows) == 2
    for secret in (PHONE, of.code):
        assert f"'{secret}" not in kept
        assert PHONE not in kept
        assert secret not in repr(of)


def test_a_sixth_code_an_hour_must_wait(database: Database, now: datetime):
    for minute in range(5):
        begun(database, now + timedelta(minutes=minute))
    with pytest.raises(Problem) as caught:
        begun(database, now + timedelta(minutes=30))
    assert caught.value.kind == "too_many"
    assert caught.value.retry_after_s == 30 * 60
    assert begun(database, now + timedelta(minutes=30), "13900139000"), "other numbers are not concerned"
    assert begun(database, now + timedelta(minutes=60))


def test_codes_asked_for_at_once_are_limited_too(database: Database, now: datetime):
    def attempt(_: int) -> str:
        try:
            begun(database, now)
        except Problem as problem:
            return problem.kind
        return "sent"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(12))) == ["sent"] * 5 + ["too_many"] * 7


def test_wrong_codes_are_counted_though_the_call_fails(database: Database, now: datetime):
    of = begun(database, now)
    tries = [refusal(database, of, now, code=wrong(of.code)) for _ in range(5)]
    assert {problem.kind for problem in tries} == {"code_wrong"}
    assert [problem.document()["tries_left"] for problem in tries] == [4, 3, 2, 1, 0]
    assert refusal(database, of, now).kind == "code_expired", "the right code comes too late"
    assert count(database, PersonAccount) == 0


@pytest.mark.parametrize("code", ["", "12345", "１２３４５６", "x" * 1000, "\0"])
def test_any_text_may_be_a_wrong_code(database: Database, now: datetime, code: str):
    assert refusal(database, begun(database, now), now, code=code).kind == "code_wrong"


def test_a_code_ends_after_ten_minutes(database: Database, now: datetime):
    of = begun(database, now)
    assert refusal(database, of, now + CODE_LIFE).kind == "code_expired"
    assert register(database, of, now + CODE_LIFE - timedelta(seconds=1)).id


def test_a_code_works_for_one_key(database: Database, now: datetime):
    of = begun(database, now)
    register(database, of, now)
    assert refusal(database, of, now).kind == "code_expired"
    assert count(database, Device) == 1


def test_a_code_that_was_never_given_is_expired(database: Database, now: datetime):
    never = Begun(uuid4(), now, PHONE, "123456")
    assert refusal(database, never, now).kind == "code_expired"


# --- devices ---------------------------------------------------------------------------------------------------------


def test_a_device_belongs_to_a_new_account(database: Database, now: datetime):
    key = new_key()
    device = register(database, begun(database, now), now, key)
    assert device.id == thumbprint(key)
    with database.read() as session:
        found = device_of(session, device.id)
        account = session.get(PersonAccount, device.account_id)
        require_consent(session, device.account_id, Purpose.SYNC)
    assert found.public_key == key
    assert account is not None
    assert (account.created_at, account.balance_mg) == (now, 0)


def test_the_same_call_again_gives_the_same_account(database: Database, now: datetime):
    of, key = begun(database, now), new_key()
    first = register(database, of, now, key)
    again = register(database, of, now + timedelta(hours=5), key)
    assert again.account_id == first.account_id
    assert (count(database, Device), count(database, PersonAccount), count(database, Consent)) == (1, 1, 2)


def test_a_second_phone_joins_the_account_of_the_number(database: Database, now: datetime):
    first = register(database, begun(database, now), now)
    second = register(database, begun(database, now, f"+86 {PHONE}"), now)
    assert first.id != second.id
    assert first.account_id == second.account_id


def test_other_numbers_have_other_accounts(database: Database, now: datetime):
    first = register(database, begun(database, now), now)
    second = register(database, begun(database, now, "13900139000"), now)
    assert first.account_id != second.account_id


def test_two_phones_of_one_number_at_once_make_one_account(database: Database, now: datetime):
    pending = [begun(database, now) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        devices = list(pool.map(lambda of: register(database, of, now), pending))
    assert len({device.account_id for device in devices}) == 1
    assert count(database, PersonAccount) == 1


def test_one_call_sent_twice_at_once_makes_one_device(database: Database, now: datetime):
    of, key = begun(database, now), new_key()
    with ThreadPoolExecutor(4) as pool:
        devices = list(pool.map(lambda _: register(database, of, now, key), range(4)))
    assert len({device.account_id for device in devices}) == 1
    assert count(database, Device) == 1


def test_a_key_never_moves_to_another_account(database: Database, now: datetime):
    key = new_key()
    register(database, begun(database, now), now, key)
    other = begun(database, now, "13900139000")
    problem = refusal(database, other, now, key=key)
    assert (problem.kind, problem.document()["field"]) == ("invalid", "public_key")
    assert count(database, PersonAccount) == 1, "nothing is left of the attempt"


def test_an_ended_device_stays_ended(database: Database, now: datetime):
    key = new_key()
    device = register(database, begun(database, now), now, key)
    with database.write() as session:
        device_of(session, device.id).status = DeviceStatus.ENDED
    with database.read() as session, pytest.raises(Problem, match="device_ended"):
        device_of(session, device.id)
    assert refusal(database, begun(database, now), now, key=key).kind == "device_ended"


def test_an_unknown_device_is_named_so(database: Database):
    with database.read() as session, pytest.raises(Problem, match="unknown_device"):
        device_of(session, "x" * 43)


def test_a_key_of_the_wrong_size_is_refused(database: Database, now: datetime):
    assert refusal(database, begun(database, now), now, key=b"short").document()["field"] == "public_key"


# --- consents --------------------------------------------------------------------------------------------------------


@pytest.fixture
def consenting(database: Database, account_id: UUID, now: datetime) -> UUID:
    """An account that consented to sync."""
    with database.write() as session:
        give_consents(session, account_id, {Purpose.SYNC: "1"}, now)
    return account_id


def test_without_consent_nothing(database: Database, consenting: UUID):
    with database.read() as session:
        require_consent(session, consenting, Purpose.SYNC)
        with pytest.raises(Problem) as caught:
            require_consent(session, consenting, Purpose.STATISTICS)
    assert caught.value.status == 403
    assert caught.value.document()["purpose"] == "statistics"


def test_a_consent_may_be_withdrawn_and_given_again_and_its_history_stays(
    database: Database, consenting: UUID, now: datetime
):
    day = timedelta(days=1)
    with database.write() as session:
        withdraw_consent(session, consenting, Purpose.SYNC, now + day)
        with pytest.raises(Problem, match="consent"):
            require_consent(session, consenting, Purpose.SYNC)
        give_consents(session, consenting, {Purpose.SYNC: "1"}, now + 2 * day)
        give_consents(session, consenting, {Purpose.SYNC: "1"}, now + 3 * day)
        require_consent(session, consenting, Purpose.SYNC)
        rows = session.execute(select(Consent).order_by(Consent.given_at)).scalars().all()
    assert [(row.given_at, row.withdrawn_at) for row in rows] == [(now, now + day), (now + 2 * day, None)]


@pytest.mark.parametrize("consents", [{"spying": "1"}, {"sync": ""}, {"sync": "x" * 33}])
def test_consents_that_make_no_sense_are_refused(database: Database, now: datetime, consents: dict[str, str]):
    of = begun(database, now)
    new = NewDevice(of.enrolment_id, of.code, new_key(), consents)
    with pytest.raises(Problem) as caught, database.write() as session:
        register_device(session, HASHER, new, now)
    assert caught.value.kind == "invalid"
    assert register(database, of, now), "the code was not used up"


def test_old_enrolments_are_forgotten(database: Database, now: datetime):
    begun(database, now)
    begun(database, now + timedelta(days=1))
    with database.write() as session:
        assert forget_enrolments(session, now + timedelta(days=1, hours=1)) == 1
    assert count(database, Enrolment) == 1


def test_an_enrolment_in_use_is_forgotten_the_next_time(database: Database, now: datetime):
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    of, later = begun(database, now), now + timedelta(days=2)
    with database.write() as late_repeat:
        assert late_repeat.get(Enrolment, of.enrolment_id, with_for_update=True)
        begun(database, later)  # does not wait: the repeat will ask for the word that it holds
    assert count(database, Enrolment) == 2
    with database.write() as session:
        assert forget_enrolments(session, later) == 1


# --- senders ---------------------------------------------------------------------------------------------------------


def test_a_code_is_sent_after_the_commit(database: Database, now: datetime):
    class Looking(MemorySender):
        def send(self, phone: str, code: str, enrolment_id: UUID) -> None:
            with database.read() as session:
                assert session.get(Enrolment, enrolment_id) is not None
            super().send(phone, code, enrolment_id)

    sender = Looking()
    of = enrol(database, HASHER, sender, PHONE, now)
    assert sender.codes == {of.enrolment_id: of.code}


def test_the_log_sender_logs_the_code_but_not_the_number(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    enrolment_id = uuid4()
    sender = sender_of(Settings(data_dir=tmp_path))
    assert isinstance(sender, LogSender)
    with caplog.at_level(logging.INFO):
        sender.send(f"+86{PHONE}", "123456", enrolment_id)
    assert caplog.messages == [f"code 123456 for enrolment {enrolment_id}"]


def test_the_webhook_gets_number_and_code():
    requests: list[httpx.Request] = []

    def gateway(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(202)

    sender = WebhookSender("https://sms.example/send", "t", httpx.MockTransport(gateway))
    sender.send("+8613800138000", "123456", uuid4())
    [request] = requests
    assert request.read() == b'{"phone":"+8613800138000","code":"123456"}'
    assert request.headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize("status", [302, 400, 500, None])
def test_a_webhook_that_fails_is_unavailable_and_tells_no_number(status: int | None, caplog: pytest.LogCaptureFixture):
    def gateway(request: httpx.Request) -> httpx.Response:
        if status is None:
            raise httpx.ConnectTimeout(f"no answer for {PHONE}", request=request)
        return httpx.Response(status, headers={"Location": "https://elsewhere.example"})

    sender = WebhookSender("https://sms.example/send", transport=httpx.MockTransport(gateway))
    with caplog.at_level(logging.DEBUG), pytest.raises(Problem, match="unavailable") as caught:
        sender.send(PHONE, "123456", uuid4())
    assert caught.value.retry_after_s == 30
    assert PHONE not in caplog.text
    assert "123456" not in caplog.text


# --- the vault -------------------------------------------------------------------------------------------------------


def test_nothing_but_the_vault_imports_its_table():
    package = Path(greentrip_server.__path__[0])
    importers = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if "vault.models" in (text := file.read_text()) or "vault import models" in text
    }
    assert importers == {"vault/service.py"}
