"""Why a leg earns, or not: stable codes with a sentence in English and Chinese that says what to do."""

from __future__ import annotations

from enum import StrEnum

from greentrip.trip import Mode


class Reason(StrEnum):
    """The reason codes of a leg."""

    EARNS = "earns"
    NO_TRACK = "no_track"
    NO_STATIONS = "no_stations"
    CARPOOL_UNCONFIRMED = "carpool_unconfirmed"
    CARPOOL_PEOPLE = "carpool_people"
    MODE_ABSENT = "mode_absent"
    NOT_IN_FORCE = "not_in_force"
    BELOW_STEP = "below_step"
    LENGTH_CAPPED = "length_capped"
    ABOVE_BASELINE = "above_baseline"
    OUTSIDE = "outside"
    NAMED_TOO_LONG = "named_too_long"

    @property
    def en(self) -> str:
        return _TEXTS[self][0]

    @property
    def zh(self) -> str:
        return _TEXTS[self][1]

    def text(self, lang: str = "en") -> str:
        """The sentence in Chinese (`lang` begins with "zh") or English."""
        return self.zh if lang.startswith("zh") else self.en


_TEXTS: dict[Reason, tuple[str, str]] = {
    Reason.EARNS: ("counts", "计入"),
    Reason.NO_TRACK: (
        "no track was recorded, so this leg earns nothing: leave recording on next time",
        "没有轨迹记录，本段不计减排量：下次请保持轨迹记录开启",
    ),
    Reason.NO_STATIONS: (
        "the stations are not known, so this leg earns nothing: pick both stations next time",
        "未识别进出站，本段不计减排量：下次请选择进站和出站",
    ),
    Reason.CARPOOL_UNCONFIRMED: (
        "nobody else in the car has confirmed this ride yet, so it earns nothing so far",
        "尚无同乘人确认，本段暂不计减排量",
    ),
    Reason.CARPOOL_PEOPLE: (
        "a shared car counts with 2 to 9 people, driver included",
        "合乘人数须为 2 至 9 人（含驾驶员）",
    ),
    Reason.MODE_ABSENT: ("this programme does not count this mode", "本方法学不包含该出行方式"),
    Reason.NOT_IN_FORCE: (
        "the methodology is not in force on the day of the trip",
        "出行当日该方法学未生效",
    ),
    Reason.BELOW_STEP: ("shorter than the smallest distance that counts", "距离不足最小计量单位"),
    Reason.LENGTH_CAPPED: (
        "longer than a leg may count: the rest earns nothing",
        "超过单段计量上限：超出部分不计",
    ),
    Reason.ABOVE_BASELINE: (
        "emits more than the baseline: it lowers the trip's reduction",
        "排放高于基准线：会减少本次出行的减排量",
    ),
    Reason.OUTSIDE: (
        "the trip starts or ends outside the provinces of the methodology",
        "起点或终点不在本方法学适用的省市内",
    ),
    Reason.NAMED_TOO_LONG: (
        "the route with the changes you named is over 5 % longer than the shortest usual one, which counts instead",
        "按所填换乘站的路线比常用最短路线长 5% 以上，按常用最短路线计量",
    ),
}

_NEEDS: dict[Mode, tuple[str, str]] = {
    Mode.WALK: ("leave recording on: the recorded track counts", "请保持轨迹记录开启：按记录的轨迹计量"),
    Mode.CYCLE: ("leave recording on: the recorded track counts", "请保持轨迹记录开启：按记录的轨迹计量"),
    Mode.BUS: (
        "start and end are enough; with recording on the whole way counts",
        "起终点即可计量；开启轨迹记录可按全程计量",
    ),
    Mode.RAIL: ("pick both stations, or stand near them", "请选择进站和出站，或在车站附近开始和结束"),
    Mode.CARPOOL: (
        "leave recording on; it counts once the others in the car have confirmed it",
        "请保持轨迹记录开启；同乘人确认后计入",
    ),
}


def needs(mode: Mode, lang: str = "en") -> str:
    """What a mode needs so that it earns: shown before the trip starts."""
    return _NEEDS[mode][1 if lang.startswith("zh") else 0]
