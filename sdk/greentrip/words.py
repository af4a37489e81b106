"""Modes, methods, states, a server's words and amounts as people read them, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from greentrip.states import State
from greentrip.trip import Method, Mode

_WORDS: Mapping[Mode | Method | State, tuple[str, str]] = {
    Mode.WALK: ("walk", "步行"),
    Mode.CYCLE: ("cycle", "骑行"),
    Mode.BUS: ("bus", "公共汽电车"),
    Mode.RAIL: ("rail", "城市轨道交通"),
    Mode.CARPOOL: ("carpool", "小型客车合乘"),
    Method.TRACK: ("track", "轨迹"),
    Method.ENDPOINTS: ("endpoints", "起终点"),
    State.ASKED: ("asked", "待回答"),
    State.PENDING: ("pending", "待上传"),
    State.LEASED: ("leased", "上传中"),
    State.ACCEPTED: ("accepted", "已计入"),
    State.HELD: ("held", "待核实"),
    State.REJECTED: ("rejected", "未通过"),
    State.CONFLICT: ("conflict", "有冲突"),
    State.UNSUPPORTED: ("unsupported", "暂不支持"),
    State.SET_ASIDE: ("set aside", "暂缓上传"),
    State.ERASED: ("erased", "已删除"),
    State.DAMAGED: ("damaged", "已损坏"),
    State.LOCAL: ("local", "仅本机"),
    State.WITHDRAWN: ("withdrawn", "已撤回"),
}
_RAIL_METHOD = ("rail", "线网")
"""The method has the word of the mode, and they are equal as texts."""


def word(value: Mode | Method | State, lang: str = "en") -> str:
    """A mode, a method or a state in Chinese (`lang` begins with "zh") or English.

    >>> word(Mode.RAIL), word(Mode.RAIL, "zh"), word(Method.RAIL, "zh")
    ('rail', '城市轨道交通', '线网')
    """
    pair = _RAIL_METHOD if isinstance(value, Method) and value is Method.RAIL else _WORDS[value]
    return pair[1 if lang.startswith("zh") else 0]


_SERVER_WORDS: Mapping[str, tuple[str, str]] = {
    # What a notice is about
    "decision": ("decided", "已核定"),
    "erasure": ("erased by you", "您已删除"),
    "conflict": ("in conflict", "有冲突"),
    # What an entry of a statement is for
    "trip": ("trip", "出行"),
    "trip_erasure": ("trip erased", "删除出行"),
}
"""By the name that the protocol gives it."""


def server_word(name: str, lang: str = "en") -> str:
    """A kind of notice or entry, or a status, of the protocol; one that this version does not know as it is.

    >>> server_word("trip_erasure", "zh"), server_word("held", "zh"), server_word("of_later", "zh")
    ('删除出行', '待核实', 'of_later')
    """
    if name in _SERVER_WORDS:
        return _SERVER_WORDS[name][1 if lang.startswith("zh") else 0]
    return word(State(name), lang) if name in tuple(State) else name


def grams(mg: int) -> str:
    """Milligrams as grams for display, rounded half up.

    >>> grams(2_517_120)
    '2517'
    """
    return str((mg + 500) // 1000)


def km(metres: int) -> str:
    """Metres as kilometres for display.

    >>> km(34_958)
    '34.96'
    """
    return f"{metres / 1000:.2f}"
