"""What a running server holds: settings, database, keys, sender, rulebook, clock. Made once, given to each handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from greentrip.signing import thumbprint
from greentrip_server.checks.policy import bundled
from greentrip_server.db import Database, is_current, upgrade
from greentrip_server.enrolment.sender import CodeSender, sender_of
from greentrip_server.enrolment.service import Hasher
from greentrip_server.erasures.again import erase_again
from greentrip_server.erasures.journal import Journal
from greentrip_server.errors import SettingsError
from greentrip_server.limits import Limits
from greentrip_server.load import Gate
from greentrip_server.methodologies.service import Methodologies
from greentrip_server.settings import Settings, check_production, phone_hash_key
from greentrip_server.sync.judge import Rulebook
from greentrip_server.sync.keys import ServerKeys


def utc_now() -> datetime:
    """The time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Runtime:
    """One server process."""

    settings: Settings
    database: Database
    keys: ServerKeys
    sender: CodeSender
    hasher: Hasher
    rulebook: Rulebook
    limits: Limits
    gate: Gate
    journal: Journal
    now: Callable[[], datetime]

    @property
    def audience(self) -> str:
        """What phones name in `aud`: the thumbprint of the root key, the same on every host."""
        return thumbprint(self.keys.root_public_key)


def start(settings: Settings, *, sender: CodeSender | None = None, now: Callable[[], datetime] = utc_now) -> Runtime:
    """Open everything that a server needs. Raises `SettingsError` for what would make it unsafe or wrong.

    Development brings the tables up to date by itself; production waits for `greentrip-server db upgrade`. Where a
    restored database has accounts in use that the erasure journal names, they are erased again.
    """
    check_production(settings)
    database = open_database(settings)
    if settings.environment == "development":
        upgrade(database)
    else:
        check_current(database)
    journal = Journal(settings.erasure_journal_file)
    # A database that was set back has accounts again that were erased: no phone is served before they are gone.
    erase_again(database, journal, now())
    return Runtime(
        settings=settings,
        database=database,
        keys=ServerKeys.load(settings, now()),
        sender=sender or sender_of(settings),
        hasher=Hasher(phone_hash_key(settings)),
        rulebook=Rulebook(bundled(), Methodologies.read(settings.methodology_dir), settings.environment),
        limits=Limits(
            device_calls_max=settings.device_calls_a_minute_max,
            enrolments_max=settings.enrolments_a_minute_max,
            now=now,
        ),
        gate=Gate(settings.requests_in_flight_max),
        journal=journal,
        now=now,
    )


def open_database(settings: Settings) -> Database:
    """The database of the settings."""
    return Database(
        settings.database_url,
        connections_max=settings.database_connections_max,
        wait_s=settings.database_wait_s,
        statement_timeout_s=settings.statement_timeout_s,
    )


def check_current(database: Database) -> None:
    """Refuse a database whose tables are not of this version, with `SettingsError`. Raises `unavailable`."""
    if not is_current(database):
        raise SettingsError(["the database is not of this version: run `greentrip-server db upgrade` first"])
