"""What can go wrong, as a small tree: one class for each thing that a caller can *do* about it.

    GreenTripError
    ├── InvalidInput            a value is wrong: correct the field that is named and call again
    │   ├── UnknownStation      no such station: choose one of `suggestions`
    │   │   └── AmbiguousStation    several stations are called so: choose one of `suggestions`
    │   ├── StationClosed       trains pass through it: choose another station
    │   ├── UnknownChange       the named changes make no route: correct `changes`
    │   ├── NoRoute             no rails join the two stations: choose others
    │   └── BadFile             a file is broken: mend it at `path`, `line`
    ├── WrongMoment             the call does not fit now
    │   ├── NoTrip              no trip is running: call start() first
    │   ├── NoQuestion          the trip waits for no answer: it was given, or the question lapsed
    │   ├── TripRunning         a trip is running: finish(), cancel() or resume() it first
    │   ├── NotEnrolled         this phone has no account yet: request_code(), then enrol()
    │   ├── OptedOut            the person opted out: opt_in() first
    │   ├── Suspended           the app is suspended: wake() first
    │   └── Closed              this GreenTrip was closed: open() it again
    ├── StorageError            the phone's store cannot be used; what was committed is kept
    │   ├── StorageFull         make room on the disk and call again
    │   ├── StorageCorrupt      close and open() again: the file is set aside, what can be read goes into a new one
    │   ├── StorageNewer        written by a newer greentrip: update the app
    │   └── QueueFull           the store holds as much as it may: sync() first, or erase trips
    └── ServerError             the server could not be used; nothing is lost
        ├── Unreachable         no answer: call again when there is a network
        ├── Refused             the server said no: see `problem`
        └── Untrusted           the answer is not signed by the pinned server: do not use it
            └── Unproven            a receipt proves nothing: sync() for a fresh one, or check the root key

Every error has an English and a Chinese sentence: `str(error)` is English, `error.message("zh")` is for a commuter. The
Chinese one leaves out what only a developer can use, such as which check of an answer failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "AmbiguousStation",
    "BadFile",
    "Closed",
    "GreenTripError",
    "InvalidInput",
    "NoQuestion",
    "NoRoute",
    "NoTrip",
    "NotEnrolled",
    "OptedOut",
    "QueueFull",
    "Refused",
    "ServerError",
    "StationClosed",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "StorageNewer",
    "Suspended",
    "TripRunning",
    "UnknownChange",
    "UnknownStation",
    "Unproven",
    "Unreachable",
    "Untrusted",
    "WrongMoment",
]


_FIELDS_ZH = {
    "accuracy_m": "定位精度",
    "account": "账户",
    "answer": "回答",
    "at": "时间",
    "changes": "换乘站",
    "clock": "手机时间",
    "code": "验证码",
    "edges": "区间",
    "end": "终点",
    "fix": "轨迹点",
    "lat": "纬度",
    "line": "记录",
    "lines": "线路",
    "lon": "经度",
    "mode": "出行方式",
    "network": "线网数据",
    "outlines": "省市边界",
    "pack": "线网数据包",
    "pending": "待上传的出行",
    "place": "地点",
    "point": "坐标点",
    "receipt": "凭证",
    "root_key": "根公钥",
    "send_delay_s": "上传延迟",
    "server": "服务器地址",
    "start": "起点",
    "station": "车站",
    "stations": "车站",
    "suggestion": "建议",
    "trip": "出行",
}
"""What a commuter reads instead of the name of an argument."""


class GreenTripError(Exception):
    """The root of all errors of this library."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh

    def message(self, lang: str = "en") -> str:
        """The sentence in Chinese (`lang` begins with "zh") or English."""
        return self.zh if lang.startswith("zh") else self.en


class InvalidInput(GreenTripError, ValueError):
    """A value is wrong. `field` names it."""

    def __init__(self, field: str, en: str, zh: str) -> None:
        super().__init__(f"{field}: {en}", f"{_FIELDS_ZH.get(field, field)}：{zh}")
        self.field = field


class UnknownStation(InvalidInput):
    """No station has this name. `suggestions` holds near names, best first."""

    def __init__(self, field: str, name: str, suggestions: Sequence[str]) -> None:
        near_en = f"; did you mean {', '.join(suggestions)}?" if suggestions else "; give a name of the network"
        near_zh = f"；您是否要找：{'、'.join(suggestions)}？" if suggestions else "；请填写线网中的站名"
        super().__init__(field, f"no station is called {name!r}{near_en}", f"没有名为“{name}”的车站{near_zh}")
        self.name = name
        self.suggestions = tuple(suggestions)


class AmbiguousStation(UnknownStation):
    """Several stations have this name. `suggestions` holds what tells them apart."""

    def __init__(self, field: str, name: str, choices: Sequence[str]) -> None:
        InvalidInput.__init__(
            self,
            field,
            f"several stations are called {name!r}: choose {' or '.join(choices)}",
            f"有多个车站名为“{name}”：请选择{'或'.join(choices)}",
        )
        self.name = name
        self.suggestions = tuple(choices)


class StationClosed(InvalidInput):
    """The station `name` is closed: trains pass through it."""

    def __init__(self, field: str, name: str) -> None:
        zh = f"{name}已封闭，列车不停靠：请改选其他车站"
        super().__init__(field, f"{name} is closed, trains do not stop there: choose another", zh)
        self.name = name


class UnknownChange(InvalidInput):
    """The named changes make no route."""


class NoRoute(InvalidInput):
    """No rails join the two stations."""


class BadFile(InvalidInput):
    """A file is broken at `path`, `line` (1-based; 0 when the file as a whole is meant)."""

    def __init__(self, path: Path | str, line: int, en: str, zh: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        super().__init__(where, en, zh)
        self.path = Path(path)
        self.line = line


class WrongMoment(GreenTripError):
    """The call does not fit the present state."""


class NoTrip(WrongMoment):
    """No trip is running."""

    def __init__(self) -> None:
        super().__init__("no trip is running: call start() first", "当前没有进行中的出行：请先开始出行")


class NoQuestion(WrongMoment):
    """The trip waits for no answer."""

    def __init__(self) -> None:
        super().__init__(
            "this trip waits for no answer: it was given already, or the question lapsed; see trips()",
            "该出行没有待回答的问题：可能已经回答，或问题已过期；请查看出行记录",
        )


class TripRunning(WrongMoment):
    """A trip is running already."""

    def __init__(self) -> None:
        super().__init__(
            "a trip is running: finish(), cancel() or resume() it first",
            "已有进行中的出行：请先结束、取消或继续该出行",
        )


class NotEnrolled(WrongMoment):
    """This phone has no account yet."""

    def __init__(self) -> None:
        super().__init__(
            "this phone has no account yet: request_code(), then enrol()",
            "本机尚未开户：请先获取验证码并完成开户",
        )


class OptedOut(WrongMoment):
    """The person opted out of the programme."""

    def __init__(self) -> None:
        super().__init__(
            "you opted out: opt_in() first; nothing is recorded or sent until then",
            "您已停止参与：请先重新开启；在此之前不记录也不上传",
        )


class Suspended(WrongMoment):
    """The app is suspended, and the store's file is let go of."""

    def __init__(self) -> None:
        super().__init__("the app is suspended: wake() first", "应用已挂起：请先恢复")


class Closed(WrongMoment):
    """The object was closed."""

    def __init__(self) -> None:
        super().__init__("this GreenTrip was closed: open() it again", "已关闭：请重新打开")


class StorageError(GreenTripError):
    """The phone's store cannot be used. What was committed before is kept."""


class StorageFull(StorageError):
    """No room on the disk."""

    def __init__(self) -> None:
        super().__init__(
            "no room on the disk: make room and call again; what was recorded before is kept",
            "存储空间不足：请清理空间后重试；此前的记录均已保留",
        )


class StorageCorrupt(StorageError):
    """The store's file is damaged."""

    def __init__(self) -> None:
        super().__init__(
            "the store's file is damaged: close and open again; it is set aside and what can be read is kept",
            "本地存储文件已损坏：请关闭后重新打开；原文件将另行保留，可读取的记录会恢复",
        )


class StorageNewer(StorageError):
    """The file was written by a newer version of this library."""


class QueueFull(StorageError):
    """The store holds as much as it may. Nothing was evicted."""

    def __init__(self, limit: int, *, of_bytes: bool = False) -> None:
        if of_bytes:
            en, zh = "bytes are stored", "字节的本机数据"
            then_en, then_zh = "erasing trips frees some, and gives up their credit", "可删除出行（减排量一并取消）"
        else:
            en, zh = "trips wait to be sent", "条待上传的出行"
            then_en, then_zh = "sync() first", "请先同步"
        super().__init__(
            f"{limit} {en}, the most this phone keeps: {then_en}; none was dropped",
            f"已达上限（{limit} {zh}）：{then_zh}；没有任何记录被丢弃",
        )


class ServerError(GreenTripError):
    """The server could not be used. Nothing on the phone is lost."""


class Unreachable(ServerError):
    """No usable answer."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the server cannot be reached ({why}): call again when there is a network; nothing is lost",
            "暂时无法连接服务器：请联网后重试；记录不会丢失",
        )


class Refused(ServerError):
    """The server said no. `problem` is its RFC 9457 document, `status` the HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, object]) -> None:
        title = problem.get("detail") or problem.get("title") or f"HTTP {status}"
        zh = problem.get("detail_zh") or problem.get("title_zh") or f"服务器拒绝了请求（HTTP {status}）"
        super().__init__(str(title), str(zh))
        self.status = status
        self.problem = dict(problem)
        self.kind = str(problem.get("type", "about:blank")).rsplit("/", 1)[-1]


class Untrusted(ServerError):
    """The answer does not carry a valid signature of the pinned server.

    `why_zh` is for what a commuter can act on.
    """

    def __init__(self, why: str, why_zh: str = "") -> None:
        which_zh = f"（{why_zh}）" if why_zh else ""
        super().__init__(
            f"the answer cannot be trusted ({why}): nothing was settled; check server and root_key",
            f"服务器应答未通过验证{which_zh}：未作任何结算；请检查服务器地址与根公钥",
        )


class Unproven(Untrusted):
    """A receipt that was kept or exported proves nothing: what the phone sent and settled stays as it is."""

    def __init__(self, why: str, why_zh: str) -> None:
        GreenTripError.__init__(self, f"the receipt proves nothing: {why}", f"该凭证无效：{why_zh}")
