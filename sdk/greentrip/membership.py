"""The person's account at the server: opening it with a one-time code, and asking what stands in it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import cast

from greentrip.errors import InvalidInput, StorageError, Untrusted
from greentrip.remote import Remote, field_of
from greentrip.secrets_store import SecretStore
from greentrip.signing import KEY_BYTES, Signer, new_seed, signer_of
from greentrip.store import Store
from greentrip.views import Account, Entry, TripView
from greentrip.wire import base64url

PAGES_MAX = 1_000


class Membership:
    """One phone's account. Network calls hold no lock: a fix must not wait for a server."""

    def __init__(self, store: Store, remote: Remote, secrets: SecretStore) -> None:
        self._store = store
        self._remote = remote
        self._secrets = secrets
        self._lock = threading.Lock()
        remote.signer = _device_key(secrets)

    @property
    def id(self) -> str | None:
        """The account of this phone, or None before `enrol`."""
        return self._store.get("account")

    def request_code(self, phone: str) -> None:
        """Ask the server to send a one-time code to a phone number."""
        answer = self._remote.plain("POST", "/v1/enrolments", json.dumps({"phone": phone}).encode())
        self._store.put("enrolment", str(field_of(answer, "enrolment")))

    def enrol(self, code: str, consents: Mapping[str, str]) -> str:
        """Open (or join) the account with the code, and return its id. Idempotent."""
        enrolment = self._store.get("enrolment")
        if enrolment is None:
            raise InvalidInput("code", "no code was requested: request_code() first", "请先获取验证码")
        body = {
            "enrolment": enrolment,
            "code": code,
            "public_key": base64url(self._device_signer().public_key),
            "consents": dict(consents),
        }
        answer = self._remote.fetch("POST", "/v1/devices", json.dumps(body).encode())
        account = str(field_of(answer, "account"))
        if self.id not in (None, account):
            raise Untrusted("the server names another account for this phone's key")
        self._store.put("account", account)
        return account

    def account(self, waiting: Sequence[TripView]) -> Account:
        """The account's balance by the server, beside the trips that still wait here."""
        answer = self._remote.fetch("GET", "/v1/account")
        return Account(
            id=str(field_of(answer, "account")),
            balance_mg=cast("int", field_of(answer, "balance_mg")),
            trips=cast("dict[str, int]", field_of(answer, "trips")),
            waiting=len(waiting),
            waiting_mg=sum(trip.reduction_mg for trip in waiting),
        )

    def statement(self) -> list[Entry]:
        """Every entry of the account, oldest first."""
        entries: list[Entry] = []
        target = "/v1/account/statement"
        for _ in range(PAGES_MAX):
            page = self._remote.fetch("GET", target)
            entries += [_entry(item) for item in cast("list[dict[str, object]]", field_of(page, "entries"))]
            if not page.get("next"):
                return entries
            target = f"/v1/account/statement?after={page['next']}"
        raise Untrusted(f"a statement of more than {PAGES_MAX} pages")

    def _device_signer(self) -> Signer:
        """This phone's key, made at the first need and kept before it is used: a lost answer must find it again."""
        with self._lock:
            if self._remote.signer is None:
                seed = new_seed()
                self._secrets.save("device", seed)
                self._remote.signer = signer_of(seed)
            return self._remote.signer


def _device_key(secrets: SecretStore) -> Signer | None:
    seed = secrets.load("device")
    if seed is not None and len(seed) != KEY_BYTES:
        raise StorageError(
            "this phone's key is damaged: remove it and enrol again; trips are kept",
            "本机密钥已损坏：请删除密钥后重新开户；出行记录均会保留",
        )
    return signer_of(seed) if seed else None


def _entry(item: Mapping[str, object]) -> Entry:
    trip = item.get("trip")
    return Entry(
        at=str(field_of(item, "at")),
        kind=str(field_of(item, "kind")),
        trip=str(trip) if trip is not None else None,
        mg=cast("int", field_of(item, "mg")),
        balance_mg=cast("int", field_of(item, "balance_mg")),
    )
