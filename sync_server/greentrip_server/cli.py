"""`greentrip-server`: run the server, look after its database, keys and ledger, see it work."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import click
import structlog
import uvicorn
from litestar import Litestar
from uvicorn.supervisors import Multiprocess

import greentrip
from greentrip.wire import base64url
from greentrip_server.app import for_process
from greentrip_server.checks.reference import describe_rules, markdown
from greentrip_server.db import is_current, upgrade
from greentrip_server.demo.options import demo_command
from greentrip_server.erasures.again import erase_again
from greentrip_server.erasures.journal import Journal
from greentrip_server.erasures.service import erase_for_staff
from greentrip_server.errors import Problem, SettingsError, rfc3339
from greentrip_server.ledger.service import LedgerReport, check
from greentrip_server.log import configure
from greentrip_server.methodologies.service import Methodologies
from greentrip_server.runtime import check_current, open_database, start, utc_now
from greentrip_server.settings import Settings
from greentrip_server.sync.judge import recheck_all
from greentrip_server.sync.keys import ServerKeys, add_online_key, init_keys
from greentrip_server.sync.service import CONFLICTS_LISTED_MAX, conflicts

APPLICATION = "greentrip_server.app:from_environment"
LEDGER_CHECK_TIMEOUT_S = 3600.0
SHUTDOWN_S = 30
WORKER_START_S = 60

OPEN_DEVELOPMENT = (
    "other machines can reach this server, and it is in development: one-time codes go to the log, and replayed trips "
    "are credited; set GREENTRIP_ENVIRONMENT=production before real people use it"
)

_log = structlog.get_logger(__name__)

as_json = click.option("--json", "json_out", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(greentrip.__version__)
def cli() -> None:
    """Low-carbon travel credits: the server. Settings come from the environment (GREENTRIP_...)."""


@cli.command()
@click.option("--host", help="Address to listen on (GREENTRIP_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port, 0 for a free one (GREENTRIP_PORT).")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@as_json
def run(host: str | None, port: int | None, workers: int, json_out: bool) -> None:
    """Run the server until it is stopped."""
    _end_well_on_signals()
    settings = Settings.read()
    configure(settings.log_level)
    runtime = start(settings)
    listener = _listen(host or settings.host, settings.port if port is None else port)
    if settings.environment == "development" and not ip_address(listener.getsockname()[0]).is_loopback:
        _log.warning(OPEN_DEVELOPMENT)
    url = _url(listener)
    root_key = base64url(runtime.keys.root_public_key)
    facts = {"url": url, "docs": f"{url}/schema", "root_key": root_key, "environment": settings.environment}
    # Connections are made: whoever reads this line can call.
    click.echo(json.dumps(facts) if json_out else "\n".join(f"{key:12} {value}" for key, value in facts.items()))
    sys.stdout.flush()
    if workers == 1:
        uvicorn.Server(_config(partial(for_process, runtime), settings)).run(sockets=[listener])
        return
    # Each worker opens its own database connections: they do not survive a fork.
    runtime.database.close()
    Multiprocess(_config(APPLICATION, settings, workers=workers), [listener]).run()


@cli.group()
def db() -> None:
    """The database's tables."""


@db.command("upgrade")
@as_json
def db_upgrade(json_out: bool) -> None:
    """Bring the tables to the version of this software."""
    with closing(open_database(Settings.read())) as database:
        upgrade(database)
        _print({"current": is_current(database)}, json_out)


@cli.group()
def keys() -> None:
    """The server's keys: an offline root, and the online keys that it lists."""


@keys.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@as_json
def keys_init(folder: Path, json_out: bool) -> None:
    """Make a root key, an online key and their list in a new FOLDER. Keep root.seed off the server."""
    try:
        init_keys(folder, utc_now())
    except FileExistsError as error:
        raise click.ClickException(str(error)) from None
    _print({"root_key": (folder / "root.pub").read_text().strip(), "folder": str(folder)}, json_out)


@keys.command("rotate")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--drop", multiple=True, help="Thumbprint of a key that was stolen: it leaves the list.")
@as_json
def keys_rotate(folder: Path, drop: tuple[str, ...], json_out: bool) -> None:
    """Add an online key to the list in FOLDER (needs root.seed); the server uses it from its next start."""
    try:
        kid = add_online_key(folder, utc_now(), drop=drop)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the keys in {folder} cannot be used: {error}") from None
    _print({"kid": kid}, json_out)


@keys.command("show")
@as_json
def keys_show(json_out: bool) -> None:
    """The root key that apps pin, and the online key in use."""
    loaded = ServerKeys.load(Settings.read(), utc_now())
    facts = {"root_key": base64url(loaded.root_public_key), "kid": loaded.kid, "until": loaded.until.isoformat()}
    _print(facts, json_out)


@cli.group()
def ledger() -> None:
    """The ledger."""


@ledger.command("check")
@as_json
def ledger_check(json_out: bool) -> None:
    """Whether every transfer balances and every balance is the sum of its postings. Ends with 1 if not."""
    with closing(open_database(Settings.read())) as database:
        check_current(database)
        with database.read(timeout_s=LEDGER_CHECK_TIMEOUT_S) as session:
            report = check(session)
    _print_ledger(report, json_out)
    if not report.ok:
        sys.exit(1)


@cli.group()
def trips() -> None:
    """Trips and their checks."""


@trips.command("recheck")
@as_json
def trips_recheck(json_out: bool) -> None:
    """Judge again the held trips whose day has come."""
    runtime = start(Settings.read())
    count = recheck_all(runtime.database, runtime.rulebook, runtime.now())
    runtime.database.close()
    _print({"no_longer_held": count}, json_out)


@trips.command("conflicts")
@click.option(
    "--limit",
    type=click.IntRange(1, CONFLICTS_LISTED_MAX),
    default=CONFLICTS_LISTED_MAX,
    show_default=True,
    help="Rows at most.",
)
@as_json
def trips_conflicts(limit: int, json_out: bool) -> None:
    """Records that came under the id of another one, newest first: hashes, account, device. They do not count."""
    with closing(open_database(Settings.read())) as database:
        check_current(database)
        with database.read() as session:
            found = [{**asdict(one), "hour": rfc3339(one.hour)} for one in conflicts(session, limit)]
    rows = [{key: str(value) for key, value in row.items()} for row in found]
    click.echo(json.dumps(rows) if json_out else "\n\n".join(map(_lines, rows)))


@cli.group()
def accounts() -> None:
    """Accounts of people."""


@accounts.command("erase")
@click.argument("account_id", type=click.UUID)
@click.option("--why", required=True, help="The reason; the log and the journal keep only its SHA-256.")
@as_json
def accounts_erase(account_id: UUID, why: str, json_out: bool) -> None:
    """Erase the account ACCOUNT_ID for good, as its person's own order does: for somebody who has no phone left."""
    settings = Settings.read()
    configure(settings.log_level)
    with closing(open_database(settings)) as database:
        check_current(database)
        journal = Journal(settings.erasure_journal_file)
        with database.write() as session:
            erased = erase_for_staff(session, account_id, why, journal, utc_now())
    _print({"account": str(account_id), "erased": erased, "already_erased": not erased}, json_out)


@accounts.command("erase-again")
@as_json
def accounts_erase_again(json_out: bool) -> None:
    """After a restore: erase again every account that the erasure journal names. The server does so at each start."""
    settings = Settings.read()
    with closing(open_database(settings)) as database:
        check_current(database)
        done = erase_again(database, Journal(settings.erasure_journal_file), utc_now())
    _print(asdict(done), json_out)


@cli.command()
@as_json
def methodologies(json_out: bool) -> None:
    """The methodology files that the server knows."""
    files = Methodologies.read(Settings.read().methodology_dir).files
    rows = [
        {
            "reference": file.reference,
            "title": file.title_en,
            "valid_from": file.valid_from.isoformat(),
            "issuance": file.issuance,
            "unconfirmed": {mode.value: len(factors) for mode, factors in file.unconfirmed().items()},
        }
        for file in files
    ]
    click.echo(json.dumps(rows, ensure_ascii=False) if json_out else "\n\n".join(map(_lines, rows)))


@cli.command()
@as_json
def policy(json_out: bool) -> None:
    """The rules of the checks and their limits."""
    click.echo(json.dumps(describe_rules(), ensure_ascii=False) if json_out else markdown())


cli.add_command(demo_command)


def main() -> None:
    """The console script. A wrong setting or a database that is down is a sentence, not a traceback."""
    try:
        cli(standalone_mode=True)
    except OSError as error:
        click.echo(f"{error.filename or 'the data folder'}: {error.strerror}; see GREENTRIP_DATA_DIR", err=True)
        sys.exit(1)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except Problem as error:
        # Whoever runs the server must know what the database said; a caller must not.
        said = getattr(error.__cause__, "orig", None)
        click.echo(f"the database cannot be used: {said}" if said else error.detail_en, err=True)
        sys.exit(1)


def _end_well_on_signals() -> None:
    """To be stopped is no failure: status 0. uvicorn finishes its requests, and then raises the signal once more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.set_inheritable(True)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(factory: Callable[[], Litestar] | str, settings: Settings, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        factory,
        factory=True,
        workers=workers,
        http="h11",  # the one whose heads have a limit
        h11_max_incomplete_event_size=settings.head_bytes_max,
        # The application sheds load first, and says when to come again; this is for connections that do nothing.
        limit_concurrency=settings.requests_in_flight_max + settings.idle_connections_max,
        backlog=settings.backlog,
        timeout_keep_alive=settings.keep_alive_s,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        lifespan="on",
        # A worker that is still importing must not be taken for one that hangs.
        timeout_worker_healthcheck=WORKER_START_S,
    )


def _print(facts: Mapping[str, object], json_out: bool) -> None:
    click.echo(json.dumps(facts) if json_out else _lines(facts))


def _lines(facts: Mapping[str, object]) -> str:
    return "\n".join(f"{key:16} {_words(value)}" for key, value in facts.items())


def _words(value: object) -> str:
    """A value for people: `walk 1, cycle 1` for a mapping."""
    return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, Mapping) else str(value)


def _print_ledger(report: LedgerReport, json_out: bool) -> None:
    findings = [{"rule": f.rule, "count": f.count, "first": f.first} for f in report.findings]
    facts: dict[str, object] = {
        "ok": report.ok,
        "accounts": report.accounts,
        "transfers": report.transfers,
        "person_mg": report.person_mg,
        "recognised_mg": report.recognised_mg,
    }
    if json_out:
        click.echo(json.dumps({**facts, "findings": findings}))
        return
    click.echo(_lines(facts))
    for finding in findings:
        click.echo(f"\n{finding['rule']}: {finding['count']} times, first {finding['first']}")
