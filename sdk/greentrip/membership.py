"""The person's account at the server: opening it with a one-time code, and asking what stands in it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress

from greentrip import fork
from greentrip.errors import InvalidInput, Refused, StorageError, Untrusted
from greentrip.remote import Remote, field_of
from greentrip.secrets_store import SecretStore
from greentrip.signing import KEY_BYTES, Signer, new_seed, signer_of, thumbprint
from greentrip.signing.jws import BadToken
from greentrip.store import Store
from greentrip.store.faults import typed_errors
from greentrip.trust import sign_erasure_order, signer_id
from greentrip.views import Account, Entry, Notice, TripView
from greentrip.wire import base64url

PAGES_MAX = 1_000


class Membership:
    """One phone's account. Network calls hold no lock: a fix must not wait for a server."""

    def __init__(self, store: Store, remote: Remote, secrets: SecretStore, key_name: str) -> None:
        self._store = store
        self._remote = remote
        self._secrets = secrets
        self._key_name = key_name
        self._lock = threading.Lock()
        remote.signer = self._device_key()
        if remote.signer is not None and self._has_ordered(remote.signer):
            self._erase_key()  # the process died between erasing the store and the key
        fork.watch(self)

    def after_fork(self) -> None:
        """In the child: a lock that nobody holds."""
        self._lock = threading.Lock()

    @property
    def id(self) -> str | None:
        """The account of this phone, or None before `enrol`."""
        return self._store.get("account")

    def request_code(self, phone: str) -> None:
        """Ask the server to send a one-time code to a phone number."""
        answer = self._remote.plain("POST", "/v1/enrolments", json.dumps({"phone": phone}).encode())
        self._store.put("enrolment", field_of(answer, "enrolment", str))

    def enrol(self, code: str, consents: Mapping[str, str], *, replace_account: bool) -> str:
        """Open (or join) the account with the code, and return its id. Idempotent."""
        enrolment = self._store.get("enrolment")
        if enrolment is None:
            raise InvalidInput("code", "no code was requested: request_code() first", "请先获取验证码")
        try:
            account = self._register(enrolment, code, consents)
        except Refused as error:
            if error.kind != "device_ended":
                raise
            # The old key was ended for good; a refused registration does not use up the code.
            self._new_key()
            account = self._register(enrolment, code, consents)
        if self.id not in (None, account):
            if not replace_account:
                with self._lock:
                    self._erase_key()  # it is the other account's: the trips here must not go out under it
                raise Untrusted("the server names another account for this phone's key", "服务器给出的是另一个账户")
            self._store.requeue(self._store.settled_ids())
        self._store.put("account", account)
        return account

    def find_key(self) -> None:
        """Use the key that is kept now: another process of the app may have enrolled, or erased everything."""
        with self._lock:
            self._remote.signer = self._device_key()

    def erase(self) -> bool:
        """Erase everything here, and keep as the only row a signed order that the server do the same.

        Returns False where there is an account, and no key any more to sign the order with.
        """
        with self._lock:
            order, has_account = None, self.id is not None
            if self._remote.signer is not None and has_account:
                audience = thumbprint(self._remote.root_key)
                order = sign_erasure_order(self._remote.signer, audience=audience, id=str(uuid.uuid4()))
            self._store.erase_all(order)
            self._erase_key()
            return order is not None or not has_account

    def account(self, waiting: Sequence[TripView]) -> Account:
        """The account's balance by the server, beside the trips that still wait here."""
        answer = self._remote.fetch("GET", "/v1/account")
        return Account(
            id=field_of(answer, "account", str),
            balance_mg=field_of(answer, "balance_mg", int),
            trips=_counts(field_of(answer, "trips", dict)),
            waiting=len(waiting),
            waiting_mg=sum(trip.reduction_mg for trip in waiting),
        )

    def notices(self, after: int) -> list[Notice]:
        """The server's decisions from after a number, oldest first."""
        items = self._pages("/v1/notices", "notices", after)
        return [
            Notice(
                number=field_of(item, "number", int),
                at=field_of(item, "at", str),
                kind=field_of(item, "kind", str),
                trip=_text(item.get("trip")),
                status=_text(item.get("status")),
            )
            for item in items
        ]

    def statement(self) -> list[Entry]:
        """Every entry of the account, oldest first."""
        return [_entry(item) for item in self._pages("/v1/account/statement", "entries")]

    def _pages(self, target: str, member: str, after: object = 0) -> list[dict[str, object]]:
        """All items of a call that answers in pages."""
        items: list[dict[str, object]] = []
        for _ in range(PAGES_MAX):
            page = self._remote.fetch("GET", f"{target}?after={after}" if after else target)
            items += [item for item in field_of(page, member, list) if isinstance(item, dict)]
            after = page.get("next")
            if not after:
                return items
        raise Untrusted(f"{member} of more than {PAGES_MAX} pages")

    def _register(self, enrolment: str, code: str, consents: Mapping[str, str]) -> str:
        body = {
            "enrolment": enrolment,
            "code": code,
            "public_key": base64url(self._device_signer().public_key),
            "consents": dict(consents),
        }
        answer = self._remote.fetch("POST", "/v1/devices", json.dumps(body).encode())
        return field_of(answer, "account", str)

    def _device_signer(self) -> Signer:
        """This phone's key, made at the first need and kept before it is used: a lost answer must find it again."""
        with self._lock:
            # Another process of the app may have been first.
            self._remote.signer = self._device_key()
            return self._remote.signer or self._make_key()

    def _new_key(self) -> None:
        with self._lock:
            self._make_key()

    def _make_key(self) -> Signer:
        seed = new_seed()
        with typed_errors():
            self._secrets.save(self._key_name, seed)
        self._remote.signer = signer_of(seed)
        return self._remote.signer

    def _erase_key(self) -> None:
        self._remote.signer = None
        with typed_errors():
            self._secrets.erase(self._key_name)

    def _has_ordered(self, signer: Signer) -> bool:
        """Whether this key signed an order to erase its account."""
        for order in self._store.erasure_orders():
            with suppress(BadToken):
                if signer_id(order) == thumbprint(signer.public_key):
                    return True
        return False

    def _device_key(self) -> Signer | None:
        with typed_errors():
            seed = self._secrets.load(self._key_name)
        if seed is not None and len(seed) != KEY_BYTES:
            raise StorageError(
                "this phone's key is damaged: remove it and enrol again; trips are kept",
                "本机密钥已损坏：请删除密钥后重新开户；出行记录均会保留",
            )
        return signer_of(seed) if seed else None


def _entry(item: Mapping[str, object]) -> Entry:
    return Entry(
        at=field_of(item, "at", str),
        kind=field_of(item, "kind", str),
        trip=_text(item.get("trip")),
        mg=field_of(item, "mg", int),
        balance_mg=field_of(item, "balance_mg", int),
    )


def _counts(found: Mapping[object, object]) -> dict[str, int]:
    return {str(key): count for key, count in found.items() if isinstance(count, int)}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
