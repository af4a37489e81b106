"""The server's online keys as a phone knows them: a stored list, fetched again when a receipt asks for a newer one."""

from __future__ import annotations

from collections.abc import Callable

from greentrip.clock import Clock
from greentrip.errors import Unreachable, Untrusted
from greentrip.http import Http
from greentrip.signing.jws import BadToken
from greentrip.store import Store
from greentrip.trust import KeyList, KeyNotValid, ReceiptFacts, open_key_list, signer_id

KEYS_TARGET = "/.well-known/greentrip-keys"
KEY_LIST_AGE_S_MAX = 28 * 24 * 3600.0
"""An older list is fetched again, so that a stolen key is dropped also where only the thief answers. When nobody gives
the list, the old one goes on: a server that cannot be asked for it must not stop credits."""
REFRESH_PAUSE_S = 3600.0
"""An old list is asked for at most so often."""


class KeyRing:
    """The newest key list that this phone has seen, signed by the pinned root."""

    def __init__(self, http: Http, root_key: bytes, store: Store, clock: Clock) -> None:
        self._http = http
        self._root_key = root_key
        self._store = store
        self._clock = clock
        self._refreshed_at: float | None = None
        self.changed: Callable[[int], None] = lambda seq: None
        """Told after another list was kept, on the thread that asked the server."""

    def open(self, token: str, read: Callable[[KeyList], ReceiptFacts], deadline: float) -> ReceiptFacts:
        """What a receipt says by a list that is new enough for it; `read` opens the receipt with a list.

        `deadline` is by the clock's `monotonic`. Raises `Untrusted`, or `Unreachable` when a newer list is needed and
        cannot be had.
        """
        try:
            facts = self._by_stored(signer_id(token), read)
            if facts is not None and not self._is_old(facts):
                return facts
            try:
                fresh = self._fetch(deadline)
            except Unreachable:
                if facts is None:
                    raise
                return facts
            facts = read(fresh)
        except BadToken as error:
            raise Untrusted(str(error)) from None
        if facts.keys > fresh.seq:
            raise Untrusted("an older key list than the receipt names")
        self._store.put("key_list_at", f"{round(facts.at.timestamp())} {round(self._clock.now())}")
        return facts

    def stored(self) -> KeyList | None:
        """The list that is kept; None when there is none, or what is kept is damaged: it is fetched again."""
        text = self.token()
        try:
            return open_key_list(text, self._root_key) if text else None
        except BadToken:
            return None

    def age_s(self, server_now: float) -> float | None:
        """How long ago the list was fetched, in seconds; None when that is not known.

        By the server's clock or the phone's, whichever says more: a thief can name any time, and a phone's clock may
        begin anew with every boot.
        """
        try:
            server_s, phone_s = map(int, (self._store.get("key_list_at") or "").split())
        except ValueError:
            return None
        return max(abs(server_now - server_s), abs(self._clock.now() - phone_s))

    def token(self) -> str | None:
        """The list that is kept, as the root signed it."""
        return self._store.get("key_list")

    def _by_stored(self, kid: str, read: Callable[[KeyList], ReceiptFacts]) -> ReceiptFacts | None:
        """What a receipt says by the stored list; None when a newer one must be asked."""
        stored = self.stored()
        if stored is None or stored.find(kid) is None:
            return None
        try:
            facts = read(stored)
        except KeyNotValid:
            return None
        return facts if facts.keys <= stored.seq else None

    def _is_old(self, facts: ReceiptFacts) -> bool:
        """Whether the list was fetched long ago, and not asked for just now."""
        age_s = self.age_s(facts.at.timestamp())
        if age_s is not None and age_s <= KEY_LIST_AGE_S_MAX:
            return False
        return self._refreshed_at is None or self._clock.monotonic() - self._refreshed_at >= REFRESH_PAUSE_S

    def _fetch(self, deadline: float) -> KeyList:
        self._refreshed_at = self._clock.monotonic()
        answer = self._http.send("GET", KEYS_TARGET, b"", {}, deadline - self._refreshed_at)
        if answer.status != 200:
            raise Unreachable(f"no key list, HTTP {answer.status}")
        try:
            text = answer.body.decode("ascii").strip()
            fresh = open_key_list(text, self._root_key)
        except (BadToken, UnicodeDecodeError) as error:
            raise Untrusted(f"key list: {error}") from None
        self._keep(fresh, text)
        return fresh

    def _keep(self, fresh: KeyList, text: str) -> None:
        """Keep a newer list. What a key signed that is no longer on it is asked for again: the key may be stolen."""
        stored = self.stored()
        if stored is not None and fresh.seq < stored.seq:
            raise Untrusted("an older key list than one seen before")
        # First what it means for the records: a process that dies in between does it again.
        for key in stored.keys if stored else ():
            if fresh.find(key.kid) is None:
                self._store.requeue_signed_by(key.kid)
        self._store.put("key_list", text)
        if stored is None or fresh.seq > stored.seq:
            self.changed(fresh.seq)
