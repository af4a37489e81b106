"""Pinyin and English names where a source has none."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.packs.draft import Names
from greentrip.packs.names import complete_line, complete_station, pinyin, toneless


@pytest.mark.parametrize(
    ("zh", "spelt"),
    [
        ("虎坊桥", "Hufangqiao"),
        ("西安门", "Xi'anmen"),
        ("长椿街", "Changchunjie"),
        ("朝阳门", "Chaoyangmen"),
        ("十里堡", "Shilipu"),
        ("什刹海", "Shichahai"),
        ("饶乐府", "Raolefu"),
        ("绿园", "Lüyuan"),
        ("2号航站楼", "2 Haohangzhanlou"),
        ("T1 航站楼", "T1 Hangzhanlou"),
    ],
)
def test_places_are_spelt_as_on_their_signs(zh: str, spelt: str):
    assert toneless(pinyin(zh)) == spelt
    assert complete_station(Names(zh)).en == spelt


@pytest.mark.parametrize(
    ("zh", "en"),
    [
        ("1号线", "Line 1"),
        ("S1线", "Line S1"),
        ("昌平线", "Changping Line"),
        ("亦庄T1线", "Yizhuang T1 Line"),
        ("线", "Xian"),
        ("Line 9", "Line 9"),
    ],
)
def test_lines_are_called_as_on_maps(zh: str, en: str):
    assert complete_line(Names(zh)).en == en


def test_a_name_that_is_given_is_kept():
    given_names = Names("天安门东", "Tian An Men East", "Tiān'ānmén Dōng", ("Tiananmen East",))
    assert complete_station(given_names) == given_names
    assert complete_line(Names("1号线", "First Line")).en == "First Line"


@given(st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd", "Zs"]), max_size=12))
def test_any_name_has_a_spelling_without_tones(text: str):
    spelt = toneless(pinyin(text))
    assert not set("\u0300\u0301\u0304\u030c") & set(unicodedata.normalize("NFD", spelt))
    assert spelt == spelt.strip()
