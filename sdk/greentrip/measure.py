"""From legs to a measured trip: distance, formula and flags, all on the phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from greentrip.distance.endpoints import estimate_endpoints
from greentrip.distance.province import province_of
from greentrip.distance.rail import Network, estimate_rail, recognise
from greentrip.distance.sphere import great_circle_m
from greentrip.distance.track import measure_track
from greentrip.errors import InvalidInput
from greentrip.evidence import features_of, is_even
from greentrip.gaps import with_gaps
from greentrip.methodology import (
    LegFacts,
    LegReduction,
    Methodology,
    Reason,
    Reduction,
    distance_to_record,
    reduce_trip,
)
from greentrip.record import DISTANCE_M_MAX, MeasuredLeg
from greentrip.trip import Estimate, Flag, Leg, Method, Mode, Place, Point, Station, china_day_and_slot

SAME_PLACE_M = 10.0
"""Two points nearer than this are one place: no sensor of a phone can tell them apart."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A trip's legs with distances and what they earn."""

    legs: tuple[MeasuredLeg, ...]
    reduction: Reduction
    province: int | None
    """GB/T 2260 code of the start where both ends lie in the methodology's provinces, else None."""
    flags: frozenset[Flag]


def measure_trip(
    legs: Sequence[Leg], network: Network | None, methodology: Methodology, flags: frozenset[Flag]
) -> Measured:
    """Distances, grams and flags of a finished trip."""
    day, _ = china_day_and_slot(legs[0].started_at)
    measured = tuple(_measure_leg(index, leg, network, methodology) for index, leg in enumerate(legs))
    facts = [LegFacts(item.leg.mode, item.distance_m, item.estimate.method) for item in measured]
    found = set(flags)
    if any(item.estimate.gap for item in measured):
        found.add(Flag.GAP)
    if any(fix.mock for leg in legs for fix in leg.fixes):
        found.add(Flag.MOCK)
    if any(is_even(leg.fixes) for leg in legs):
        found.add(Flag.EVEN)
    province = _province(legs, network, methodology)
    if province is None:
        reduction = Reduction(0, tuple(LegReduction(0, 0, (Reason.OUTSIDE,)) for _ in legs))
    else:
        _check_lengths(measured)
        reduction = reduce_trip(methodology, date.fromisoformat(day), facts)
    return Measured(measured, reduction, province, frozenset(found))


def _measure_leg(index: int, leg: Leg, network: Network | None, methodology: Methodology) -> MeasuredLeg:
    ends = point_of(leg.start, network), point_of(leg.end, network)
    estimate = with_gaps(leg, estimate_leg(leg, network), *ends)
    return MeasuredLeg(
        leg=leg,
        estimate=estimate,
        distance_m=distance_to_record(methodology, leg.mode, estimate),
        features=features_of(index, leg) if estimate.method is Method.TRACK else None,
    )


def _check_lengths(legs: Sequence[MeasuredLeg]) -> None:
    """Refuse a leg that no record can hold: most likely the trip's end was forgotten."""
    if any(item.distance_m > DISTANCE_M_MAX for item in legs):
        raise InvalidInput(
            "place",
            f"the leg would be longer than {DISTANCE_M_MAX // 1000} km: check where it ended, or cancel()",
            f"本段超过 {DISTANCE_M_MAX // 1000} 公里：请检查终点，或取消出行",
        )


def estimate_leg(leg: Leg, network: Network | None) -> Estimate:
    """The best distance there is: the rail network, else the track, else the end points."""
    if leg.changes and (leg.mode is not Mode.RAIL or network is None):
        raise InvalidInput(
            "changes",
            "are for rail legs on a network: leave them out, or pass network= to open()",
            "仅用于已加载线网的轨道交通出行段",
        )
    if leg.mode is Mode.RAIL and network is not None:
        start, end = station_of(leg.start, network), station_of(leg.end, network)
        if start is None or end is None or start != end:
            if (found := _estimate_on_rails(leg, network, start, end)) is not None:
                return found
        # Two points near one station may be a tram's two stops; one station named twice is a mistake.
        elif isinstance(leg.start, Station) and isinstance(leg.end, Station):
            raise _same_place(f"both ends are at {start}", f"进站与出站均为 {start}")
    track = measure_track(leg.mode, leg.fixes)
    if track is not None:
        return track
    start_point, end_point = point_of(leg.start, network), point_of(leg.end, network)
    if great_circle_m(start_point, end_point) < SAME_PLACE_M:
        raise _same_place("start and end are the same place and no track was recorded", "起点与终点相同且没有轨迹")
    return estimate_endpoints(leg.mode, start_point, end_point)


def _estimate_on_rails(leg: Leg, network: Network, start: str | None, end: str | None) -> Estimate | None:
    """By the network, between the stations that are known or that the track shows; None when one stays unknown."""
    seen = recognise(network, leg.fixes, start, end)
    if seen is not None:
        return estimate_rail(network, seen.start, seen.end, leg.changes, seen.route)
    if start is not None and end is not None:
        return estimate_rail(network, start, end, leg.changes)
    return None


def station_of(place: Place, network: Network) -> str | None:
    """The station that a place names or lies near, or None. Raises `UnknownStation`."""
    return network.name_of(place.name) if isinstance(place, Station) else network.nearest(place)


def point_of(place: Place, network: Network | None) -> Point:
    """Where a place is. Raises `UnknownStation`, or `InvalidInput` where there is no network."""
    if isinstance(place, Point):
        return place
    if network is None:
        raise InvalidInput(
            "network",
            f"station {place.name!r} needs a rail network: pass network= to open()",
            f"站名“{place.name}”需要线网数据：请在 open() 传入 network",
        )
    return network.point_of(place.name)


def _province(legs: Sequence[Leg], network: Network | None, methodology: Methodology) -> int | None:
    outlines = network.outlines if network else None
    ends = [province_of(point_of(place, network), outlines) for place in (legs[0].start, legs[-1].end)]
    return ends[0] if all(code in methodology.provinces for code in ends) else None


def _same_place(en: str, zh: str) -> InvalidInput:
    return InvalidInput(
        "place", f"{en}: go on and finish() elsewhere, or cancel()", f"{zh}：请在其他地点结束，或取消出行"
    )
