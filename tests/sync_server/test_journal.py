"""The erasure journal: what it holds, what a crash leaves of it, and a database that was set back."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.pool import ThreadPool
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from greentrip.trust import sign_erasure_order
from greentrip.wire import sha256_hex
from greentrip_server.enrolment.models import PersonAccount
from greentrip_server.erasures.again import erase_again
from greentrip_server.erasures.journal import ErasedAccount, Journal
from greentrip_server.erasures.models import AccountErasure
from greentrip_server.errors import Problem, SettingsError
from greentrip_server.sync.models import Trip, TripBytes
from greentrip_server.vault.models import Identity
from support.records import METRO_MG, line
from support.server import NOW, Device, Served, served

HOUR = datetime(2026, 3, 5, 8, tzinfo=UTC)


def erased(order: str = "order") -> ErasedAccount:
    return ErasedAccount(uuid4(), sha256_hex(order.encode()), "kid", HOUR)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "new folder" / "erasures.jsonl")


# The file


def test_what_is_appended_is_read(journal: Journal):
    assert list(journal.read()) == []
    lines = [erased(), erased(), ErasedAccount.by_staff(uuid4(), "a letter of 5 March, by Zhang San", NOW)]
    for one in lines:
        journal.append(one)
    assert list(journal.read()) == lines
    text = journal.path.read_text()
    assert "Zhang" not in text
    assert [set(json.loads(row)) for row in text.splitlines()] == [{"account", "at", "kid", "order"}] * 3
    assert journal.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_line_that_was_cut_short_does_not_count_and_spoils_no_other(journal: Journal, left: int):
    first, second, third = erased(), erased(), erased()
    journal.append(first)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + second.to_line()[:left])
    assert list(journal.read()) == [first]
    journal.append(third)
    assert list(journal.read()) == [first, third]
    assert journal.path.read_bytes() == whole + third.to_line()


def test_a_first_line_that_was_cut_short(journal: Journal):
    journal.path.parent.mkdir()
    journal.path.write_bytes(erased().to_line()[:30])
    journal.append(second := erased())
    assert list(journal.read()) == [second]


@pytest.mark.parametrize("damage", [b"garbage\n", b"[]\n", b"{}\n", b'{"account":7}\n', b"\xff\n", b"\n"])
def test_a_damaged_line_is_named(journal: Journal, damage: bytes):
    journal.append(erased())
    journal.path.write_bytes(journal.path.read_bytes() + damage + erased().to_line())
    with pytest.raises(SettingsError, match=r"GREENTRIP_ERASURE_JOURNAL_FILE: .*, line 2, is damaged"):
        list(journal.read())


def test_appended_at_once_none_is_lost(journal: Journal):
    lines = [erased() for _ in range(40)]
    with ThreadPool(8) as pool:
        pool.map(journal.append, lines)
    assert {one.account_id for one in journal.read()} == {one.account_id for one in lines}


# At the server


def order_of(device: Device, server: Served) -> str:
    return sign_erasure_order(device.signer, audience=server.runtime.audience, id=str(uuid4()))


def erase(server: Served, order: str) -> int:
    return server.client.post("/v1/erasure", json={"order": order}).status_code


def test_an_order_is_journalled_once_before_its_answer(database_url: str, tmp_path: Path):
    with served(database_url, tmp_path) as server:
        device = server.device()
        order = order_of(device, server)
        assert [erase(server, order) for _ in range(3)] == [200] * 3
        (row,) = server.runtime.journal.read()
        assert row == ErasedAccount(UUID(device.account), sha256_hex(order.encode()), server.runtime.keys.kid, HOUR)


def test_without_a_journal_nothing_is_erased_and_the_phone_comes_again(database_url: str, tmp_path: Path):
    place = tmp_path / "no folder"
    place.write_text("a file where the folder should be")
    with served(database_url, tmp_path) as server:
        device = server.device()
        device.post(line())
        order = order_of(device, server)
        object.__setattr__(server.runtime, "journal", Journal(place / "erasures.jsonl"))
        answer = server.client.post("/v1/erasure", json={"order": order})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert answer.headers["Retry-After"] == "30"
        assert device.get("/v1/account")["balance_mg"] == METRO_MG
        place.unlink()
        assert erase(server, order) == 200


def test_what_a_backup_brought_back_is_erased_before_anybody_is_served(
    database_url: str, backup: Callable[[], str], tmp_path: Path
):
    with served(database_url, tmp_path) as server:
        gone, stays = server.device(), server.device()
        gone.post(line())
        stays.post(line())
    copy = backup()
    with served(database_url, tmp_path) as server:
        gone, stays = met(server, gone), met(server, stays)
        late = server.device()
        order = order_of(gone, server)
        assert erase(server, order) == erase(server, order_of(late, server)) == 200
        server.device(gone.number)  # the same person begins anew
    with served(copy, tmp_path) as server:
        gone, stays = met(server, gone), met(server, stays)
        account = UUID(gone.account)
        assert server.rows(TripBytes, account_id=account) == server.rows(Identity, account_id=account) == []
        assert [trip.status for trip in server.rows(Trip, account_id=account)] == ["erased"]
        assert server.rows(PersonAccount, id=account)[0].status == "erased"
        assert gone.call("GET", "/v1/account").json()["type"] == "/problems/device_ended"
        assert stays.get("/v1/account")["balance_mg"] == METRO_MG
        assert server.ledger().ok
        # Nobody knows the certificate any more; the order still has one.
        assert erase(server, order) == 200
        assert len(server.rows(AccountErasure, account_id=account)) == 1
        again = erase_again(server.runtime.database, server.runtime.journal, NOW)
        assert (again.listed, again.erased_again, again.already_erased, again.unknown) == (2, 0, 1, 1)


def test_an_order_whose_commit_failed_is_carried_out_at_the_next_start(database_url: str, tmp_path: Path):
    with served(database_url, tmp_path) as server:
        device = server.device()
        device.post(line())
        server.runtime.journal.append(ErasedAccount(UUID(device.account), "0" * 64, None, HOUR))
    with served(database_url, tmp_path) as server:
        assert met(server, device).call("GET", "/v1/account").status_code == 403
        assert server.ledger().ok


def test_a_server_with_a_damaged_journal_does_not_start(database_url: str, tmp_path: Path):
    with served(database_url, tmp_path) as server:
        path = server.runtime.journal.path
    path.write_text("garbage\n")
    with pytest.raises(SettingsError, match="line 1, is damaged"), served(database_url, tmp_path):
        pass


def test_a_journal_on_a_full_disk_is_unavailable(journal: Journal, monkeypatch: pytest.MonkeyPatch):
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Problem, match="unavailable"):
        journal.append(erased())


def met(server: Served, device: Device) -> Device:
    """The same phone, calling another server process."""
    seen = server.stranger()
    seen.signer, seen.account, seen.number = device.signer, device.account, device.number
    return seen
