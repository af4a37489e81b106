"""`greentrip receipts`: what the server signed for, checked without a network."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from greentrip import GreenTrip, InvalidInput, Untrusted
from greentrip.cli.phone import add_phone, open_phone, print_json, read_file, trip_of, write_file
from greentrip.receipts import BUNDLE_BYTES_MAX, Proof, verify_bundle
from greentrip.remote import check_root_key
from greentrip.signing.jws import key_id
from greentrip.table import Footnotes, table
from greentrip.trust import rfc3339
from greentrip.words import grams, server_word

TEXT = "list, verify or export what the server signed for; without a network"
_LIST = "list the receipts that the phone keeps"
_VERIFY = "check the receipts of a phone, or an exported one; ends with 1 if any proves nothing"
_EXPORT = "write a trip's receipt, with all that it needs to be checked by anyone who knows the root key"
_WHAT = "an exported file, or how a trip's id begins (default: every receipt in --folder)"

_WORDS = {
    "en": {
        "head": ("trip", "result", "signed", "by key"),
        "verified": ("receipt", "result", "official g", "signed", "by key"),
        "failed": "proves nothing",
        "sum": "{proven} proven, {failed} not",
        "none": "no receipts yet: they come with sync",
        "written": "written to {path}: it holds the trip's record; anyone with the root key can check it",
    },
    "zh": {
        "head": ("出行", "结果", "签署时间", "签名密钥"),
        "verified": ("凭证", "结果", "核定 克", "签署时间", "签名密钥"),
        "failed": "无效",
        "sum": "{proven} 份已证实，{failed} 份无效",
        "none": "尚无凭证：同步后生成",
        "written": "已写入 {path}：其中含有该次出行的记录；持有根公钥者均可验证",
    },
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's actions, each with its arguments."""
    actions = verb.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help=_LIST, description=_LIST)
    listing.set_defaults(run=list_receipts)
    add_phone(listing, server=False)
    verifying = actions.add_parser("verify", help=_VERIFY, description=_VERIFY)
    verifying.set_defaults(run=verify)
    verifying.add_argument("what", nargs="?", metavar="FILE|TRIP", help=_WHAT)
    add_phone(verifying, server=False)
    exporting = actions.add_parser("export", help=_EXPORT, description=_EXPORT)
    exporting.set_defaults(run=export)
    exporting.add_argument("trip", metavar="TRIP", help="the trip's id, or how it begins")
    exporting.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    add_phone(exporting, server=False)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What came of checking one receipt: a proof, or why there is none."""

    name: str
    proof: Proof | None
    why: str = ""


def list_receipts(options: argparse.Namespace) -> int:
    """List them as they claim to be: `verify` checks."""
    with open_phone(options) as green:
        found = [listed for trip in green.receipts() if (listed := _listed(green, trip))]
    if options.json:
        print_json(found)
        return 0
    words, lang = _WORDS[options.lang], options.lang
    rows = [(item["trip"], server_word(item["status"], lang), item["signed_at"], item["key"]) for item in found]
    print(table(words["head"], rows) if rows else words["none"])
    return 0


def _listed(green: GreenTrip, trip_id: str) -> dict[str, str] | None:
    try:
        found = green.receipt(trip_id)
        if found is None:
            return None
        line, receipt = found
        status = str(json.loads(line).get("status"))
        return {"trip": trip_id, "status": status, "signed_at": receipt.at, "key": key_id(receipt.jws)}
    except (Untrusted, ValueError):
        return {"trip": trip_id, "status": "damaged", "signed_at": "", "key": ""}


def verify(options: argparse.Namespace) -> int:
    """Check them. 1 when any proves nothing."""
    if options.root_key is not None:
        check_root_key(options.root_key)  # else each receipt would be blamed for it
    if options.what is not None and Path(options.what).is_file():
        found = [_check_file(Path(options.what), options)]
    elif options.what is not None and options.folder is None:
        zh = f"找不到文件 {options.what!r}；若为手机中的出行，请指定 --folder"
        raise InvalidInput("FILE", f"{options.what!r} is no file; for a trip of a phone say --folder", zh)
    else:
        with open_phone(options) as green:
            trips = [trip_of(green, options.what).id] if options.what else green.receipts()
            found = [_check(trip, partial(green.export_receipt, trip), options) for trip in trips]
    _print(found, options)
    return 0 if all(item.proof for item in found) else 1


def _check_file(path: Path, options: argparse.Namespace) -> _Checked:
    if options.root_key is None:
        raise InvalidInput("--root-key", "needed to check a file", "验证文件时必填")
    return _check(path.name, partial(read_file, path, BUNDLE_BYTES_MAX), options)


def _check(name: str, data: Callable[[], bytes], options: argparse.Namespace) -> _Checked:
    try:
        return _Checked(name, verify_bundle(data(), options.root_key))
    except (InvalidInput, Untrusted) as error:
        return _Checked(name, None, error.message(options.lang))


def _print(found: Sequence[_Checked], options: argparse.Namespace) -> None:
    words = _WORDS[options.lang]
    if options.json:
        print_json([_json_of(item) for item in found])
        return
    if not found:
        print(words["none"])
        return
    notes = Footnotes()
    print(table(words["verified"], [_row(item, options.lang, notes) for item in found], right=(2,)))
    print(notes.text(), end="")
    proven = sum(item.proof is not None for item in found)
    print(str(words["sum"]).format(proven=proven, failed=len(found) - proven))


def _row(item: _Checked, lang: str, notes: Footnotes) -> tuple[str, ...]:
    proof = item.proof
    if proof is None:
        return item.name, str(_WORDS[lang]["failed"]), "", "", notes.mark(item.why)
    official = grams(proof.official_mg) if proof.official_mg is not None else ""
    return item.name, server_word(proof.status, lang), official, rfc3339(proof.signed_at), proof.key


def _json_of(item: _Checked) -> dict[str, object]:
    proof = asdict(item.proof) | {"signed_at": rfc3339(item.proof.signed_at)} if item.proof else None
    return {"receipt": item.name, "proven": item.proof is not None, "proof": proof, "why": item.why}


def export(options: argparse.Namespace) -> int:
    """Write one receipt to a new file."""
    with open_phone(options) as green:
        write_file(options.file, green.export_receipt(trip_of(green, options.trip).id))
    if options.json:
        print_json({"file": str(options.file)})
    else:
        print(str(_WORDS[options.lang]["written"]).format(path=options.file))
    return 0
