"""The queue: records that wait for the server's word, oldest first, one sender at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence

from greentrip.signing.jws import BadToken, key_id
from greentrip.states import State
from greentrip.store.facts import OPTED_OUT, Facts, count, fact
from greentrip.store.rows import QueuedRecord, Receipt, Settlement, is_whole
from greentrip.store.trips import state_of

DAY_MS = 24 * 3600 * 1000
ASK_AHEAD_MS_MAX = 4 * DAY_MS
"""No question and no repeat is planned further ahead; a time beyond was made before the clock jumped back."""
DELAY_MS_MAX = 6 * 3600 * 1000
"""The same for the random delay of a new record."""
LEASE_MS_MAX = 10 * 60 * 1000
"""The same for a lease."""
KEEP_MS = 400 * DAY_MS
"""Settled bytes stay at least so long, so that a restored server can be repaired."""
NO_WORD_MS = 15 * 60 * 1000
"""A record on which an answer had no word waits so long, then twice as long, up to `DELAY_MS_MAX`: it must neither
block its neighbours nor be sent again and again."""

_DUE = (
    "(state = 'pending' AND (send_after_ms IS NULL OR send_after_ms <= :now OR send_after_ms > :now + :delay))"
    " OR (state IN ('asked', 'held', 'unsupported', 'set_aside')"
    " AND (ask_again_ms IS NULL OR ask_again_ms <= :now OR ask_again_ms > :now + :ahead))"
)
RELEASE = (
    "UPDATE queue SET state = coalesce(prior, 'pending'), lease = NULL, lease_until_ms = NULL"
    " WHERE state = 'leased' AND "
)
"""Gives leased records back; a condition follows."""
_SETTLED = "'accepted', 'held', 'rejected', 'conflict', 'erased'"
_STATES = ", ".join(f"'{state}'" for state in State)


class Queue(Facts):
    """Which records go out, and what came back. No failure deletes one."""

    def lease(
        self,
        lease: str,
        now_ms: int,
        until_ms: int,
        rows_max: int,
        bytes_max: int,
        *,
        on_damaged: Callable[[str], None] = lambda _: None,
    ) -> list[QueuedRecord]:
        """Take the oldest records that are due, in order, for one sender; empty while another sender holds a lease.

        A record whose bytes no longer match their hash is set aside as damaged, and its neighbours go on. Nothing is
        due while the person has opted out.
        """
        with self._write() as db:
            _free_expired(db, now_ms, until_ms - now_ms)
            leased = db.execute("SELECT count(*) FROM queue WHERE state = 'leased'").fetchone()[0]
            if leased or fact(db, OPTED_OUT) is not None:
                return []
            batch, damaged = _take(db, now_ms, rows_max, bytes_max)
            # By their numbers: an id may be damaged too.
            db.executemany("UPDATE queue SET state = 'damaged' WHERE seq = ?", [(seq,) for seq in damaged])
            if damaged:
                count(db, "damaged", len(damaged))
            db.executemany(
                "UPDATE queue SET prior = state, state = 'leased', lease = ?, lease_until_ms = ?, sent = 1"
                " WHERE seq = ?",
                [(lease, until_ms, seq) for seq in batch],
            )
        for found in damaged.values():
            on_damaged(found)
        return list(batch.values())

    def release(self, lease: str) -> None:
        """Give the records of a lease back, unsettled. Nothing about them has changed: the call failed, not they."""
        with self._write() as db:
            _release(db, lease)

    def hurry(self, now_ms: int) -> None:
        """The person wants it now: no record waits for its random delay any more."""
        if self._read("SELECT 1 FROM queue WHERE state = 'pending' AND send_after_ms > ? LIMIT 1", (now_ms,)):
            with self._write() as db:
                db.execute("UPDATE queue SET send_after_ms = 0 WHERE state = 'pending'")

    def settle(
        self, lease: str, settlements: Sequence[Settlement], receipt: Receipt, at_ms: int, now_ms: int
    ) -> list[str]:
        """Keep the server's signed results, with its time; the rest of the lease goes back, to be sent again later.

        Returns the ids of what settled.
        """
        settled: list[str] = []
        with self._write() as db:
            kept = db.execute(
                "INSERT INTO receipt (jws, device, request_lines, answer_lines, at) VALUES (?, ?, ?, ?, ?)",
                (
                    receipt.jws,
                    receipt.device,
                    json.dumps(receipt.request_lines),
                    json.dumps(receipt.answer_lines),
                    receipt.at,
                ),
            ).lastrowid
            for item in settlements:
                row = db.execute(
                    "SELECT id, receipt FROM queue WHERE sha256 = ? AND lease = ?", (item.sha256, lease)
                ).fetchone()
                if row is None:
                    continue  # the lease ended, or the person erased it meanwhile
                db.execute(
                    "UPDATE queue SET state = ?, result_line = ?, ask_again_ms = ?, receipt = ?, lease = NULL,"
                    " lease_until_ms = NULL, why = NULL, settled_ms = ?, attempts = 0 WHERE id = ?",
                    (item.state, item.result_line, item.ask_again_ms, kept, at_ms, row[0]),
                )
                settled.append(row[0])
                forget_receipt(db, row[1])
            forget_receipt(db, kept)
            db.execute(
                "UPDATE queue SET send_after_ms = :now + min(:most, :first << min(attempts, 10)),"
                " attempts = attempts + 1 WHERE lease = :lease",
                {"now": now_ms, "most": DELAY_MS_MAX, "first": NO_WORD_MS, "lease": lease},
            )
            db.execute("UPDATE queue SET ask_again_ms = send_after_ms WHERE lease = ? AND prior <> 'pending'", (lease,))
            _release(db, lease)
        return settled

    def set_aside(self, lease: str, why: Mapping[str, str], ask_again_ms: int) -> list[str]:
        """The records of a lease cannot pass, as far as anybody said: keep them, with the words, until then."""
        with self._write() as db:
            found = [row[0] for row in db.execute("SELECT id FROM queue WHERE lease = ?", (lease,))]
            db.execute(
                "UPDATE queue SET state = 'set_aside', why = ?, ask_again_ms = ?, lease = NULL, lease_until_ms = NULL"
                " WHERE lease = ?",
                (json.dumps(dict(why)), ask_again_ms, lease),
            )
        return found

    def next_due_ms(self, now_ms: int) -> int | None:
        """When something is due by itself (a time that is over: now), or None while nothing waits."""
        if self.get(OPTED_OUT):
            return None
        free = "(state = 'leased' AND lease_until_ms > :now + :lease)"
        if self._read(f"SELECT 1 FROM queue WHERE {_DUE} OR {free} LIMIT 1", _times(now_ms)):
            return now_ms
        soonest = (
            "SELECT min(CASE state WHEN 'pending' THEN send_after_ms WHEN 'leased' THEN coalesce(lease_until_ms, 0)"
            " ELSE ask_again_ms END) FROM queue"
            " WHERE state IN ('pending', 'leased', 'asked', 'held', 'unsupported', 'set_aside')"
        )
        ((at_ms,),) = self._read(soonest)
        if at_ms is None:
            return None
        return max(now_ms, min(at_ms, now_ms + DAY_MS)) if isinstance(at_ms, int) else now_ms

    def receipt_of(self, trip_id: str) -> tuple[bytes, Receipt] | None:
        """The result line of a record and the receipt that signs it. Raises ValueError where it is damaged."""
        rows = self._read(
            "SELECT result_line, jws, device, request_lines, answer_lines, receipt.at FROM queue"
            " JOIN receipt ON receipt.id = queue.receipt WHERE queue.id = ?",
            (trip_id,),
        )
        for line, jws, device, request_lines, answer_lines, at in rows:
            return line, Receipt(jws, device, _hashes(request_lines), _hashes(answer_lines), at)
        return None

    def signed_ids(self) -> list[str]:
        """The records that have a receipt, and whose bytes are still here to be checked with it."""
        signed = "SELECT id FROM queue WHERE receipt IS NOT NULL AND line <> x'' ORDER BY seq"
        return [row[0] for row in self._read(signed)]

    def waiting(self) -> int:
        """How many records are not settled: pending or under way."""
        return int(self._read("SELECT count(*) FROM queue WHERE state IN ('pending', 'leased')")[0][0])

    def states(self) -> dict[State, int]:
        """How many records are in each state."""
        found: dict[State, int] = {}
        for text, number in self._read("SELECT state, count(*) FROM queue GROUP BY state"):
            found[state_of(text)] = found.get(state_of(text), 0) + number
        return found

    def settled_months(self) -> dict[str, list[str]]:
        """The ids of `settled_ids` by the UTC month (YYYY-MM) in which the server signed for them."""
        months: dict[str, list[str]] = {}
        taken = (
            "SELECT substr(receipt.at, 1, 7), queue.id FROM queue JOIN receipt ON receipt.id = queue.receipt"
            " WHERE state IN ('accepted', 'held', 'rejected')"
        )
        for month, one in self._read(taken):
            months.setdefault(month, []).append(one)
        return months

    # Repairs

    def settled_ids(self) -> list[str]:
        """The records that the server took in and that may count: what it must not have lost."""
        taken = "SELECT id FROM queue WHERE state IN ('accepted', 'held') AND line <> x'' ORDER BY seq"
        return [row[0] for row in self._read(taken)]

    def requeue(self, ids: Collection[str]) -> int:
        """Send these again, the same bytes: the server lost them. Returns how many."""
        return self._requeue("id", ids)

    def requeue_signed_by(self, kid: str) -> int:
        """Ask again about what this key signed: it is no longer trusted. Returns how many."""
        signed = [number for number, jws in self._read("SELECT id, jws FROM receipt") if _signer(jws) == kid]
        return self._requeue("receipt", signed)

    def ask_again_now(self, ids: Collection[str], now_ms: int) -> int:
        """The server decided about these: ask at the next pass. Returns how many were waiting for that."""
        with self._write() as db:
            return sum(
                db.execute(
                    "UPDATE queue SET ask_again_ms = ? WHERE id = ? AND state IN ('held', 'unsupported')",
                    (now_ms, one),
                ).rowcount
                for one in ids
            )

    def prune(self, now_ms: int) -> int:
        """Let go of evidence and bytes of what needs them no more: settled for good 400 days ago, by the server's
        clock, and nothing more to come. What was accepted stays until it was issued. Returns how many."""
        over = (
            "SELECT id FROM queue WHERE line <> x'' AND settled_ms < ? AND state IN ('rejected', 'conflict', 'erased')"
        )
        with self._write() as db:
            ids = [row[0] for row in db.execute(over, (now_ms - KEEP_MS,))]
            for one in ids:
                db.execute("UPDATE queue SET line = x'' WHERE id = ?", (one,))
                db.execute("UPDATE trip SET salts = x'', levels = x'' WHERE id = ?", (one,))
        return len(ids)

    def _requeue(self, column: str, values: Collection[object]) -> int:
        again = (
            "UPDATE queue SET state = 'pending', send_after_ms = 0, ask_again_ms = NULL"
            f" WHERE {column} = ? AND state IN ({_SETTLED}) AND line <> x''"
        )
        with self._write() as db:
            return sum(db.execute(again, (value,)).rowcount for value in values)


def forget_receipt(db: sqlite3.Connection, number: int | None) -> None:
    """Remove a receipt to which no record refers any more."""
    db.execute(
        "DELETE FROM receipt WHERE id = ? AND NOT EXISTS (SELECT 1 FROM queue WHERE receipt = ?)", (number, number)
    )


def _take(
    db: sqlite3.Connection, now_ms: int, rows_max: int, bytes_max: int
) -> tuple[dict[int, QueuedRecord], dict[int, str]]:
    """The next batch by number, and the records that turned out damaged, with their ids."""
    batch: dict[int, QueuedRecord] = {}
    damaged: dict[int, str] = {}
    size = 0
    # The bytes are read one by one: a long queue would have to be sorted with all of them.
    due = f"SELECT seq, state = 'set_aside' FROM queue WHERE {_DUE} ORDER BY state = 'set_aside', attempts, seq"
    for seq, apart in db.execute(due, _times(now_ms)):
        # What was set aside is tried last and by itself: it must not cost its neighbours a search again.
        if len(batch) == rows_max or (apart and batch):
            break
        record_id, line, digest = db.execute("SELECT id, line, sha256 FROM queue WHERE seq = ?", (seq,)).fetchone()
        if not is_whole(line, digest):
            damaged[seq] = str(record_id)
            continue
        if size + len(line) + 1 > bytes_max:
            break
        size += len(line) + 1
        batch[seq] = QueuedRecord(str(record_id), line, digest)
    return batch, damaged


def _hashes(text: object) -> tuple[str, ...]:
    value = json.loads(text) if isinstance(text, str) else None
    if not isinstance(value, list):
        raise ValueError("no list")
    return tuple(str(item) for item in value)


def _signer(jws: str) -> str:
    try:
        return key_id(jws)
    except BadToken:
        return ""


def _times(now_ms: int) -> dict[str, int]:
    return {"now": now_ms, "delay": DELAY_MS_MAX, "ahead": ASK_AHEAD_MS_MAX, "lease": LEASE_MS_MAX}


def _free_expired(db: sqlite3.Connection, now_ms: int, lease_ms: int) -> None:
    # A lease that ends further off than any lease lasts was made before the clock jumped back.
    ended = "coalesce(lease_until_ms, 0) <= ? OR lease_until_ms > ?"
    db.execute(f"{RELEASE} ({ended})", (now_ms, now_ms + 2 * lease_ms))
    # A state that nobody knows is damage; the hash says whether the bytes are.
    db.execute(f"UPDATE queue SET state = 'pending' WHERE state NOT IN ({_STATES})")


def _release(db: sqlite3.Connection, lease: str) -> None:
    db.execute(f"{RELEASE} lease = ?", (lease,))
