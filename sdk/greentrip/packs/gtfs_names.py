"""Names in GTFS: the Chinese one, the English one of translations.txt, and the publisher's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from greentrip.distance.rail.pack import Source
from greentrip.packs.draft import UNSTATED, Names
from greentrip.packs.tables import Row, Tables

_HAN = re.compile(r"[\u3400-\u9fff]")
Translations = Mapping[tuple[str, str, str], str]
"""(language, field, record id or value) -> text."""


def read_translations(tables: Tables) -> Translations:
    """Both kinds of translations.txt: by record or value (the standard's), and by trans_id (older feeds)."""
    found: dict[tuple[str, str, str], str] = {}
    for row in tables.optional("translations.txt", ("translation",)):
        language = (row["language"] or row["lang"]).lower()[:2]
        if not row["record_sub_id"]:
            found[language, row["field_name"], row["record_id"] or row["field_value"] or row["trans_id"]] = row[
                "translation"
            ]
    return found


def _translated(translations: Translations, language: str, field: str, record: str, value: str) -> str:
    keys = ((language, field, record), (language, field, value), (language, "", value))
    return next((translations[key] for key in keys if key in translations), "")


def names_of(row: Row, field: str, record: str, translations: Translations) -> Names:
    """What a row of stops.txt or routes.txt is called; `record` is its id."""
    value = row[field]
    zh = _translated(translations, "zh", field, record, value) or value
    en = _translated(translations, "en", field, record, value)
    if not en and not is_chinese(value) and is_chinese(zh):
        en = value
    return Names(zh, en, aliases=(value,) if value != zh else ())


def line_names(row: Row, translations: Translations) -> Names:
    """A line by its short name, or by its long one where only that is Chinese (short names may be bare numbers)."""
    fields = [field for field in ("route_short_name", "route_long_name") if row[field]]
    found = [names_of(row, field, row["route_id"], translations) for field in fields]
    chosen = next((names for names in found if is_chinese(names.zh)), found[0] if found else Names(row["route_id"]))
    return Names(chosen.zh, chosen.en)


def publisher_of(tables: Tables) -> Source:
    """Who published the feed, else its agency. GTFS has no field for a licence."""
    for row in tables.optional("feed_info.txt", ("feed_publisher_name",)):
        return Source(row.text("feed_publisher_name"), UNSTATED, row["feed_publisher_url"])
    for row in tables.optional("agency.txt", ("agency_name",)):
        return Source(row.text("agency_name"), UNSTATED, row["agency_url"])
    return Source(tables.path.name, UNSTATED)


def is_chinese(text: str) -> bool:
    return bool(_HAN.search(text))
