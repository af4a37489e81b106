"""Everything that can be set, from the environment: `GREENTRIP_` and the field's name in capitals."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from greentrip.wire import BATCH_BYTES_MAX, base64url, base64url_decode
from greentrip_server.errors import SettingsError

PHONE_HASH_KEY_BYTES_MIN = 32
KEY_FOLDER = "keys"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _in_data_dir(*parts: str) -> Any:  # noqa: ANN401 - pydantic's own answer for a default
    return Field(default_factory=lambda values: values["data_dir"].joinpath(*parts))


class Settings(BaseSettings):
    """The settings of one server process. `Settings.read()` makes them; they never change afterwards."""

    model_config = SettingsConfigDict(
        env_prefix="GREENTRIP_", frozen=True, extra="forbid", use_attribute_docstrings=True, env_ignore_empty=True
    )

    environment: Literal["development", "production"] = "development"
    """In production nothing secret is made silently, and codes are never written to a log."""

    data_dir: Path = Path("greentrip-data")
    """The folder of the embedded database and of what development generates; made at the first start."""

    database_url: str = Field(
        default_factory=lambda values: f"sqlite:///{values['data_dir'] / 'greentrip.sqlite3'}", repr=False
    )
    """The SQLAlchemy address: `sqlite:///path` (embedded) or `postgresql+psycopg://user:password@host/name`."""

    host: str = "127.0.0.1"
    """The address to listen on."""

    port: int = Field(default=8000, ge=0, le=65535)
    """The TCP port to listen on; 0 takes a free one."""

    code_sender: Literal["log", "webhook"] = "log"
    """How one-time codes go out: into the log (development only), or to an SMS gateway."""

    code_webhook_url: str | None = None
    """The SMS gateway's address; it gets `{"phone", "code"}` as JSON by POST."""

    code_webhook_token: SecretStr | None = None
    """Sent to the SMS gateway as `Authorization: Bearer`; not part of the address, which may be logged."""

    phone_hash_key: SecretStr | None = None
    """At least 32 random bytes in base64url; phone numbers are kept only as HMACs under it. Development makes one."""

    online_key_file: Path = _in_data_dir(KEY_FOLDER, "online.seed")
    """The private key that signs receipts, as a base64url seed."""

    key_list_file: Path = _in_data_dir(KEY_FOLDER, "keys.jws")
    """The list of online keys, signed by the offline root key."""

    root_public_key_file: Path = _in_data_dir(KEY_FOLDER, "root.pub")
    """The root's public key in base64url, which apps pin; its private key need not be on this machine."""

    erasure_journal_file: Path = _in_data_dir("erasures.jsonl")
    """One line for every erased account, by which a restored database is mended. Keep it on another disk than the
    database, and never set it back with it. Each host has its own."""

    methodology_dir: Path | None = None
    """A folder of methodology files (*.toml) beside those that ship with the SDK."""

    body_bytes_max: int = Field(default=BATCH_BYTES_MAX + 4096, gt=0)
    """The largest request body in bytes: a full batch and a little."""

    body_timeout_s: float = Field(default=20.0, gt=0)
    """Seconds within which a request's body must be complete; then 408."""

    requests_in_flight_max: int = Field(default=100, ge=1)
    """Requests that one process works on at once; beyond them 503 with a Retry-After of 5 to 30 s."""

    idle_connections_max: int = Field(default=900, ge=1)
    """Connections that one process keeps open beside those with a request in flight; beyond them a bare 503."""

    backlog: int = Field(default=2048, ge=1)
    """New connections that wait in the kernel for one process."""

    head_bytes_max: int = Field(default=32768, ge=4096)
    """The largest request line with its headers, in bytes; beyond it 400."""

    keep_alive_s: int = Field(default=5, ge=1)
    """Seconds that a connection without a request stays open."""

    database_connections_max: int = Field(default=20, ge=1)
    """Connections to the database that this process opens at most."""

    database_wait_s: float = Field(default=10.0, gt=0)
    """Seconds that a request waits for a free connection, or for SQLite's write lock, before 503."""

    statement_timeout_s: float = Field(default=15.0, gt=0)
    """Seconds after which PostgreSQL ends a statement."""

    intake_budget_s: float = Field(default=8.0, gt=0)
    """Seconds after which no further record of a batch is begun: the rest is told to come again."""

    device_calls_a_minute_max: int = Field(default=120, ge=1)
    """Calls that one device may make in a minute, counted in each process; beyond them 429."""

    enrolments_a_minute_max: int = Field(default=60, ge=1)
    """Codes that one network address (which many phones may share) may ask for in a minute, counted in each process."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe messages that are logged."""

    lang: Literal["zh", "en"] = "zh"
    """The language of pages for readers who ask for none."""

    @classmethod
    def read(cls) -> Self:
        """The settings of the environment. Raises `SettingsError` with everything that is wrong."""
        try:
            return cls()
        except ValidationError as error:
            # Defaults that hang on a wrong value are not wrong themselves. No values: one may be a misplaced secret.
            wrong = [item for item in error.errors() if item["type"] != "default_factory_not_called"]
            raise SettingsError([_sentence(item["loc"], item["msg"]) for item in wrong]) from None


def check_production(settings: Settings) -> None:
    """Refuse what must not be in production, all at once, with `SettingsError`; development may have it."""
    if settings.environment == "production" and (wrong := _wrong_in_production(settings)):
        raise SettingsError(wrong)


def phone_hash_key(settings: Settings) -> bytes:
    """The key under which phone numbers are hashed. Development makes one at first; else `SettingsError`."""
    if settings.phone_hash_key is not None:
        text = settings.phone_hash_key.get_secret_value()
    elif settings.environment == "production":
        raise SettingsError([_sentence(("phone_hash_key",), "missing; it is never made silently in production")])
    else:
        path = settings.data_dir / "phone_hash_key"
        write_secret_once(path, base64url(secrets.token_bytes(PHONE_HASH_KEY_BYTES_MIN)))
        text = path.read_text()
    if wrong := _wrong_key(text):
        raise SettingsError([_sentence(("phone_hash_key",), wrong)])
    return base64url_decode(text)


def write_secret_once(path: Path, text: str) -> None:
    """Write a file that only its owner can read, unless there is one: of two at once, one wins and is kept whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()


def _wrong_in_production(settings: Settings) -> list[str]:
    wrong = [_sentence((name,), why) for name, why in _wrong_senders(settings)]
    key = settings.phone_hash_key
    if key is None:
        wrong.append(_sentence(("phone_hash_key",), "missing; it is never made silently in production"))
    elif why := _wrong_key(key.get_secret_value()):
        wrong.append(_sentence(("phone_hash_key",), why))
    for name in ("online_key_file", "key_list_file", "root_public_key_file"):
        if not (path := getattr(settings, name)).is_file():
            wrong.append(_sentence((name,), f"there is no file {path}; make the keys with `greentrip-server keys`"))
    return wrong


def _wrong_senders(settings: Settings) -> list[tuple[str, str]]:
    if settings.code_sender == "log":
        return [("code_sender", "`log` writes one-time codes into the log; choose `webhook`")]
    if settings.code_webhook_url is None:
        return [("code_webhook_url", "missing; the sender `webhook` needs it")]
    address = urlsplit(settings.code_webhook_url)
    if address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK):
        return []
    return [("code_webhook_url", "must begin with https://; phone numbers go there")]


def _wrong_key(text: str) -> str | None:
    try:
        enough = len(base64url_decode(text)) >= PHONE_HASH_KEY_BYTES_MIN
    except ValueError:
        return "is not base64url without padding"
    return None if enough else f"has fewer than {PHONE_HASH_KEY_BYTES_MIN} bytes"


def _sentence(where: tuple[int | str, ...], why: str) -> str:
    return f"GREENTRIP_{'.'.join(str(part) for part in where).upper()}: {why}"
