"""Outlines of provinces from the boundary relations of OpenStreetMap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from greentrip.distance.rail.pack import Polygon
from greentrip.errors import BadFile
from greentrip.packs.draft import Note, Progress
from greentrip.packs.extra import needed
from greentrip.packs.osm_extract import Extract, Relation, Tags, read_extract
from greentrip.packs.outline import rings_of
from greentrip.packs.provinces import PROVINCES, code_of

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


def is_province(tags: Tags) -> bool:
    return tags.get("boundary") == "administrative" and tags.get("admin_level") == "4" and code_of(tags) is not None


def read_outlines(path: Path, progress: Progress) -> tuple[dict[int, tuple[Polygon, ...]], list[Note]]:
    """Only the outlines of an extract. Raises `BadFile` when it holds none whole."""
    outlines, notes = outlines_of(read_extract(path, is_province, progress))
    if not outlines:
        whole = "; ".join(en for en, _ in notes) or "no boundary=administrative with admin_level=4"
        raise BadFile(path, 0, f"holds no whole province outline ({whole})", "文件中没有完整的省级边界")
    return outlines, notes


def outlines_of(extract: Extract) -> tuple[dict[int, tuple[Polygon, ...]], list[Note]]:
    """The outlines that the extract holds whole, by code of GB/T 2260, and a note for each that it does not."""
    outlines: dict[int, tuple[Polygon, ...]] = {}
    notes: list[Note] = []
    for relation in sorted(extract.relations.values(), key=lambda relation: relation.id):
        code = code_of(relation.tags) if is_province(relation.tags) else None
        if code is None:
            continue
        shape = _shape(extract, relation)
        if shape is None:
            zh = PROVINCES[code][0]
            en = f"the outline of {zh} ({code}) is left out: its boundary (relation {relation.id}) is not whole"
            notes.append((en, f"{zh}（{code}）的边界（关系 {relation.id}）不完整，已略去"))
        else:
            outlines[code] = rings_of(shape)
    return outlines, notes


def _shape(extract: Extract, relation: Relation) -> BaseGeometry | None:
    """The area of a boundary, None when a piece is missing or its rings do not close.

    Whatever lies inside an odd number of rings belongs to it: holes and what lies in them come out right even where
    the roles outer and inner are wrong.
    """
    shapely = needed("shapely")
    lines = []
    for member in relation.members:
        if member.kind == "w" and member.role in ("outer", "inner", ""):
            way = extract.ways.get(member.id)
            if way is None or not all(id in extract.nodes for id in way.nodes):
                return None
            points = [extract.nodes[id].point for id in way.nodes]
            lines.append(shapely.LineString([(point.lon, point.lat) for point in points]))
    faces, *loose = shapely.polygonize_full(lines)
    if not faces.geoms or any(len(part.geoms) for part in loose):
        return None
    filled = [shapely.Polygon(face.exterior) for face in faces.geoms]
    inside = [
        face for face in faces.geoms if sum(whole.contains(face.representative_point()) for whole in filled) % 2 == 1
    ]
    return shapely.union_all(inside)
