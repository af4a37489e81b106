"""Stations, entrances and transfers of GTFS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from greentrip.distance.rail.pack_json import CHANGE_MINUTES_MAX
from greentrip.errors import BadFile
from greentrip.packs.draft import Names, Stop, Walk
from greentrip.packs.gtfs_names import Translations, names_of
from greentrip.packs.tables import Row, Tables
from greentrip.trip import Point

ENTRANCE = "2"
"""location_type of where people go in; empty, 0 and 1 are platforms and stations."""
NO_TRANSFER = "3"
"""transfer_type of two stops between which one cannot change."""


class Stops:
    """stops.txt, each platform as its station. Raises `BadFile` for what is wrong in it."""

    def __init__(self, tables: Tables, translations: Translations) -> None:
        self._tables = tables
        self._rows: dict[str, Row] = {}
        self._names: dict[str, Names] = {}
        self._entrances: dict[str, list[Point]] = defaultdict(list)
        self._called: dict[str, None] = {}
        for row in tables.rows("stops.txt", ("stop_id", "stop_lat", "stop_lon")):
            self._rows[row.text("stop_id")] = row
            self._names[row["stop_id"]] = names_of(row, "stop_name", row["stop_id"], translations)
            point = row.point("stop_lat", "stop_lon")
            if row["location_type"] == ENTRANCE and point:
                self._entrances[row["parent_station"]].append(point)

    def station_of(self, id: str) -> str:
        """The id of the station that a stop called at belongs to."""
        station = self._station(id)
        self._called[station] = None
        return station

    def _station(self, id: str) -> str:
        row = self._rows.get(id)
        if row is None:
            raise BadFile(self._tables.path / "stops.txt", 0, f"there is no stop {id!r}", f"没有车站 {id!r}")
        parent = row["parent_station"]
        if parent and parent not in self._rows:
            raise row.error(f"parent_station {parent!r} is none", f"上级车站 {parent!r} 不存在")
        return parent or id

    def point_of(self, id: str) -> Point:
        point = self._rows[id].point("stop_lat", "stop_lon")
        if point is None:
            raise self._rows[id].error("the position is empty", "位置为空")
        return point

    def name_of(self, id: str) -> str:
        return self._names[self._station(id)].zh

    def called(self) -> dict[str, Stop]:
        """The stations that were asked for, in order."""
        pairs = [{self._station(id) for id in _ends(row)} for row in self._transfers(NO_TRANSFER)]
        barred = {id for pair in pairs if len(pair) > 1 for id in pair}
        return {
            id: Stop(
                id, self._names[id], self.point_of(id), apart=id in barred, entrances=tuple(self._entrances.get(id, ()))
            )
            for id in self._called
        }

    def walks(self, patterns: Iterable[tuple[str, str, tuple[str, ...]]]) -> Iterator[Walk]:
        """The changes of transfers.txt with their least time, between all lines that call at the two stops."""
        lines: dict[str, dict[str, None]] = defaultdict(dict)
        for line, _, ids in patterns:
            for id in ids:
                lines[id][line] = lines[self._station(id)][line] = None
        for row in self._transfers("2"):
            start, end = _ends(row)
            if row["min_transfer_time"] and start in lines and end in lines:
                minutes = row.number("min_transfer_time", 0, CHANGE_MINUTES_MAX * 60) / 60
                for from_line in lines[start]:
                    for to_line in lines[end]:
                        yield Walk(self._station(start), from_line, self._station(end), to_line, minutes)

    def _transfers(self, kind: str) -> Iterator[Row]:
        for row in self._tables.optional("transfers.txt", ("from_stop_id", "to_stop_id", "transfer_type")):
            if row["transfer_type"] == kind and all(id in self._rows for id in _ends(row)):
                yield row


def _ends(row: Row) -> tuple[str, str]:
    return row["from_stop_id"], row["to_stop_id"]
