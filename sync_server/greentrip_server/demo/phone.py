"""The demonstration's phone: a process of its own, told what to do on standard input, answering on standard output.

One JSON object a line. It is killed without warning in the middle, as phones are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from greentrip import BadFile, Fix, GreenTrip, Mode, Network, Point, TripView
from greentrip.cli.replay import DAY_S, days_between, play, track_point
from greentrip.cli.trips import trip_json
from greentrip.replay import RecordedTrack, move, read_tracks
from greentrip.trip import CHINA_TIME
from greentrip_server.demo.sample import SEED, sample_ride

HOME = Point(39.885266, 116.3775)
"""348 m south of 虎坊桥: with the usual detour of a walk, the published 500 m."""
WORK = Point(39.906015, 116.7272)
"""424 m north of 东夏园: likewise 600 m."""
CONSENTS = {"location": "1", "sync": "1"}
RIDE_BEFORE_KILL_S = 420
RIDE_S = 720


class Phone:
    """The verbs that the story uses; each returns something for JSON."""

    def __init__(self, green: GreenTrip) -> None:
        self._green = green

    def status(self) -> dict[str, object]:
        active = self._green.active
        stats = self._green.stats()
        return {
            "recorded": stats.recorded,
            "waiting": stats.waiting,
            "active": None
            if active is None
            else {"mode": active.mode, "fixes": active.fixes, "interrupted": active.interrupted},
        }

    def request_code(self, phone: str) -> str:
        self._green.request_code(phone)
        return "sent"

    def enrol(self, code: str) -> str:
        return self._green.enrol(code, CONSENTS)

    def commute(self) -> dict[str, object]:
        """The published example: walk, lines 7, 10 and 6 with changes at 双井 and 呼家楼, walk."""
        at = _local(days_ago=2, hour=7, minute=40)
        self._green.start(Mode.WALK, HOME, at=at)
        self._green.switch(Mode.RAIL, "虎坊桥", at=at + 7 * 60)
        self._green.switch(Mode.WALK, "东夏园", changes=["双井", "呼家楼"], at=at + 75 * 60)
        return trip_json(self._green.finish(WORK, at=at + 84 * 60))

    def track(self, file: str | None, mode: str | None, move_to: str | None) -> dict[str, object]:
        """Replay a file's first usable track (or the made-up ride), on yesterday's date."""
        at = _local(days_ago=1, hour=18, minute=10)
        if file is None:
            ride = RecordedTrack("sample", Mode.CYCLE, "cycle", sample_ride(at), None, Path("sample"), 0)
            return trip_json(play(self._green, ride, Mode.CYCLE))
        track, known = _first_track(Path(file), mode)
        first = track.fixes[0]
        days = days_between(first.at, at)
        placed = move(track, track_point(move_to) if move_to else first.point, first.at + days * DAY_S)
        return trip_json(play(self._green, placed, known))

    def begin_ride(self) -> dict[str, object]:
        """Ride along, up to the moment at which the process is killed."""
        fixes = self._ride()
        self._green.start(Mode.CYCLE, fixes[0].point, at=fixes[0].at)
        for fix in fixes:
            if fix.at - fixes[0].at <= RIDE_BEFORE_KILL_S:
                self._green.fix(fix.point, at=fix.at, accuracy_m=fix.accuracy_m)
        return self.status()

    def end_ride(self) -> dict[str, object]:
        """Resume after the kill, ride on, arrive."""
        active = self._green.resume()
        seen = active.last_seen_at.timestamp()
        for fix in self._ride(active.started_at.timestamp()):
            if fix.at > seen:
                self._green.fix(fix.point, at=fix.at, accuracy_m=fix.accuracy_m)
        return trip_json(self._green.finish())

    def sync(self, timeout: float) -> dict[str, object]:
        report = self._green.sync(timeout)
        return {**asdict(report), "zh": report.message("zh"), "en": report.message("en")}

    def trips(self) -> list[dict[str, object]]:
        return [{**trip_json(trip), "receipt_at": self._receipt(trip)} for trip in reversed(self._green.trips())]

    def account(self) -> dict[str, object]:
        entries = [asdict(entry) for entry in self._green.statement()]
        return {"account": asdict(self._green.account()), "entries": entries}

    def _receipt(self, trip: TripView) -> str | None:
        """When the server signed for this trip, checked again from what the phone keeps, without a network."""
        return self._green.verify_receipt(trip.id).isoformat() if self._green.receipt(trip.id) else None

    @staticmethod
    def _ride(start_at: float | None = None) -> tuple[Fix, ...]:
        start_at = datetime.now(CHINA_TIME).timestamp() - RIDE_S - 60 if start_at is None else start_at
        # Another day's noise: the very track of the trip before would be a repetition.
        return tuple(fix for fix in sample_ride(start_at, SEED + 1) if fix.at <= start_at + RIDE_S)


def _local(days_ago: int, hour: int, minute: int) -> float:
    day = datetime.now(CHINA_TIME).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (day - timedelta(days=days_ago)).timestamp()


def _first_track(path: Path, mode: str | None) -> tuple[RecordedTrack, Mode]:
    """The first track whose mode is known, from the file or from the command line."""
    for track in read_tracks(path):
        known = track.mode or (Mode(mode) if mode else None)
        if known is not None:
            return track, known
    raise BadFile(path, 0, "holds no track of a known mode: pass --mode", "没有已知方式的轨迹：请指定 --mode")


def main() -> None:
    """Answer until standard input ends."""
    folder, server, root_key = sys.argv[1:4]
    with GreenTrip.open(folder, server=server, root_key=root_key, network=Network.sample()) as green:
        phone = Phone(green)
        for line in sys.stdin:
            order = json.loads(line)
            act: Callable[..., object] = getattr(phone, order.pop("do"))
            try:
                answer: dict[str, object] = {"ok": act(**order)}
            except Exception as error:
                answer = {"error": str(error), "zh": getattr(error, "zh", str(error))}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
