"""A recorded track, what others call its mode, and the same track elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from greentrip.distance.sphere import east_north_m, moved
from greentrip.trip import Fix, Mode, Point

MODE_WORDS: dict[str, Mode] = {
    word: mode
    for mode, words in {
        Mode.WALK: "walk walking foot on_foot pedestrian hike hiking run running 步行",
        Mode.CYCLE: "cycle cycling bike biking bicycle bicycling bikeshare 骑行 自行车",
        Mode.BUS: "bus trolleybus coach 公交 公交车",
        Mode.RAIL: "rail train metro subway tram light_rail underground 轨道交通 地铁 轻轨 火车",
        Mode.CARPOOL: "carpool carpooling shared_ride 拼车 合乘",
    }.items()
    for word in words.split()
}
"""What others call the modes. Whatever is not here (ferry, car, taxi, ...) is none of ours."""


@dataclass(frozen=True, slots=True)
class RecordedTrack:
    """One recording: fixes in the file's order, at least one. `mode` is None when it is none of ours, or unknown."""

    name: str
    mode: Mode | None
    original_mode: str
    fixes: tuple[Fix, ...]
    user: str | None
    path: Path
    line: int


def mode_of(word: str) -> Mode | None:
    """The mode that a word of another program means.

    >>> mode_of("Tram"), mode_of("On Foot"), mode_of("Ferry")
    (<Mode.RAIL: 'rail'>, <Mode.WALK: 'walk'>, None)
    """
    return MODE_WORDS.get("_".join(word.casefold().split()))


def move(track: RecordedTrack, to: Point, start_at: float | None = None) -> RecordedTrack:
    """The same track elsewhere: its first fix at `to`, and at the time `start_at` when given; metres are kept.

    Each step keeps its metres east and north. Raises `InvalidInput` when the track would leave the earth at a pole.
    """
    shift_s = 0.0 if start_at is None else start_at - track.fixes[0].at
    fixes: list[Fix] = []
    last, place = track.fixes[0].point, to
    for fix in track.fixes:
        east_m, north_m = east_north_m(last, fix.point)
        last, place = fix.point, moved(place, east_m, north_m)
        fixes.append(replace(fix, point=place, at=fix.at + shift_s))
    return replace(track, fixes=tuple(fixes))
