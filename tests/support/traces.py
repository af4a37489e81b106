"""Looking for what must not be left: in the bytes of files, in logs, in events."""

from collections.abc import Iterable
from pathlib import Path


def bytes_in(folder: Path) -> bytes:
    """Everything in the files of a folder, whatever they are for."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def found_in(folder: Path, traces: Iterable[str | bytes]) -> list[bytes]:
    """Those of the traces of which the files hold something."""
    content = bytes_in(folder)
    wanted = [trace.encode() if isinstance(trace, str) else trace for trace in traces]
    return [trace for trace in wanted if trace in content]
