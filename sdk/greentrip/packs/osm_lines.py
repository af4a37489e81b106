"""Which route of OpenStreetMap is of which line, and what the line is called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from greentrip.packs.draft import Names
from greentrip.packs.osm_extract import Extract, Relation, Tags

_WAY_OF_A_ROUTE = re.compile(r"\s*(?::|：|\(|（|→|=>|->).*")
"""What stands behind a line's name in the name of one of its routes: from where to where."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line before its name is known to be the only one: with and without its network."""

    short: Names
    network: str

    @property
    def full(self) -> str:
        return self.network + self.short.zh


def lines_of(extract: Extract, routes: Sequence[Relation]) -> dict[int, Names]:
    """Route id -> names of its line: those of its route_master, or its own without the direction.

    Routes that have no route_master are of one line when they share a ref (or else the name) and a network. The name
    of the network is left out ("北京地铁1号线" is "1号线") unless two networks have a line of that name.
    """
    masters = {
        member.id: relation
        for relation in extract.relations.values()
        if relation.tags["type"] == "route_master"
        for member in relation.members
        if member.kind == "r"
    }
    groups: dict[tuple[str, ...], list[Tags]] = defaultdict(list)
    key_of: dict[int, tuple[str, ...]] = {}
    for route in routes:
        master = masters.get(route.id)
        key = key_of[route.id] = ("", str(master.id)) if master else _key(route.tags)
        groups[key].append(master.tags if master else route.tags)
    lines = {key: _line(found) for key, found in groups.items()}
    networks = defaultdict(set)
    for line in lines.values():
        networks[line.short.zh].add(line.network)
    return {id: _named(lines[key], len(networks[lines[key].short.zh]) > 1) for id, key in key_of.items()}


def _key(tags: Tags) -> tuple[str, ...]:
    """What the routes of a line without a route_master have in common."""
    return tags["route"], tags.get("network", ""), tags.get("ref") or _plain(tags.get("name", ""))


def _line(routes: Sequence[Tags]) -> _Line:
    """The names that all these tags agree in, else their ref."""
    tags = routes[0]
    network = tags.get("network:zh") or tags.get("network") or ""
    zh = {_plain(found.get("name:zh") or found.get("name") or "").removeprefix(network).strip() for found in routes}
    en = {_plain(found.get("name:en", "")).removeprefix(found.get("network:en", "")).strip() for found in routes}
    agreed = zh.pop() if len(zh) == 1 else ""
    name = agreed or tags.get("ref") or f"{network}{tags.get('route', tags.get('route_master', ''))}"
    return _Line(Names(name, en.pop() if len(en) == 1 else ""), network)


def _plain(name: str) -> str:
    return _WAY_OF_A_ROUTE.sub("", name).strip()


def _named(line: _Line, shared: bool) -> Names:
    return Names(line.full, line.short.en) if shared else line.short


def route_name(route: Relation) -> str:
    """How a note names one route."""
    return f"{route.tags.get('name') or route.tags.get('ref') or route.tags.get('route')} (relation {route.id})"
