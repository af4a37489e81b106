"""From a stop of a route to its station: name, place, entrances, and whether it is open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date

from greentrip.distance.sphere import great_circle_m
from greentrip.packs.draft import Names, Stop
from greentrip.packs.osm_extract import Extract, Member, Node, Relation, Tags
from greentrip.trip import Point

STATION_M_MAX = 500
"""A station of the stop's name lies at most this far from it: a large interchange."""
NAMELESS_M_MAX = 150
"""A stop without a name is at the nearest station, if at most this far: the platforms of a station on its own."""
ENTRANCE_M_MAX = 300
"""An entrance that belongs to no stop_area is one of the nearest station, if at most this far."""

LAT_NEAR = 0.01
"""Degrees of latitude, 1.1 km: whatever is further cannot be near enough, and need not be measured."""

STATIONS = frozenset({"station", "halt", "tram_stop"})
ENTRANCES = frozenset({"subway_entrance", "train_station_entrance"})
DEAD = ("disused", "abandoned", "construction", "proposed", "planned", "razed", "demolished", "removed")
"""Lifecycle words of OpenStreetMap, as values of railway=, as keys, and before the colon of keys."""
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


def names_of(tags: Tags) -> Names:
    """Chinese, English and pinyin names, and the others that people know it by."""
    zh = next((tags[key] for key in ("name:zh", "name:zh-Hans", "name") if tags.get(key)), "")
    pinyin = next((tags[key] for key in ("name:zh_pinyin", "name:zh-Latn-pinyin", "name:pinyin") if tags.get(key)), "")
    others = [tags.get(key, "") for key in ("name", "alt_name", "old_name", "short_name", "official_name")]
    known = (part.strip() for text in others for part in text.split(";"))
    aliases = tuple(dict.fromkeys(part for part in known if part and part != zh))
    return Names(zh.strip(), tags.get("name:en", "").strip(), pinyin.strip(), aliases)


def is_open(tags: Tags, day: date) -> bool:
    """Whether people can get in or out on that day, as far as the tags say.

    Not where a lifecycle word takes the place of the station (railway=construction, disused:railway=station,
    disused=yes), where opening_hours are closed or access is no, or where it opens later or was closed earlier.
    """
    railway = tags.get("railway", "")
    replaced = railway not in STATIONS | {"stop"} and any(f"{word}:railway" in tags for word in DEAD)
    if railway in DEAD or replaced or any(tags.get(word, "no") != "no" for word in DEAD):
        return False
    if tags.get("opening_hours") in ("closed", "off") or tags.get("access") == "no":
        return False
    opened = (tags.get("opening_date", ""), tags.get("start_date", ""))
    return not any(_later(text, day) for text in opened) and not _earlier(tags.get("end_date", ""), day)


def _later(text: str, day: date) -> bool:
    return bool(_DATE.fullmatch(text)) and text > day.isoformat()[: len(text)]


def _earlier(text: str, day: date) -> bool:
    return bool(_DATE.fullmatch(text)) and text < day.isoformat()[: len(text)]


def _is_station(tags: Tags) -> bool:
    """A station, also one that is out of use."""
    dead = any(tags.get(f"{word}:railway") == "station" or tags.get(word) == "station" for word in DEAD)
    return tags.get("railway") in STATIONS or tags.get("public_transport") == "station" or dead


class Stations:
    """Finds the station of each stop of a route. `day`: what opens later counts as closed."""

    def __init__(self, extract: Extract, day: date) -> None:
        self._extract = extract
        self._day = day
        self._areas = {
            (member.kind, member.id): relation
            for relation in extract.relations.values()
            if relation.tags.get("public_transport") == "stop_area"
            for member in relation.members
        }
        self._stations = [node for node in extract.nodes.values() if node.tags.get("railway") in STATIONS]
        self.found: dict[str, Stop] = {}
        """The stations by id, in the order in which routes called at them."""

    def of(self, member: Member, place: Node) -> Stop | None:
        """The station of a route's stop, which lies at `place`.

        None when trains pass: the stop has no name, or is closed while its station is open to other lines.
        """
        area = self._areas.get((member.kind, member.id))
        own = place.tags if member.kind == "n" else self._extract.ways[member.id].tags
        stop = self._of_area(area, own, place.point) if area else self._alone(own, place)
        if not stop.names.zh or (not stop.closed and not is_open(own, self._day)):
            return None
        return self.found.setdefault(stop.id, stop)

    def _of_area(self, area: Relation, own: Tags, point: Point) -> Stop:
        """The station of a stop_area: named by its station, else by itself, else by the stop."""
        members = list(self._tagged(area))
        stations = [(tags, where) for tags, where in members if _is_station(tags)]
        tags, where = stations[0] if stations else (own, point)
        named = [tags] if stations else []
        names = next((found for found in map(names_of, (*named, area.tags, own)) if found.zh), Names(""))
        entrances = tuple(where for tags, where in members if tags.get("railway") in ENTRANCES)
        closed = not (is_open(tags, self._day) and is_open(area.tags, self._day))
        return Stop(f"r{area.id}", names, where, closed, entrances=entrances)

    def _tagged(self, area: Relation) -> Iterator[tuple[Tags, Point]]:
        """Tags and place of each member that the extract holds."""
        for member in area.members:
            if member.kind == "n" and (node := self._extract.nodes.get(member.id)):
                yield node.tags, node.point
            elif member.kind == "w" and (way := self._extract.ways.get(member.id)):
                points = [self._extract.nodes[id].point for id in way.nodes if id in self._extract.nodes]
                if points:
                    yield way.tags, middle(points)

    def _alone(self, own: Tags, place: Node) -> Stop:
        """The station near a stop that is in no stop_area, or the stop itself."""
        name = names_of(own).zh
        near = (
            (great_circle_m(place.point, node.point), node.id, node)
            for node in self._stations
            if abs(node.point.lat - place.point.lat) < LAT_NEAR and (not name or names_of(node.tags).zh == name)
        )
        metres, _, station = min(near, default=(STATION_M_MAX + 1.0, 0, place))
        if metres > (STATION_M_MAX if name else NAMELESS_M_MAX):
            station = place
        names = names_of(station.tags)
        return Stop(
            f"n{station.id}", names if names.zh else names_of(own), station.point, not is_open(station.tags, self._day)
        )


def with_loose_entrances(stops: Mapping[str, Stop], extract: Extract) -> dict[str, Stop]:
    """The stops, each also with the entrances next to it that no stop_area of theirs names."""
    named = {entrance for stop in stops.values() for entrance in stop.entrances}
    loose: dict[str, list[Point]] = {}
    for node in extract.nodes.values():
        if node.tags.get("railway") in ENTRANCES and node.point not in named:
            lat = node.point.lat
            near = (
                (id, stop.point) for id, stop in stops.items() if stop.point and abs(stop.point.lat - lat) < LAT_NEAR
            )
            places = ((great_circle_m(node.point, point), id) for id, point in near)
            metres, id = min(places, default=(ENTRANCE_M_MAX + 1.0, ""))
            if metres <= ENTRANCE_M_MAX:
                loose.setdefault(id, []).append(node.point)
    return {id: replace(stop, entrances=(*stop.entrances, *loose.get(id, ()))) for id, stop in stops.items()}


def middle(points: Iterable[Point]) -> Point:
    """The mean of some places near each other."""
    found = list(points)
    return Point(sum(p.lat for p in found) / len(found), sum(p.lon for p in found) / len(found))
