"""The phone that the verbs work with: where its data are, and which server it knows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from greentrip import GreenTrip, InvalidInput, Network, TripView
from greentrip.remote import check_root_key
from greentrip.signing import new_seed, signer_of
from greentrip.slots import Slots, name_of
from greentrip.wire import base64url

NOWHERE = "http://127.0.0.1:9"
"""The server of a phone that sends nothing: the discard port of this machine."""


def add_output(verb: argparse.ArgumentParser) -> None:
    """The options of every verb."""
    verb.add_argument("--lang", choices=("zh", "en"), help="language (default: by locale)")
    verb.add_argument("--json", action="store_true", help="print JSON")


def add_phone(
    verb: argparse.ArgumentParser, *, server: bool = True, network: bool = False, scratch: bool = False
) -> None:
    """The options that name a phone: its folder and its server, and the rail network where a verb needs it."""
    add_output(verb)
    otherwise = " (default: a scratch folder)" if scratch else ""
    verb.add_argument("--folder", type=Path, help=f"where the phone's data are{otherwise}")
    if server:
        verb.add_argument("--server", help="the server's URL; https outside this machine")
    verb.add_argument("--root-key", help="the server's root key (greentrip-server keys show)")
    if network:
        verb.add_argument("--network", type=Path, help="region pack, or folder with stations.csv and edges.csv")


def open_phone(options: argparse.Namespace, scratch: Path | None = None, *, new: bool = False) -> GreenTrip:
    """The phone in `--folder`, or a scratch one. Raises `InvalidInput` where none is there, unless it may be `new`."""
    folder = options.folder or scratch
    if folder is None:
        raise InvalidInput("--folder", "say where the phone's data are", "请指定手机数据目录")
    server = getattr(options, "server", None)
    if not options.root_key and (server or options.folder):
        # The data of a phone are kept by server: without its key we would open, and leave behind, an empty store.
        raise InvalidInput(
            "--root-key",
            "needed with --server or --folder (greentrip-server keys show)",
            "使用 --server 或 --folder 时必填（greentrip-server keys show）",
        )
    root_key = options.root_key or base64url(signer_of(new_seed()).public_key)
    if not new:
        _check_there(folder, root_key)
    return GreenTrip.open(folder, server=server or NOWHERE, root_key=root_key, network=_network(options))


def _check_there(folder: Path, root_key: str) -> None:
    """A mistyped folder must not look like an empty phone, nor like one that was erased just now."""
    slots = Slots(folder, name_of(check_root_key(root_key)))
    if not slots.path(slots.current).exists():
        raise InvalidInput(
            "--folder",
            f"{folder} has no data for this server: check --folder and --root-key",
            f"{folder} 中没有该服务器的手机数据：请检查 --folder 与 --root-key",
        )


def _network(options: argparse.Namespace) -> Network | None:
    if "network" not in options:
        return None
    return Network.open(options.network) if options.network else Network.sample()


def trip_of(green: GreenTrip, begins: str) -> TripView:
    """The one trip whose id begins so. Raises `InvalidInput`."""
    found = [trip for trip in green.trips() if trip.id.startswith(begins)]
    if len(found) != 1:
        many = f"{len(found)} trips begin with {begins!r}"
        raise InvalidInput("TRIP", f"{many}: see greentrip trips --json", f"有 {len(found)} 次出行以此编号开头")
    return found[0]


def read_file(path: Path, bytes_max: int) -> bytes:
    """The bytes of a file, one more than `bytes_max` at most. Raises `InvalidInput`."""
    try:
        with path.open("rb") as file:
            return file.read(bytes_max + 1)
    except OSError as error:
        raise InvalidInput("FILE", f"{path}: {error.strerror}", f"{path}：无法读取（{error.strerror}）") from None


def write_file(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read. Raises `InvalidInput`."""
    try:
        path.touch(0o600, exist_ok=False)
        path.write_bytes(data)
    except OSError as error:
        zh = f"{path}：无法写入（{error.strerror}）：请换一个文件名"
        raise InvalidInput("FILE", f"{path}: {error.strerror}; choose another", zh) from None


def print_json(value: object) -> None:
    """Print one JSON value."""
    print(json.dumps(value, ensure_ascii=False))
