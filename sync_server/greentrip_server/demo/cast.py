"""The processes that play in the demonstration, and how they end: by their process id, whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STOP_TIMEOUT_S = 10.0
CODE_TIMEOUT_S = 5.0


class DemoError(Exception):
    """Something in the demonstration did not work; the sentence says what."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.zh = zh


class ServerProcess:
    """A real server on a free loopback port with a fresh embedded database."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "server.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GREENTRIP_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "greentrip_server", "run", "--port", "0", "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, "GREENTRIP_DATA_DIR": str(folder / "server")},
            )
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise DemoError(f"the server did not start:\n{self._log.read_text()}", "服务器未能启动")
        facts = json.loads(line)
        self.url: str = facts["url"]
        self.root_key: str = facts["root_key"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def last_code(self, timeout_s: float = CODE_TIMEOUT_S) -> str:
        """The newest one-time code: the development sender writes it to the log."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            codes = re.findall(r"code (\d{6}) for enrolment", self._log.read_text())
            if codes:
                return str(codes[-1])
            time.sleep(0.02)
        raise DemoError("the server logged no code", "服务器日志中没有验证码")

    def stop(self) -> None:
        """End it kindly, then by force."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class PhoneProcess:
    """A phone: opened on a folder, told what to do, killed, opened again."""

    def __init__(self, folder: Path, server: str, root_key: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603  (this very program, with fixed arguments)
            [sys.executable, "-m", "greentrip_server.demo.phone", str(folder), server, root_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the story, which then ends its phone
        )

    def ask(self, do: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON of many shapes, read by the story
        """The phone's answer to one order. Raises `DemoError` with the phone's own words."""
        line = self._exchange(json.dumps({"do": do, **arguments}))
        if not line:
            raise DemoError(f"the phone ended while it should {do}", "手机进程意外结束")
        answer = json.loads(line)
        if "error" in answer:
            raise DemoError(answer["error"], answer["zh"])
        return answer["ok"]

    def _exchange(self, order: str) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return ""
        try:
            stdin.write(f"{order}\n")
            stdin.flush()
        except BrokenPipeError:
            return ""
        return stdout.readline()

    def kill(self) -> None:
        """SIGKILL: no warning, no goodbye."""
        self._process.send_signal(signal.SIGKILL)
        self._end()

    def stop(self) -> None:
        """Let it end by itself."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def server_in(folder: Path) -> Iterator[ServerProcess]:
    """A server that is stopped at the end of the block."""
    server = ServerProcess(folder)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def phone_in(folder: Path, server: str, root_key: str) -> Iterator[PhoneProcess]:
    """A phone that is stopped at the end of the block, if it was not killed before."""
    phone = PhoneProcess(folder, server, root_key)
    try:
        yield phone
    finally:
        phone.stop()
