"""What an app may ask while a trip runs: pure functions over its events and fixes, so it survives the app's death."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from greentrip.arrival import Declined, Suggestion, SuggestionKind, suggest
from greentrip.distance.rail import Network
from greentrip.errors import InvalidInput
from greentrip.measure import point_of, station_of
from greentrip.recorder import DECLINE, START, SWITCH, Event, place_from_json, place_to_json
from greentrip.sampling import FixRequest, Settings, State, after_fixes, begin, replayed, request_of
from greentrip.trip import Fix, Mode, Place, Point


@dataclass(frozen=True, slots=True)
class RunningLeg:
    """The leg in progress: its trip, its mode, where and since when (Unix seconds), and what was declined in it."""

    trip: str
    mode: Mode
    start: Place
    started_at: float
    declined: tuple[Declined, ...]


def running_leg(events: Sequence[Event]) -> RunningLeg:
    """The leg in progress of a trip, which has at least its start."""
    index = max(index for index, event in enumerate(events) if event.kind in (START, SWITCH))
    event = events[index]
    return RunningLeg(
        trip=str(events[0].body["trip"]),
        mode=Mode(str(event.body["mode"])),
        start=place_from_json(cast("dict[str, object]", event.body["place"])),
        started_at=event.at,
        declined=tuple(_declined(later) for later in events[index:] if later.kind == DECLINE),
    )


@dataclass(frozen=True, slots=True)
class Followed:
    """How far the policy has followed a leg. It is kept to save work only: the stored fixes give the same again."""

    leg: RunningLeg
    settings: Settings
    state: State
    seen: int = 0
    """The number of the last stored fix that it knows."""


def follow(
    before: Followed | None, leg: RunningLeg, network: Network | None, *, saver: bool, above_ground: bool
) -> Followed:
    """What there was, while it is still of this leg and these settings; else the beginning of the leg."""
    on_network = leg.mode is Mode.RAIL and network is not None and station_of(leg.start, network) is not None
    settings = Settings(leg.mode, on_network=on_network, above_ground=above_ground, saver=saver)
    same = (leg.trip, leg.started_at, settings)
    if before is not None and (before.leg.trip, before.leg.started_at, before.settings) == same:
        return before
    return Followed(leg, settings, begin(settings, leg.started_at))


def followed_by(before: Followed, fixes: Sequence[Fix], seen: int) -> Followed:
    """The same after more fixes, as they came; `seen` is the number of the last of them."""
    own = [fix for fix in fixes if fix.at >= before.leg.started_at]
    return replace(before, state=after_fixes(before.state, own), seen=seen)


def fix_request(followed: Followed, now_s: float, moving: bool | None) -> FixRequest:
    """What to ask the location service for now."""
    return request_of(replayed(followed.state, (), now_s), moving)


def suggestion_of(leg: RunningLeg, fixes: Sequence[Fix], network: Network | None) -> Suggestion | None:
    """What the fixes of the leg in progress suggest that the person may want to say."""
    own = [fix for fix in fixes if fix.at >= leg.started_at]
    return suggest(leg.mode, own, network=network, start=leg.start, declined=leg.declined)


def decline_body(suggestion: object, network: Network | None) -> dict[str, object]:
    """What the log keeps of a suggestion to which the person said no."""
    if not isinstance(suggestion, Suggestion):
        raise InvalidInput(
            "suggestion", f"{suggestion!r} is not what suggestion() gave: pass that", "应为 suggestion() 给出的建议"
        )
    point = point_of(suggestion.place, network)
    return {"suggestion": suggestion.kind, "mode": suggestion.mode, "place": place_to_json(point)}


def _declined(event: Event) -> Declined:
    mode = event.body["mode"]
    point = place_from_json(cast("dict[str, object]", event.body["place"]))
    return Declined(
        kind=SuggestionKind(str(event.body["suggestion"])),
        mode=Mode(str(mode)) if mode else None,
        at=event.at,
        point=cast("Point", point),
    )
