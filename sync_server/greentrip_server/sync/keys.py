"""The server's keys: an offline root, and online keys that the root lists.

Apps pin the root's public key. What the server signs from day to day it signs with an online key; the list of those,
signed by the root, is public. So an online key can be replaced, or given up after a theft, and no phone is stranded.

A folder of keys holds `root.seed` (private; keep it off line and off the server), `root.pub`, `online.seed` (private)
and `keys.jws` (the list). Seeds and public keys are 32 bytes in base64url.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from greentrip.signing import KEY_BYTES, Signer, new_seed, signer_of, thumbprint
from greentrip.trust import ONLINE_KEYS_MAX, KeyList, OnlineKey, open_key_list, sign_key_list
from greentrip.wire import base64url, base64url_decode
from greentrip_server.errors import SettingsError
from greentrip_server.settings import Settings, write_secret_once

ROOT_SEED = "root.seed"
ROOT_PUBLIC = "root.pub"
ONLINE_SEED = "online.seed"
KEY_LIST = "keys.jws"
ONLINE_KEY_LIFE = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a running server needs: the online key to sign with, and what it shows of its keys to others."""

    signer: Signer
    kid: str
    until: datetime
    """When the online key ends: add another one before."""
    key_list: str
    """The signed list, for /.well-known/greentrip-keys."""
    listed: KeyList
    """What stands in it: receipts name its `seq`."""
    root_public_key: bytes

    @classmethod
    def load(cls, settings: Settings, now: datetime) -> Self:
        """The keys in the settings' files; development makes them at the first start. Raises `SettingsError`."""
        if settings.environment == "development" and not settings.key_list_file.exists():
            _init_development(settings, now)
        try:
            signer = signer_of(_read_key(settings.online_key_file))
            root_public_key = _read_key(settings.root_public_key_file)
            token = settings.key_list_file.read_text().strip()
            listed = open_key_list(token, root_public_key)
        except (OSError, ValueError) as error:
            raise SettingsError([f"the server's keys cannot be used: {error}"]) from None
        key = listed.find(thumbprint(signer.public_key))
        if key is None or not key.valid_from <= now < key.valid_until:
            why = "is not on the list" if key is None else f"may sign from {key.valid_from} until {key.valid_until}"
            raise SettingsError([f"the key in {settings.online_key_file} {why}: add a new online key"])
        return cls(signer, key.kid, key.valid_until, token, listed, root_public_key)


def init_keys(folder: Path, now: datetime) -> None:
    """Make a root key, one online key and their list in a new folder. Raises FileExistsError when it has something.

    All or nothing: of two processes that do it at once, one succeeds and the other is told.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: keys are never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        root, seed = new_seed(), new_seed()
        write_secret_once(draft / ROOT_SEED, base64url(root))
        write_secret_once(draft / ROOT_PUBLIC, base64url(signer_of(root).public_key))
        write_secret_once(draft / ONLINE_SEED, base64url(seed))
        listed = KeyList(1, now, (_new_online_key(seed, now),))
        write_secret_once(draft / KEY_LIST, sign_key_list(signer_of(root), listed))
        draft.rename(folder)
    except OSError as error:
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: keys are never overwritten") from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def add_online_key(folder: Path, now: datetime, *, drop: Sequence[str] = ()) -> str:
    """Add an online key to the list and return its thumbprint; the server signs with it from its next start.

    Keys before it stay valid until they end, since receipts refer to them; those in `drop` (thumbprints) were stolen
    and leave the list. A full list loses the keys that ended longest ago. Needs the root's private key in the folder.
    Raises OSError, ValueError; then nothing was changed.
    """
    root = signer_of(_read_key(folder / ROOT_SEED))
    before = open_key_list((folder / KEY_LIST).read_text().strip(), root.public_key)
    if unknown := [kid for kid in drop if before.find(kid) is None]:
        listed = ", ".join(key.kid for key in before.keys)
        raise ValueError(f"no key {', '.join(unknown)} on the list, which has: {listed}")
    seed = new_seed()
    added = _new_online_key(seed, now)
    kept = _with_room_for_one([key for key in before.keys if key.kid not in drop], now)
    # The list first: a key on the list that nobody has harms no one, a signature by an unlisted key does.
    _replace(folder / KEY_LIST, sign_key_list(root, KeyList(before.seq + 1, now, (*kept, added))))
    _replace(folder / ONLINE_SEED, base64url(seed))
    return added.kid


def _with_room_for_one(keys: Sequence[OnlineKey], now: datetime) -> Sequence[OnlineKey]:
    """The keys, without as many of those that ended first as must go. Phones refuse a list that is too long."""
    excess = max(0, len(keys) + 1 - ONLINE_KEYS_MAX)
    ended = sorted((key for key in keys if key.valid_until <= now), key=lambda key: key.valid_until)
    if excess > len(ended):
        first = min(key.valid_until for key in keys)
        raise ValueError(f"all {ONLINE_KEYS_MAX} keys on the list are still valid: drop one, or wait until {first}")
    gone = ended[:excess]
    return [key for key in keys if key not in gone]


def _init_development(settings: Settings, now: datetime) -> None:
    try:
        init_keys(settings.key_list_file.parent, now)
    except FileExistsError:
        # Another process was faster, or the folder lacks only the list: loading tells which.
        return


def _new_online_key(seed: bytes, now: datetime) -> OnlineKey:
    since = now.astimezone(UTC).replace(microsecond=0)
    return OnlineKey(signer_of(seed).public_key, since, since + ONLINE_KEY_LIFE)


def _read_key(path: Path) -> bytes:
    """A key file. Raises OSError, or ValueError that names the file but not what is in it."""
    try:
        key = base64url_decode(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} does not hold {KEY_BYTES} bytes in base64url")
    return key


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    write_secret_once(draft, text)
    draft.replace(path)
