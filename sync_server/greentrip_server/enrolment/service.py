"""Enrolment: a one-time code to a phone number, then a device and an account. Consents, and whether they are given.

The phone number itself is neither stored nor logged: only its HMAC, under a key that the database does not know.
"""

from __future__ import annotations

import hmac
import math
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from sqlalchemy import CursorResult, delete, update
from sqlmodel import Session, col, select

from greentrip.signing import KEY_BYTES, thumbprint
from greentrip_server.db import Database, insert_new, lock_word
from greentrip_server.enrolment.models import (
    AccountStatus,
    Consent,
    Device,
    DeviceStatus,
    Enrolment,
    PersonAccount,
    Purpose,
)
from greentrip_server.enrolment.sender import CodeSender
from greentrip_server.errors import (
    code_expired,
    code_wrong,
    consent,
    device_ended,
    invalid,
    too_many,
    unknown_device,
)
from greentrip_server.vault import service as vault

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
TRIES_MAX = 5
CODES_PER_NUMBER_MAX = 5
CODES_WINDOW = timedelta(hours=1)
CONSENT_VERSION_CHARS_MAX = 32

_CHINA = re.compile(r"\+861[3-9]\d{9}")
_CHINA_SHORT = re.compile(r"1[3-9]\d{9}")
_E164 = re.compile(r"\+(?!86)[1-9]\d{6,14}")
_BETWEEN_DIGITS = re.compile(r"[\s()-]")


@dataclass(frozen=True, slots=True)
class Hasher:
    """Hashes what must not be readable in the database: HMAC-SHA-256 under `phone_hash_key`."""

    key: bytes

    def phone(self, number: str) -> str:
        """The name of a phone number (E.164) in the database."""
        return self._hash(f"phone:{number}")

    def code(self, enrolment_id: UUID, code: str) -> str:
        """A code, bound to its enrolment."""
        return self._hash(f"code:{enrolment_id}:{code}")

    def _hash(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Begun:
    """An enrolment under way. `phone` and `code` are for the sender only."""

    enrolment_id: UUID
    expires_at: datetime
    phone: str
    code: str

    def __repr__(self) -> str:
        # So that neither can end up in a log or a traceback.
        return f"Begun(enrolment_id={self.enrolment_id}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What a phone sends to register its key: `consents` gives the accepted version of each purpose."""

    enrolment_id: UUID
    code: str
    public_key: bytes
    consents: Mapping[str, str]


def enrol(database: Database, hasher: Hasher, sender: CodeSender, phone: str, now: datetime) -> Begun:
    """Begin an enrolment and send its code, in this order: no transaction waits for an SMS gateway.

    Raises `invalid`, `too_many`, `unavailable`.
    """
    with database.write() as session:
        begun = begin(session, hasher, phone, now)
    sender.send(begun.phone, begun.code, begun.enrolment_id)
    return begun


def begin(session: Session, hasher: Hasher, phone: str, now: datetime) -> Begun:
    """Draw a code for a phone number. Raises `invalid` for the number and `too_many` for the sixth code an hour."""
    number = normalise_phone(phone)
    phone_hash = hasher.phone(number)
    lock_word(session, f"phone:{phone_hash}")
    forget_enrolments(session, now)
    _check_rate(session, phone_hash, now)
    enrolment_id, code = uuid4(), f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
    session.add(
        Enrolment(
            id=enrolment_id,
            phone_hash=phone_hash,
            code_hash=hasher.code(enrolment_id, code),
            created_at=now,
            expires_at=now + CODE_LIFE,
        )
    )
    session.flush()
    return Begun(enrolment_id, now + CODE_LIFE, number, code)


def register_device(session: Session, hasher: Hasher, new: NewDevice, now: datetime) -> Device:
    """Turn a code and a public key into a device of the person's account. The caller has verified the key's signature.

    Idempotent by the key: the same call again gives the same device. Raises `invalid`, `code_wrong`, `code_expired`,
    `device_ended`.
    """
    if len(new.public_key) != KEY_BYTES:
        raise invalid("public_key", f"must be {KEY_BYTES} bytes", f"须为 {KEY_BYTES} 字节")
    consents = _parse_consents(new.consents)
    device_id = thumbprint(new.public_key)
    enrolment = session.get(Enrolment, new.enrolment_id, with_for_update=True, populate_existing=True)
    if enrolment is None or enrolment.used_by != device_id:
        enrolment = _use_code(hasher, enrolment, new.code, device_id, now)
    phone_hash = enrolment.phone_hash
    lock_word(session, f"phone:{phone_hash}")
    account_id = vault.account_for(session, phone_hash) or _new_account(session, phone_hash, now)
    device = _device_for(session, device_id, account_id, new.public_key, now)
    give_consents(session, account_id, consents, now)
    return device


def known_device(session: Session, device_id: str) -> Device:
    """The device with this thumbprint, also one that was ended. Raises `unknown_device`."""
    device = session.get(Device, device_id)
    if device is None:
        raise unknown_device()
    return device


def device_of(session: Session, device_id: str) -> Device:
    """The device with this thumbprint, which may call. Raises `unknown_device`, `device_ended`."""
    device = known_device(session, device_id)
    if device.status == DeviceStatus.ENDED:
        raise device_ended()
    return device


def forget_person(session: Session, account_id: UUID) -> None:
    """Forget whose account it is, and the codes on their way to that number. Call it before the account's lock.

    It waits for whoever is using one of the codes: that device then belongs to the account and ends with it.
    """
    phone_hash = vault.phone_hash_of(session, account_id)
    if phone_hash is None:
        return
    of_person = select(Enrolment.id).where(Enrolment.phone_hash == phone_hash).order_by(col(Enrolment.id))
    ids = session.exec(of_person.with_for_update()).all()
    session.execute(delete(Enrolment).where(col(Enrolment.id).in_(ids)))
    lock_word(session, f"phone:{phone_hash}")
    vault.forget(session, account_id)


def end_account(session: Session, account: PersonAccount, now: datetime) -> None:
    """End an account for good: no device of it may call, no consent is in force. The caller holds its lock."""
    account.status = AccountStatus.ERASED
    session.execute(update(Device).where(col(Device.account_id) == account.id).values(status=DeviceStatus.ENDED))
    for purpose in Purpose:
        withdraw_consent(session, account.id, purpose, now)
    session.flush()


def give_consents(session: Session, account_id: UUID, consents: Mapping[Purpose, str], now: datetime) -> None:
    """Note that the person agreed to these versions; what is in force already stays as it is."""
    rows = [
        {"account_id": account_id, "purpose": purpose, "version": version, "given_at": now, "withdrawn_at": None}
        for purpose, version in consents.items()
    ]
    insert_new(session, Consent, rows)


def withdraw_consent(session: Session, account_id: UUID, purpose: Purpose, now: datetime) -> None:
    """End every version of a consent that is in force; the rows stay as history."""
    session.execute(
        update(Consent)
        .where(
            col(Consent.account_id) == account_id,
            col(Consent.purpose) == purpose,
            col(Consent.withdrawn_at).is_(None),
        )
        .values(withdrawn_at=now)
    )


def require_consent(session: Session, account_id: UUID, purpose: Purpose) -> None:
    """Raises `consent` unless the person has agreed to `purpose` and not withdrawn it."""
    in_force = select(Consent.version).where(
        Consent.account_id == account_id, Consent.purpose == purpose, col(Consent.withdrawn_at).is_(None)
    )
    if session.exec(in_force).first() is None:
        raise consent(purpose)


def forget_enrolments(session: Session, now: datetime) -> int:
    """Remove enrolments that ended a day ago and return how many; a phone number's hash is personal data too.

    One that a late repeat holds stays until the next time: to wait for it could be a deadlock, as callers hold a word.
    """
    ended = select(Enrolment.id).where(Enrolment.expires_at < now - timedelta(days=1))
    free = delete(Enrolment).where(col(Enrolment.id).in_(ended.with_for_update(skip_locked=True)))
    done = session.execute(free, execution_options={"synchronize_session": False})
    return cast("CursorResult[tuple[()]]", done).rowcount


def normalise_phone(phone: str) -> str:
    """A phone number in E.164, from that or from 11 digits of the mainland. Raises `invalid`."""
    text = _BETWEEN_DIGITS.sub("", unicodedata.normalize("NFKC", phone))
    number = f"+86{text}" if _CHINA_SHORT.fullmatch(text) else text
    if number.isascii() and (_CHINA.fullmatch(number) or _E164.fullmatch(number)):
        return number
    raise invalid(
        "phone",
        "must be a mobile number of 11 digits, or one with its country code such as +85291234567",
        "请填写 11 位手机号码，或带国家/地区代码的号码（如 +85291234567）",
    )


def _check_rate(session: Session, phone_hash: str, now: datetime) -> None:
    recent = session.exec(
        select(Enrolment.created_at)
        .where(Enrolment.phone_hash == phone_hash, Enrolment.created_at > now - CODES_WINDOW)
        .order_by(col(Enrolment.created_at).desc())
        .limit(CODES_PER_NUMBER_MAX)
    ).all()
    if len(recent) == CODES_PER_NUMBER_MAX:
        raise too_many(max(1, math.ceil((recent[-1] + CODES_WINDOW - now).total_seconds())))


def _use_code(hasher: Hasher, enrolment: Enrolment | None, code: str, device_id: str, now: datetime) -> Enrolment:
    """The enrolment, its code now used by the device. A wrong code is counted before it is refused."""
    if enrolment is None or enrolment.used_at or now >= enrolment.expires_at or enrolment.attempts >= TRIES_MAX:
        raise code_expired()
    if not hmac.compare_digest(hasher.code(enrolment.id, code), enrolment.code_hash):
        enrolment.attempts += 1
        raise code_wrong(TRIES_MAX - enrolment.attempts)
    enrolment.used_at = now
    enrolment.used_by = device_id
    return enrolment


def _new_account(session: Session, phone_hash: str, now: datetime) -> UUID:
    account = PersonAccount(id=uuid4(), created_at=now)
    session.add(account)
    session.flush()
    vault.bind(session, phone_hash, account.id)
    return account.id


def _device_for(session: Session, device_id: str, account_id: UUID, public_key: bytes, now: datetime) -> Device:
    row = {
        "id": device_id,
        "account_id": account_id,
        "public_key": public_key,
        "status": DeviceStatus.ACTIVE,
        "created_at": now,
    }
    insert_new(session, Device, [row])
    device = device_of(session, device_id)
    if device.account_id != account_id:
        # Its records would go out under another person's account.
        raise invalid(
            "public_key",
            "this key belongs to another account: make a new one",
            "该密钥已属于其他账户：请生成新密钥",
        )
    return device


def _parse_consents(consents: Mapping[str, str]) -> dict[Purpose, str]:
    for purpose, version in consents.items():
        if purpose not in tuple(Purpose):
            known = [str(word) for word in Purpose]
            raise invalid("consents", f"{purpose[:32]!r} is no purpose", f"没有用途“{purpose[:32]}”", suggestions=known)
        # PostgreSQL keeps no NUL in a text.
        if not 0 < len(version) <= CONSENT_VERSION_CHARS_MAX or not version.isprintable():
            raise invalid(
                f"consents.{purpose}",
                f"a version has 1 to {CONSENT_VERSION_CHARS_MAX} printable characters",
                f"版本须为 1 至 {CONSENT_VERSION_CHARS_MAX} 个可见字符",
            )
    return {Purpose(purpose): version for purpose, version in consents.items()}
