"""Where the phone keeps its key: a small Protocol, so that an app can put the system's key store behind it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol


class SecretStore(Protocol):
    """Keeps a few small secrets by name."""

    def load(self, name: str) -> bytes | None:
        """The secret, or None."""

    def save(self, name: str, secret: bytes) -> None:
        """Keep the secret, durably, before returning."""

    def erase(self, name: str) -> None:
        """Forget the secret, if there is one."""


class FileSecrets:
    """Secrets as files that only their owner can read: for desktops, servers and tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> bytes | None:
        try:
            return (self._folder / f"{name}.key").read_bytes()
        except FileNotFoundError:
            return None

    def save(self, name: str, secret: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self._folder / f"{name}.key"
        scratch = target.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
        if os.name == "posix":  # Windows opens no folders
            _flush_folder(self._folder)

    def erase(self, name: str) -> None:
        target = self._folder / f"{name}.key"
        # Overwritten first: to unlink a file leaves its bytes on the disk.
        with suppress(FileNotFoundError):
            with target.open("r+b") as file:
                file.write(bytes(target.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            target.unlink()


def _flush_folder(folder: Path) -> None:
    """Put the names in a folder on disk: a rename is lost in a power cut without it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
