"""The story of the demonstration: what happens, in order, and what the reader sees of it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from greentrip.methodology import Reason
from greentrip.table import Footnotes
from greentrip.testing import Relay
from greentrip.trip import Mode
from greentrip.words import grams
from greentrip_server.demo.cast import DemoError, PhoneProcess, ServerProcess, phone_in, server_in

PHONE_NUMBER = "13800000000"
"""A number for examples; the development sender only writes the code to the log."""
PUBLISHED_G = 2517
OFFLINE_TIMEOUT_S = 1.5
SYNC_TIMEOUT_S = 20.0
STEPS = 9

_MODES = {
    "walk": ("步行", "walk"),
    "cycle": ("骑行", "cycle"),
    "bus": ("公交", "bus"),
    "rail": ("轨道交通", "rail"),
    "carpool": ("合乘", "carpool"),
}


_STATES = {
    "accepted": ("已计入", "accepted"),
    "held": ("待核实", "held"),
    "rejected": ("未通过", "rejected"),
    "local": ("仅本机", "on the phone"),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the reader asked for."""

    track: Path | None
    mode: Mode | None
    move_to: str | None
    lang: str
    keep: bool
    json_out: bool


@dataclass(slots=True)
class Facts:
    """What the demonstration found out, for `--json`."""

    account: str = ""
    trips: list[dict[str, Any]] = field(default_factory=list)
    balance_mg: int = 0
    pages: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def tell(wishes: Wishes) -> None:
    """Run the demonstration; ends the process with status 1 and a sentence when something does not work."""
    teller = _Teller(wishes)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="greentrip-demo-") as folder:
            _play(teller, Path(folder))
    except DemoError as error:
        print(error.zh if teller.zh else str(error), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    teller.facts.seconds = round(time.monotonic() - began, 1)
    teller.end()


def _play(teller: _Teller, folder: Path) -> None:
    with ExitStack() as stack:
        with teller.waiting("启动服务器（内嵌数据库）", "starting a server with an embedded database"):
            server = stack.enter_context(server_in(folder))
        teller.step("服务器", "A server", f"{server.url}")
        # Not a setting that says "offline": a relay that really breaks connections, as a tunnel does.
        network = stack.enter_context(Relay(server.port))
        phone_sees = f"http://127.0.0.1:{network.port}"
        with phone_in(folder / "phone", phone_sees, server.root_key) as phone:
            _before_the_kill(teller, server, network, phone)
            phone.kill()
        with phone_in(folder / "phone", phone_sees, server.root_key) as phone:
            _after_the_kill(teller, network, phone)
        _show_pages(teller, server)


def _before_the_kill(teller: _Teller, server: ServerProcess, network: Relay, phone: PhoneProcess) -> None:
    phone.ask("request_code", phone=PHONE_NUMBER)
    teller.facts.account = phone.ask("enrol", code=server.last_code())
    teller.step("开户", "A phone enrols", teller.facts.account)

    network.cut()
    teller.step("断网", "The network is cut", teller.pick("以下记录全程离线", "all that follows is recorded offline"))

    commute = phone.ask("commute")
    teller.step("通勤", "A commute", teller.pick("虎坊桥 → 东夏园", "虎坊桥 to 东夏园, as published"))
    teller.legs(commute)

    with teller.waiting("回放轨迹", "replaying a track"):
        file = str(teller.wishes.track.resolve()) if teller.wishes.track else None
        track = phone.ask("track", file=file, mode=teller.wishes.mode, move_to=teller.wishes.move_to)
    source = file or teller.pick(
        "本项目生成的示例骑行（--track 可换成您的轨迹）",
        "a sample ride that this project made up (--track takes yours)",
    )
    teller.step("轨迹", "A track", source)
    teller.legs(track)

    riding = phone.ask("begin_ride")
    teller.step(
        "强制终止",
        "The phone is killed",
        teller.pick(
            f"队列 {riding['waiting']} 条待上传，第三次出行进行中（{riding['active']['fixes']} 个轨迹点）→ SIGKILL",
            f"{riding['waiting']} records queued, a third trip running ({riding['active']['fixes']} fixes) -> SIGKILL",
        ),
    )


def _after_the_kill(teller: _Teller, network: Relay, phone: PhoneProcess) -> None:
    found = phone.ask("status")
    if found["active"] is None or not found["active"]["interrupted"]:
        raise DemoError("the trip in progress was lost", "进行中的出行丢失")
    teller.step(
        "重新打开",
        "Opened again",
        teller.pick(
            f"队列仍有 {found['waiting']} 条，中断的出行仍有 {found['active']['fixes']} 个轨迹点：继续并结束",
            f"{found['waiting']} records still queued, the trip's {found['active']['fixes']} fixes too: resumed",
        ),
    )
    teller.legs(phone.ask("end_ride"))
    offline = phone.ask("sync", timeout=OFFLINE_TIMEOUT_S)
    if offline["stop"] != "offline":
        raise DemoError("the network was not cut", "网络未断开")
    teller.say(f"{teller.pick('断网时同步', 'sync while cut')}: {offline[teller.wishes.lang]}")

    network.restore()
    with teller.waiting("同步", "syncing"):
        report = phone.ask("sync", timeout=SYNC_TIMEOUT_S)
    teller.facts.trips = phone.ask("trips")
    signed = [trip for trip in teller.facts.trips if trip["receipt_at"]]
    if report["stop"] != "done" or report["left"]:
        raise DemoError(f"sync did not finish: {report['en']} {report['detail']}", f"同步未完成：{report['zh']}")
    teller.step(
        "恢复网络并同步",
        "The network is back",
        teller.pick(
            f"{len(signed)} 条已有结果，{len(signed)} 份签名回执离线验证通过",
            f"{len(signed)} records settled, {len(signed)} signed receipts verified offline",
        ),
    )
    answer = phone.ask("account")
    teller.facts.balance_mg = answer["account"]["balance_mg"]
    teller.step("对账单", "The statement", "")
    teller.statement(answer["entries"])
    teller.records()


def _show_pages(teller: _Teller, server: ServerProcess) -> None:
    pages = {"/": "", "/schema": "", "/v1/methodologies": "", "/health/ready": ""}
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        teller.facts.pages = {f"{server.url}{page}": client.get(page).status_code for page in pages}
    if any(status != 200 for status in teller.facts.pages.values()):
        raise DemoError(f"a page does not answer: {teller.facts.pages}", "有页面无法访问")
    teller.say(teller.pick("服务器页面：", "the server's pages: ") + "  ".join(teller.facts.pages))
    if not teller.wishes.keep:
        teller.say(
            teller.pick("服务器随演示结束；--keep 可保留", "they end with this demonstration; --keep keeps them")
        )
        return
    try:
        # Inside: who reads the line may press the keys before we get any further.
        teller.say(teller.pick("按 Ctrl-C 结束", "Ctrl-C ends it"))
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


class _Teller:
    """Shows the story: colours and bars on a terminal, plain text elsewhere, nothing but JSON when that was asked."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.zh = wishes.lang == "zh"
        self.facts = Facts()
        self._step = 0
        self._console = Console(highlight=False, quiet=wishes.json_out, soft_wrap=True)

    def pick(self, zh: str, en: str) -> str:
        return zh if self.zh else en

    def say(self, text: str) -> None:
        self._console.print(f"   {escape(text)}")

    def step(self, zh: str, en: str, text: str) -> None:
        self._step += 1
        self._console.print(f"[bold green]{self._step}/{STEPS} {escape(self.pick(zh, en))}[/]  {escape(text)}")

    @contextmanager
    def waiting(self, zh: str, en: str) -> Iterator[None]:
        """A moving bar while something takes its time, on a terminal only."""
        if not self._console.is_terminal or self.wishes.json_out:
            yield
            return
        bar = Progress(TextColumn("   {task.description}"), BarColumn(), transient=True, console=self._console)
        with bar:
            bar.add_task(self.pick(zh, en), total=None)
            yield

    def legs(self, trip: dict[str, Any]) -> None:
        """A table of a trip's legs: what was measured, what it earns, and why."""
        heads = self.pick("方式 起点 终点 公里 区间 克 说明", "mode from to km interval grams why").split()
        notes = Footnotes()
        self._table(heads, [self._leg_row(leg, notes) for leg in trip["legs"]], notes, right={3, 4, 5})
        total = f"{self.pick('手机端估算', 'by the phone')}: {grams(trip['reduction_mg'])} g"
        self.say(". ".join(filter(None, (total, trip["why_not_sent"][self.wishes.lang]))))

    def _leg_row(self, leg: dict[str, Any], notes: Footnotes) -> tuple[str, ...]:
        interval = f"{leg['low_m'] / 1000:.1f}-{leg['high_m'] / 1000:.1f}"
        why = [notes.mark(Reason(reason).text(self.wishes.lang)) for reason in leg["reasons"]]
        if leg["changes"]:
            why.append(notes.mark(self.pick("换乘 ", "changes at ") + "、".join(leg["changes"])))
        mode = _MODES[leg["mode"]][0 if self.zh else 1]
        km = f"{leg['metres'] / 1000:.2f}"
        return (mode, _short(leg["start"]), _short(leg["end"]), km, interval, grams(leg["ug"] // 1000), " ".join(why))

    def statement(self, entries: list[dict[str, Any]]) -> None:
        """The official entries, each with what it was and why it earned that."""
        heads = self.pick("出行日 出行 状态 克 余额克 说明", "day trip state grams balance why").split()
        entered = {entry["trip"]: entry for entry in entries}
        notes = Footnotes()
        rows: list[tuple[str, ...]] = []
        for trip in self.facts.trips:
            entry = entered.get(trip["id"])
            modes = " + ".join(_MODES[leg["mode"]][0 if self.zh else 1] for leg in trip["legs"])
            earned = (grams(entry["mg"]), grams(entry["balance_mg"])) if entry else ("0", "")
            state = _STATES.get(trip["state"], (trip["state"], trip["state"]))[0 if self.zh else 1]
            rows.append((trip["day"], modes, state, *earned, " ".join(map(notes.mark, self._why(trip)))))
        self._table(heads, rows, notes, right={3, 4})

    def _why(self, trip: dict[str, Any]) -> list[str]:
        """The server's notes on a trip, and the reasons of legs that earned nothing, each with its number of legs."""
        notes = [rule[self.wishes.lang] for rule in trip["rules"]]
        reasons = [Reason(reason) for leg in trip["legs"] for reason in leg["reasons"] if reason != Reason.EARNS]
        for reason in dict.fromkeys(reasons):
            notes.append(f"{reasons.count(reason)} x {reason.text(self.wishes.lang)}")
        if trip["why_not_sent"][self.wishes.lang]:
            notes.append(trip["why_not_sent"][self.wishes.lang])
        return notes

    def records(self) -> None:
        """The exact lines that left the phone."""
        sent = [trip["record"] for trip in self.facts.trips if trip["record"]]
        what = self.pick("离开手机的全部内容（逐字节）：", "all that left the phone about these trips, byte for byte:")
        self.say(what)
        for line in sent:
            self._console.print(escape(line), style="dim")

    def end(self) -> None:
        """The last line, or the JSON."""
        if self.wishes.json_out:
            print(json.dumps(self._json(), ensure_ascii=False))
            return
        total, seconds = grams(self.facts.balance_mg), self.facts.seconds
        self._console.print(
            self.pick(
                f"[bold green]完成[/]：账户余额 {total} 克，其中公布示例 {PUBLISHED_G} 克；用时 {seconds} 秒",
                f"[bold green]done[/]: balance {total} g, of it the published {PUBLISHED_G} g; {seconds} s",
            )
        )

    def _json(self) -> dict[str, object]:
        facts = self.facts
        return {
            "account": facts.account,
            "balance_mg": facts.balance_mg,
            "trips": facts.trips,
            "pages": facts.pages,
            "seconds": facts.seconds,
        }

    def _table(self, heads: list[str], rows: list[tuple[str, ...]], notes: Footnotes, right: set[int]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index, head in enumerate(heads):
            table.add_column(head, justify="right" if index in right else "left", no_wrap=True)
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(table)
        for line in notes.text().splitlines():
            self.say(line)


def _short(place: str) -> str:
    """A station's name, or a point to about a hundred metres: what fits a terminal of 80 columns."""
    lat, comma, lon = place.partition(", ")
    return f"{float(lat):.3f},{float(lon):.3f}" if comma else place
