"""`greentrip-server`: each verb, in words and as JSON; and what it says when it cannot do what it is asked."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from greentrip.trust import open_key_list
from greentrip.wire import base64url, base64url_decode, sha256_hex
from greentrip_server.checks.rules import RULES
from greentrip_server.cli import OPEN_DEVELOPMENT, main
from greentrip_server.runtime import start
from support.records import METRO_MG, altered, line
from support.server import PROGRAM, STOP_TIMEOUT_S, day_from_today, environment, server_process

KEY = base64url(b"\7" * 32)


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """The program, called in this process with an environment of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._patch, self._capture = monkeypatch, capsys
        self.database_url = f"sqlite:///{folder / 'server' / 'greentrip.sqlite3'}"
        for name in [name for name in os.environ if name.startswith("GREENTRIP_")]:
            monkeypatch.delenv(name)
        self.set(data_dir=folder / "server", database_url=self.database_url)

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self._patch.setenv(f"GREENTRIP_{name.upper()}", str(value))

    def __call__(self, *arguments: object) -> Said:
        self._patch.setattr("sys.argv", ["greentrip-server", *map(str, arguments)])
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code
        said = Said(status if isinstance(status, int) else int(bool(status)), *self._capture.readouterr())
        assert "Traceback" not in said.err
        return said


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    return Cli(monkeypatch, capsys, tmp_path)


def facts(said: Said) -> dict[str, str]:
    """What a command said in words: a name and a value on each line."""
    assert said.status == 0, said.err
    return {name: value.strip() for name, _, value in (row.partition(" ") for row in said.out.splitlines())}


# db, ledger, trips


def test_db_upgrade(cli: Cli, database_url: str):
    cli.set(database_url=database_url)
    assert cli("db", "upgrade", "--json").json == {"current": True}
    assert facts(cli("db", "upgrade")) == {"current": "True"}


def test_ledger_check_of_an_empty_ledger(cli: Cli, database_url: str):
    cli.set(database_url=database_url)
    refused = cli("ledger", "check")
    assert (refused.status, "greentrip-server db upgrade" in refused.err) == (2, True)
    cli("db", "upgrade")
    nothing = {"ok": True, "accounts": 0, "transfers": 0, "person_mg": 0, "recognised_mg": 0}
    assert cli("ledger", "check", "--json").json == nothing | {"findings": []}
    assert facts(cli("ledger", "check")) == {name: str(value) for name, value in nothing.items()}


def test_ledger_check_ends_with_1_after_somebody_changed_a_balance(cli: Cli, database_url: str, tmp_path: Path):
    with server_process(database_url, tmp_path) as server:
        server.device().post(line(day_from_today(-1)))
    cli.set(database_url=database_url)
    whole = cli("ledger", "check", "--json")
    assert (whole.status, whole.json["ok"], whole.json["person_mg"]) == (0, True, METRO_MG)
    _execute(database_url, "UPDATE person_account SET balance_mg = balance_mg + 1")
    wrong = cli("ledger", "check", "--json")
    assert (wrong.status, wrong.json["ok"]) == (1, False)
    (finding,) = wrong.json["findings"]
    assert (finding["rule"], finding["count"]) == ("every balance is the sum of its postings", 1)
    assert f"balance_mg={METRO_MG + 1}" in finding["first"]
    in_words = cli("ledger", "check")
    assert in_words.status == 1
    assert "every balance is the sum of its postings: 1 times" in in_words.out


def _execute(database_url: str, statement: str) -> None:
    """Past the software, as somebody with the database's password might."""
    address = make_url(database_url)
    if address.get_backend_name() == "sqlite":
        connection = sqlite3.connect(address.database)
    else:
        connection = psycopg.connect(
            host=address.host, port=address.port, user=address.username, dbname=address.database
        )
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_trips_recheck(cli: Cli, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with server_process(database_url, tmp_path) as server:
        server.device().post(line(day_from_today(1)))
    cli.set(database_url=database_url)
    assert cli("trips", "recheck", "--json").json == {"no_longer_held": 0}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr("greentrip_server.cli.start", partial(start, now=lambda: tomorrow))
    assert facts(cli("trips", "recheck")) == {"no_longer_held": "1"}
    assert cli("ledger", "check", "--json").json["person_mg"] == METRO_MG


# accounts


def test_accounts_erase_and_erase_again(cli: Cli, database_url: str, tmp_path: Path):
    with server_process(database_url, tmp_path) as server:
        device = server.device()
        device.post(line(day_from_today(-1)))
        cli.set(database_url=database_url)
        why = "letter of 5 March, Zhang San, 13800138000"
        done = cli("accounts", "erase", device.account, "--why", why, "--json")
        assert done.json == {"account": device.account, "erased": True, "already_erased": False}
        assert "Zhang" not in done.err
        assert sha256_hex(why.encode()) in done.err
        assert facts(cli("accounts", "erase", device.account, "--why", "again"))["already_erased"] == "True"
        assert device.call("GET", "/v1/account").json()["type"] == "/problems/device_ended"
    (row,) = (tmp_path / "server" / "erasures.jsonl").read_text().splitlines()
    assert json.loads(row).items() >= {"account": device.account, "order": sha256_hex(why.encode())}.items()
    assert cli("ledger", "check", "--json").json["person_mg"] == 0
    # As a backup would bring it back.
    _execute(database_url, "UPDATE person_account SET status = 'active'")
    nothing = {"listed": 1, "erased_again": 0, "already_erased": 1, "unknown": 0}
    assert cli("accounts", "erase-again", "--json").json == nothing | {"erased_again": 1, "already_erased": 0}
    assert facts(cli("accounts", "erase-again")) == {name: str(count) for name, count in nothing.items()}


def test_accounts_erase_says_what_is_wrong(cli: Cli):
    cli("db", "upgrade")
    unknown = cli("accounts", "erase", "360a458e-99ed-40bb-9afb-a69768bb58c1", "--why", "x")
    assert (unknown.status, "account" in unknown.err) == (1, True)
    assert cli("accounts", "erase", "no-id", "--why", "x").status == 2
    assert cli("accounts", "erase", "360a458e-99ed-40bb-9afb-a69768bb58c1").status == 2
    empty = cli("accounts", "erase-again", "--json").json
    assert empty == {"listed": 0, "erased_again": 0, "already_erased": 0, "unknown": 0}


# keys


def test_trips_conflicts(cli: Cli, tmp_path: Path):
    with server_process(cli.database_url, tmp_path) as server:
        device = server.device()
        first = line(day_from_today(-1), 16)
        others = [altered(first, slot=slot) for slot in (17, 18)]
        device.post(first, *others, others[0])
        account, trip = device.account, json.loads(first)["id"]
    rows = cli("trips", "conflicts", "--json").json
    assert {row["refused"] for row in rows} == {sha256_hex(other) for other in others}
    for row in rows:
        assert set(row) == {"account", "trip", "kept", "refused", "device", "hour"}
        assert (row["account"], row["trip"], row["kept"]) == (account, trip, sha256_hex(first))
        assert row["device"] == device.id
        assert row["hour"].endswith(":00:00Z")
    assert len(cli("trips", "conflicts", "--json", "--limit", 1).json) == 1
    assert trip in cli("trips", "conflicts").out
    assert cli("trips", "conflicts", "--limit", 0).status == 2


def test_keys_init_rotate_show(cli: Cli, tmp_path: Path):
    folder = tmp_path / "server" / "keys"
    made = cli("keys", "init", folder, "--json").json
    assert made == {"root_key": (folder / "root.pub").read_text().strip(), "folder": str(folder)}
    assert all((folder / name).stat().st_mode & 0o077 == 0 for name in ("root.seed", "online.seed"))
    shown = cli("keys", "show", "--json").json
    assert (shown["root_key"], set(shown)) == (made["root_key"], {"root_key", "kid", "until"})

    rotated = cli("keys", "rotate", folder, "--json").json["kid"]
    assert facts(cli("keys", "show"))["kid"] == rotated != shown["kid"]
    assert _listed(folder) == [shown["kid"], rotated]

    dropped = facts(cli("keys", "rotate", folder, "--drop", shown["kid"], "--drop", rotated))["kid"]
    assert _listed(folder) == [dropped]
    assert facts(cli("keys", "show"))["kid"] == dropped


def _listed(folder: Path) -> list[str]:
    root = base64url_decode((folder / "root.pub").read_text().strip())
    return [key.kid for key in open_key_list((folder / "keys.jws").read_text().strip(), root).keys]


def test_keys_are_never_overwritten(cli: Cli, tmp_path: Path):
    cli("keys", "init", tmp_path / "keys")
    before = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    refused = cli("keys", "init", tmp_path / "keys")
    assert (refused.status, "never overwritten" in refused.err) == (1, True)
    assert {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


@pytest.mark.parametrize("spoil", ["root.seed", "keys.jws"])
@pytest.mark.parametrize("how", ["missing", "garbage"])
def test_rotation_says_which_file_is_wrong_and_changes_nothing(cli: Cli, tmp_path: Path, spoil: str, how: str):
    folder = tmp_path / "keys"
    cli("keys", "init", folder)
    (folder / spoil).unlink() if how == "missing" else (folder / spoil).write_text("garbage")
    before = (folder / "online.seed").read_text()
    refused = cli("keys", "rotate", folder)
    assert refused.status == 1
    assert str(folder) in refused.err
    assert (folder / "online.seed").read_text() == before


def test_a_rotated_key_is_trusted_by_phones_that_pinned_the_root(tmp_path: Path, cli: Cli):
    url, kids = f"sqlite:///{tmp_path / 'db'}", []
    for _ in range(2):
        with server_process(url, tmp_path) as server:
            device = server.device()
            device.get("/v1/account")  # verified with the list that the server shows
            kids.append(cli("keys", "show", "--json").json["kid"])
        cli("keys", "rotate", tmp_path / "server" / "keys")
    assert len(set(kids)) == 2


# What the server knows


def test_methodologies(cli: Cli):
    rows = cli("methodologies", "--json").json
    assert [row["reference"].partition("@")[0] for row in rows if row["issuance"]] == ["db11t-3043-2024"]
    in_words = cli("methodologies").out
    assert all(row["reference"] in in_words for row in rows)


def test_policy(cli: Cli):
    rules = cli("policy", "--json").json
    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    assert all(rule["en"] in cli("policy").out for rule in rules[:2])


def test_help_and_version(cli: Cli):
    for command in ([], ["run"], ["accounts"], ["db"], ["keys"], ["ledger"], ["trips"], ["methodologies"], ["policy"]):
        assert cli(*command, "--help").status == 0
    assert cli("--version").out.startswith("greentrip-server, version")
    assert cli("fly").status == 2


# What is wrong is said in a sentence


@pytest.mark.parametrize("command", [["db", "upgrade"], ["ledger", "check"], ["trips", "recheck"], ["run"]])
def test_a_database_that_is_not_there(cli: Cli, command: list[str]):
    cli.set(database_url="postgresql+psycopg://somebody:secret-word@127.0.0.1:1/none")
    refused = cli(*command)
    assert (refused.status, refused.err.startswith("the database cannot be used")) == (1, True), refused.err
    assert "secret-word" not in refused.err


def test_wrong_settings_are_all_listed(cli: Cli):
    cli.set(port="http", database_wait_s=0, log_level="LOUD")
    refused = cli("run")
    assert refused.status == 2
    for name in ("GREENTRIP_PORT", "GREENTRIP_DATABASE_WAIT_S", "GREENTRIP_LOG_LEVEL"):
        assert name in refused.err


def test_production_refuses_with_every_reason(cli: Cli, tmp_path: Path):
    cli.set(environment="production")
    refused = cli("run")
    assert refused.status == 2
    reasons = ["CODE_SENDER", "PHONE_HASH_KEY", "ONLINE_KEY_FILE", "KEY_LIST_FILE", "ROOT_PUBLIC_KEY_FILE"]
    assert [row.partition(":")[0] for row in refused.err.splitlines()[1:]] == [f"- GREENTRIP_{why}" for why in reasons]
    # Nothing was made silently.
    assert not (tmp_path / "server").exists()
    cli.set(code_sender="webhook", code_webhook_url="http://sms.example", phone_hash_key="c2hvcnQ")
    refused = cli("run")
    assert "GREENTRIP_CODE_WEBHOOK_URL: must begin with https://" in refused.err
    assert "GREENTRIP_PHONE_HASH_KEY: has fewer than 32 bytes" in refused.err


def test_production_runs_once_everything_is_there(cli: Cli, tmp_path: Path):
    settings = {
        "environment": "production",
        "code_sender": "webhook",
        "code_webhook_url": "https://sms.example/send",
        "phone_hash_key": KEY,
    }
    cli.set(**settings)
    cli("keys", "init", tmp_path / "server" / "keys")
    refused = cli("run")
    assert (refused.status, "greentrip-server db upgrade" in refused.err) == (2, True)
    assert cli("db", "upgrade").status == 0
    with server_process(cli.database_url, tmp_path, **settings) as server:
        assert server.facts["environment"] == "production"
        assert server.stop() == 0


def test_a_port_that_is_taken(cli: Cli, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = _program("run", "--port", str(port), database_url=cli.database_url, folder=tmp_path)
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in refused.stderr
    assert "Traceback" not in refused.stderr


def _program(*arguments: str, database_url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = environment(database_url, folder)
    return subprocess.run([PROGRAM, *arguments], env=env, capture_output=True, text=True, timeout=STOP_TIMEOUT_S)


# run


def test_sigterm_ends_it_with_0_and_lets_a_request_finish(tmp_path: Path):
    with server_process(f"sqlite:///{tmp_path / 'db'}", tmp_path) as server:
        # A request on its way: its last byte comes only after the signal.
        body = b'{"phone":"13800138000"}'
        host, port = urlsplit(server.url).netloc.split(":")
        with socket.create_connection((host, int(port)), timeout=STOP_TIMEOUT_S) as connection:
            head = f"POST /v1/enrolments HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:-1])
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(body[-1:])
            assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 201")
        assert server.process.wait(STOP_TIMEOUT_S) == 0
        assert "Traceback" not in server.log
        assert all(json.loads(entry) for entry in server.log.splitlines())


@pytest.mark.parametrize(("host", "open_to_others"), [("0.0.0.0", True), ("localhost", False)])  # noqa: S104
def test_development_that_others_can_reach_says_so(tmp_path: Path, host: str, open_to_others: bool):
    with server_process(f"sqlite:///{tmp_path / 'db'}", tmp_path, arguments=["--host", host]) as server:
        warnings = [entry for entry in map(json.loads, server.log.splitlines()) if entry["level"] == "warning"]
    assert [entry["event"] for entry in warnings] == [OPEN_DEVELOPMENT] * open_to_others


def test_workers_share_the_port_and_end_together(tmp_path: Path):
    with server_process(f"sqlite:///{tmp_path / 'db'}", tmp_path, arguments=["--workers", "2"]) as server:
        workers = _children(server.process.pid)
        assert len(workers) >= 2
        device = server.device()
        days = [day_from_today(-offset) for offset in range(1, 9)]
        # Each call on a connection of its own, so that both workers are asked.
        for day in days:
            assert server.see(device).post(line(day))[0]["status"] == "accepted"
        assert device.get("/v1/account")["balance_mg"] == METRO_MG * len(days)
        assert server.stop() == 0
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline, "a worker outlived its parent"
            time.sleep(0.05)
        with pytest.raises(httpx.ConnectError):
            device.get("/v1/account")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_run_prints_in_words_and_control_c(tmp_path: Path):
    env = environment(f"sqlite:///{tmp_path / 'db'}", tmp_path)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([PROGRAM, "run", "--port", "0"], env=env, **streams) as process:
        assert process.stdout is not None
        printed = dict(process.stdout.readline().split() for _ in range(4))
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == 0
    assert set(printed) == {"url", "docs", "root_key", "environment"}
    assert printed["docs"] == f"{printed['url']}/schema"
    assert printed["url"].startswith("http://127.0.0.1:")
