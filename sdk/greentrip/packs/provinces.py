"""Provinces by their code of GB/T 2260, as maps name them."""

from __future__ import annotations

from collections.abc import Mapping

PROVINCES = {
    11: ("北京", "BJ"), 12: ("天津", "TJ"), 13: ("河北", "HE"), 14: ("山西", "SX"), 15: ("内蒙古", "NM"),
    21: ("辽宁", "LN"), 22: ("吉林", "JL"), 23: ("黑龙江", "HL"),
    31: ("上海", "SH"), 32: ("江苏", "JS"), 33: ("浙江", "ZJ"), 34: ("安徽", "AH"), 35: ("福建", "FJ"),
    36: ("江西", "JX"), 37: ("山东", "SD"),
    41: ("河南", "HA"), 42: ("湖北", "HB"), 43: ("湖南", "HN"), 44: ("广东", "GD"), 45: ("广西", "GX"),
    46: ("海南", "HI"),
    50: ("重庆", "CQ"), 51: ("四川", "SC"), 52: ("贵州", "GZ"), 53: ("云南", "YN"), 54: ("西藏", "XZ"),
    61: ("陕西", "SN"), 62: ("甘肃", "GS"), 63: ("青海", "QH"), 64: ("宁夏", "NX"), 65: ("新疆", "XJ"),
    71: ("台湾", "TW"), 81: ("香港", "HK"), 82: ("澳门", "MO"),
}  # fmt: skip
"""Code of GB/T 2260 -> Chinese name without its last word, and the letters of ISO 3166-2:CN."""

CODE_KEYS = ("ref:GB/T 2260", "adcode", "code", "gb", "ref", "id")
"""Where maps keep a code of GB/T 2260: two digits, or six of which the first two are the province."""
NAME_KEYS = ("name:zh", "name", "fullname", "NAME")


def code_of(tags: Mapping[str, object]) -> int | None:
    """The province that these tags or properties name, by code, by ISO 3166-2, or by name; None when none.

    >>> code_of({"name": "河北省"}), code_of({"adcode": 110000}), code_of({"ISO3166-2": "CN-TJ"})
    (13, 11, 12)
    """
    iso = str(tags.get("ISO3166-2", "")).removeprefix("CN-")
    digits = [str(tags.get(key, "")) for key in CODE_KEYS] + [iso]
    for text in digits:
        if text.isdecimal() and len(text) in (2, 6) and int(text[:2]) in PROVINCES:
            return int(text[:2])
    names = [str(tags.get(key, "")) for key in NAME_KEYS]
    for code, (zh, letters) in PROVINCES.items():
        if iso == letters or any(name.startswith(zh) for name in names):
            return code
    return None
