"""What the app stands on: the SDK opened on a folder, with a server elsewhere, one on this machine, or none."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greentrip import GreenTrip, GreenTripError, Network

STOP_TIMEOUT_S = 10.0
CODE_TIMEOUT_S = 5.0
CODE_POLL_S = 0.02
DEMO_PHONE = "13800000000"
"""Nobody's number. It and the consents below are used with the server on this machine only."""
DEMO_CONSENTS = {"location": "1", "sync": "1"}
NOWHERE = "http://127.0.0.1:9"
"""Without a server nothing is ever called; the SDK wants an address all the same."""
NO_KEY = base64.urlsafe_b64encode(hashlib.sha256(b"greentrip-demo: no server").digest()).rstrip(b"=").decode()
"""Stands for the key of no server: nobody knows its private half, so nothing can pass for signed by it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The opened SDK, and what the user should know about it: the key of a text and its values."""

    green: GreenTrip
    note: str
    values: Mapping[str, object] = field(default_factory=dict)
    has_server: bool = True
    error: GreenTripError | None = None
    """The account on this machine's server could not be made: recording works all the same."""


class Connector:
    """Opens the SDK once, and closes it with whatever was started for it. `open` is slow; `close` may cut it short."""

    def __init__(self, folder: Path, server: str | None = None, root_key: str | None = None) -> None:
        self._folder = folder
        self._server = server
        self._root_key = root_key
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._green: GreenTrip | None = None
        self._closed = False

    @property
    def server_pid(self) -> int | None:
        """The process of the server on this machine, if one was started."""
        return self._process.pid if self._process else None

    def open(self) -> Connection:
        """Raises `GreenTripError` when the folder or the named server cannot be used."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._server is not None:
            green = self._open(self._server, self._root_key or "")
            return Connection(green, "note_remote", {"server": self._server})
        if importlib.util.find_spec("greentrip_server") is None:
            return Connection(self._open(NOWHERE, self._last_key()), "note_offline", has_server=False)
        facts = self._start_server()
        if facts is None:
            green = self._open(NOWHERE, self._last_key())
            return Connection(green, "note_server_failed", {"log": self._log}, has_server=False)
        self._key_file.write_text(facts["root_key"])
        green = self._open(facts["url"], facts["root_key"])
        return Connection(green, "note_embedded", error=self._enrol(green))

    def close(self) -> None:
        """Let go of the folder and end the server. What waits to be sent is kept."""
        with self._lock:
            self._closed = True
            green, self._green = self._green, None
        if green is not None:
            green.close(timeout=0)
        if self._process is not None:
            _end(self._process)

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    @property
    def _key_file(self) -> Path:
        return self._folder / "server.pub"

    def _open(self, server: str, root_key: str) -> GreenTrip:
        green = GreenTrip.open(self._folder, server=server, root_key=root_key, network=Network.sample())
        with self._lock:
            if not self._closed:
                self._green = green
                return green
        green.close(timeout=0)
        return green

    def _last_key(self) -> str:
        """The key of the server that ran here before: its trips are shown, and sent when it runs again."""
        return self._key_file.read_text() if self._key_file.is_file() else NO_KEY

    def _start_server(self) -> dict[str, str] | None:
        """The address and key of a new server process, or None when it ended instead."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GREENTRIP_")}
        environment["GREENTRIP_DATA_DIR"] = str(self._folder / "server")
        command = [sys.executable, "-m", "greentrip_server", "run", "--port", "0", "--json"]
        with self._lock, self._log.open("wb") as log:
            if self._closed:
                return None
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, fixed arguments
                command, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        # It prints one line when it can be called, or nothing and ends.
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            return None
        facts = json.loads(line)
        return {"url": str(facts["url"]), "root_key": str(facts["root_key"])}

    def _enrol(self, green: GreenTrip) -> GreenTripError | None:
        """Give this machine's server its one made-up person. Why that did not work, or None."""
        try:
            if green.account_id is None:
                green.request_code(DEMO_PHONE)
                green.enrol(self._last_code(), DEMO_CONSENTS)
        except GreenTripError as error:
            return error
        return None

    def _last_code(self) -> str:
        """The one-time code, which a development server writes to its log; "" when it does not come."""
        give_up = time.monotonic() + CODE_TIMEOUT_S
        while time.monotonic() < give_up:
            codes = re.findall(r"code (\d{6}) for enrolment", self._log.read_text(errors="replace"))
            if codes:
                return str(codes[-1])
            time.sleep(CODE_POLL_S)
        return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End one process, by its id: kindly, then by force."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
