"""Names of stations and lines in pinyin and English, where the source gives none.

Chinese stations are spelt in pinyin on signs and maps (GB/T 28039), so pinyin is what English falls back to.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import ModuleType

from greentrip.packs.draft import Names
from greentrip.packs.extra import needed

PLACE_READINGS = {
    "长椿": "cháng chūn",
    "长阳": "cháng yáng",
    "朝阳": "cháo yáng",
    "什刹海": "shí chà hǎi",
    "大栅栏": "dà shí lànr",
    "里堡": "lǐ pù",
    "家堡": "jiā pù",
    "十里铺": "shí lǐ pù",
    "单店": "shàn diàn",
    "番禺": "pān yú",
    "蚌埠": "bèng bù",
    "六安": "lù ān",
    "丽水": "lí shuǐ",
    "台州": "tāi zhōu",
    "饶乐府": "ráo lè fǔ",
}
"""What places are called where the dictionary knows only the common word: readings on signs and in local use."""
_HAN = re.compile(r"([\u3400-\u9fff]+)")
_NUMBERED = re.compile(r"(?P<number>[A-Z]?\d+)(?:号)?线")
_ACCENTS = "\u0300\u0301\u0304\u030c"
"""Grave, acute, macron, caron: the four tones. The two dots of ü are none."""


def complete_station(names: Names) -> Names:
    """The names with pinyin and English filled in."""
    spelt = names.pinyin or pinyin(names.zh)
    return replace(names, pinyin=spelt, en=names.en or toneless(spelt))


def complete_line(names: Names) -> Names:
    """As on maps: 1号线 is Line 1, 昌平线 is Changping Line."""
    spelt = names.pinyin or pinyin(names.zh)
    if names.en:
        en = names.en
    elif numbered := _NUMBERED.fullmatch(names.zh):
        en = f"Line {numbered['number']}"
    elif names.zh.endswith("线") and len(names.zh) > 1:
        en = f"{toneless(pinyin(names.zh[:-1]))} Line"
    else:
        en = toneless(spelt)
    return replace(names, pinyin=spelt, en=en)


def pinyin(text: str) -> str:
    """A name in pinyin with tones; each run of Chinese characters is one word, the rest stays.

    >>> pinyin("虎坊桥"), pinyin("西安门"), pinyin("2号航站楼")
    ('Hǔfāngqiáo', "Xī'ānmén", '2 Hàohángzhànlóu')
    """
    words = (_word(part) if _HAN.fullmatch(part) else part.strip() for part in _HAN.split(text))
    return " ".join(word for word in words if word)


def _word(chinese: str) -> str:
    syllables = [found[0] for found in _dictionary().pinyin(chinese, style=_dictionary().Style.TONE)]
    return "".join(_joined(syllables)).capitalize()


def _joined(syllables: list[str]) -> Iterator[str]:
    """An apostrophe keeps a syllable that begins with a vowel from the one before (GB/T 16159)."""
    for at, syllable in enumerate(syllables):
        vowel = toneless(syllable)[:1] in ("a", "e", "o")
        yield f"'{syllable}" if at and vowel else syllable


def toneless(text: str) -> str:
    """Pinyin without its tones.

    >>> toneless("Lǜyuán"), toneless("Hǔfāngqiáo")
    ('Lüyuan', 'Hufangqiao')
    """
    plain = "".join(char for char in unicodedata.normalize("NFD", text) if char not in _ACCENTS)
    return unicodedata.normalize("NFC", plain)


@cache
def _dictionary() -> ModuleType:
    """pypinyin with our readings. It goes by the longest known phrase."""
    module = needed("pypinyin")
    module.load_phrases_dict({phrase: [[s] for s in reading.split()] for phrase, reading in PLACE_READINGS.items()})
    return module
