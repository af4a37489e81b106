"""Writes small OpenStreetMap extracts: a test draws its own city."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

STEP_DEGREES = 0.001
"""A city is drawn on a grid of 0.001 degrees, about 111 m north and 85 m east."""
ORIGIN = (39.9, 116.4)

Tags = Mapping[str, str]
Member = tuple[str, int, str]


class OsmCity:
    """Nodes on a grid, ways and relations; each method gives the id of what it adds."""

    def __init__(self) -> None:
        self._elements: dict[str, list[str]] = {"node": [], "way": [], "relation": []}
        self._last = 0

    def node(self, north: float, east: float, **tags: str) -> int:
        lat, lon = ORIGIN[0] + north * STEP_DEGREES, ORIGIN[1] + east * STEP_DEGREES
        return self._add("node", f'lat="{lat:.7f}" lon="{lon:.7f}"', "", tags)

    def way(self, nodes: Iterable[int], **tags: str) -> int:
        return self._add("way", "", "".join(f'<nd ref="{node}"/>' for node in nodes), tags)

    def relation(self, members: Iterable[Member], tags: Tags) -> int:
        inner = "".join(f'<member type="{kind}" ref="{id}" role={quoteattr(role)}/>' for kind, id, role in members)
        return self._add("relation", "", inner, tags)

    def stop(self, name: str, north: float, east: float, **tags: str) -> int:
        return self.node(north, east, **{"railway": "stop", "name": name} | tags)

    def route(self, name: str, stops: Iterable[int], ways: Iterable[int], **tags: str) -> int:
        members = [("node", stop, "stop") for stop in stops] + [("way", way, "") for way in ways]
        return self.relation(members, {"type": "route", "route": "subway", "name": name} | tags)

    def line(self, name: str, routes: Iterable[int], **tags: str) -> int:
        members = [("relation", route, "") for route in routes]
        return self.relation(members, {"type": "route_master", "route_master": "subway", "name": name} | tags)

    def both_ways(self, name: str, stops: list[int], ways: list[int], **tags: str) -> None:
        """A line with a route for each direction, over the same track."""
        there = self.route(f"{name}: there", stops, ways, **tags)
        back = self.route(f"{name}: back", stops[::-1], ways, **tags)
        self.line(name, [there, back], **tags)

    def stop_area(self, members: Iterable[Member], **tags: str) -> int:
        return self.relation(members, {"type": "public_transport", "public_transport": "stop_area"} | tags)

    def province(self, name: str, ways: Iterable[int], role: str = "outer", **tags: str) -> int:
        members = [("way", way, role) for way in ways]
        kind = {"type": "boundary", "boundary": "administrative", "admin_level": "4", "name": name}
        return self.relation(members, kind | tags)

    def square(self, north: float, east: float, size: float) -> int:
        """A closed way round a square, from its south-west corner."""
        corners = [(0, 0), (0, size), (size, size), (size, 0)]
        nodes = [self.node(north + up, east + right) for up, right in corners]
        return self.way([*nodes, nodes[0]])

    def write(self, path: Path) -> Path:
        body = "\n".join(element for kind in ("node", "way", "relation") for element in self._elements[kind])
        path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<osm version="0.6">\n{body}\n</osm>\n', "utf-8")
        return path

    def _add(self, kind: str, attributes: str, inner: str, tags: Tags) -> int:
        self._last += 1
        tagged = "".join(f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in tags.items())
        self._elements[kind].append(f'<{kind} id="{self._last}" version="1" {attributes}>{inner}{tagged}</{kind}>')
        return self._last
