"""How kinds of travel and speeds are called in a sentence, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greentrip.evidence.bands import Kind, Measure

_KINDS: Mapping[Kind, tuple[str, str]] = {
    Kind.WALK: ("a walk", "步行"),
    Kind.CYCLE: ("a ride by bicycle", "骑自行车"),
    Kind.EBIKE: ("a ride by e-bike", "骑电动自行车"),
    Kind.BUS: ("a ride by bus", "乘公共汽电车"),
    Kind.RAIL: ("a ride by rail", "乘轨道交通"),
    Kind.CAR: ("a ride by car", "乘小汽车"),
}
_MEASURES: Mapping[Measure, tuple[str, str]] = {
    Measure.MEDIAN: ("the speed passed for half of the time", "有一半时间超过的速度"),
    Measure.P85: ("the speed passed for a seventh of the time", "有七分之一的时间超过的速度"),
    Measure.P95: ("the speed in the fastest moments", "最快时的速度"),
    Measure.MOVING: ("the mean speed while moving", "行进中的平均速度"),
    Measure.SPREAD: ("the fastest moments less the mean speed while moving", "最快时的速度与行进中平均速度之差"),
    Measure.UNEVEN: (
        "the speed passed for a seventh of the time less that passed for half of it",
        "有七分之一的时间超过的速度与有一半时间超过的速度之差",
    ),
}


def kinds_text(kinds: Sequence[Kind], lang: str = "en") -> str:
    """One kind or several, as alternatives. Chinese where `lang` begins with "zh".

    >>> kinds_text([Kind.BUS, Kind.CAR])
    'a ride by bus or a ride by car'
    """
    if lang.startswith("zh"):
        return "或".join(_KINDS[kind][1] for kind in kinds)
    return " or ".join(_KINDS[kind][0] for kind in kinds)


def measure_text(measure: Measure, kmh: int, lang: str = "en") -> str:
    """A speed in words.

    >>> measure_text(Measure.MOVING, 16)
    'the mean speed while moving was 16 km/h'
    """
    en, zh = _MEASURES[measure]
    return f"{zh}为每小时 {kmh} 公里" if lang.startswith("zh") else f"{en} was {kmh} km/h"
