"""What is in a region pack, in a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greentrip.distance.rail.pack import FORMAT_VERSION, Pack, Source
from greentrip.packs.provinces import PROVINCES
from greentrip.table import table

_WORDS = {
    "en": {
        "head": ("pack", ""),
        "title": "title",
        "region": "region",
        "made": "made",
        "size": "bytes",
        "format": "format",
        "lines": "lines",
        "rings": "  rings",
        "stations": "stations",
        "closed": "  closed",
        "no_position": "  without position",
        "entrances": "entrances",
        "edges": "edges",
        "one_way": "  one-way",
        "km": "  km of line",
        "changes": "changes with minutes",
        "outlines": "outlines",
        "source": "source",
    },
    "zh": {
        "head": ("线网包", ""),
        "title": "名称",
        "region": "区域",
        "made": "生成日期",
        "size": "字节",
        "format": "格式版本",
        "lines": "线路",
        "rings": "  环线",
        "stations": "车站",
        "closed": "  关闭",
        "no_position": "  无位置",
        "entrances": "出入口",
        "edges": "区间",
        "one_way": "  单向",
        "km": "  线路公里",
        "changes": "有用时的换乘",
        "outlines": "省级边界",
        "source": "来源",
    },
}
NAMES_SHOWN_MAX = 4


@dataclass(frozen=True, slots=True)
class Description:
    """Counts of a pack. `km`: the length of line, each edge once; `outlines`: code -> points of its outline."""

    title: str
    region: str
    made: str
    size: int
    format: int
    lines: int
    rings: tuple[str, ...]
    stations: int
    closed: tuple[str, ...]
    no_position: int
    entrances: int
    edges: int
    one_way: tuple[str, ...]
    km: float
    changes: int
    outlines: Mapping[int, int]
    sources: tuple[Source, ...]


def describe(pack: Pack, path: Path) -> Description:
    """The counts of a pack that was read from `path`."""
    names = [station.name for station in pack.stations]
    one_way = tuple(
        f"{pack.lines[edge.line].name} {names[edge.start]}→{names[edge.end]}" for edge in pack.edges if edge.one_way
    )
    return Description(
        title=pack.title,
        region=pack.region,
        made=pack.made.isoformat(),
        size=path.stat().st_size,
        format=FORMAT_VERSION,
        lines=len(pack.lines),
        rings=tuple(line.name for line in pack.lines if line.ring),
        stations=len(pack.stations),
        closed=tuple(station.name for station in pack.stations if station.closed),
        no_position=sum(station.point is None for station in pack.stations),
        entrances=sum(len(station.entrances) for station in pack.stations),
        edges=len(pack.edges),
        one_way=one_way,
        km=round(sum({(e.line, *sorted((e.start, e.end))): e.metres for e in pack.edges}.values()) / 1000, 1),
        changes=len(pack.changes),
        outlines={code: sum(len(r) for p in polygons for r in p) for code, polygons in pack.outlines.items()},
        sources=pack.sources,
    )


def as_table(found: Description, lang: str) -> str:
    """The description for people."""
    words = _WORDS[lang]
    rows = [(str(words[key]), _cell(getattr(found, key))) for key in words if key not in ("head", "outlines", "source")]
    points = "点" if lang == "zh" else "points"
    outlines = [f"{code} {PROVINCES[code][0]} ({count} {points})" for code, count in found.outlines.items()]
    rows.append((str(words["outlines"]), ", ".join(outlines) or "0"))
    rows += [(str(words["source"]), _source(source)) for source in found.sources]
    return table(words["head"], rows)


def _cell(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    shown = ", ".join(value[:NAMES_SHOWN_MAX]) + (", ..." if len(value) > NAMES_SHOWN_MAX else "")
    return f"{len(value)} ({shown})" if value else "0"


def _source(source: Source) -> str:
    return " | ".join(part for part in (source.name, source.licence, source.address) if part)
