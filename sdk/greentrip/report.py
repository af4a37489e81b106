"""What a sync did and why it ended, in words for a commuter."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from greentrip.states import State


class Trigger(StrEnum):
    """What asks for a sync. However many come at once, they fold into one."""

    RECORD = "record"
    """A trip was recorded: it is sent after a random delay."""
    TIMER = "timer"
    """The time that was planned has come."""
    NETWORK = "network"
    """The network is back."""
    APP = "app"
    """The app came to the front."""
    PERSON = "person"
    """`sync()`: the person, or the app for them, asks now."""


class Stop(StrEnum):
    """Why a sync ended."""

    DONE = "done"
    NOT_ENROLLED = "not_enrolled"
    OFFLINE = "offline"
    WAIT = "wait"
    """The server asked for silence."""
    LOGIN = "login"
    PAUSED = "paused"
    UNTRUSTED = "untrusted"
    BUSY = "busy"
    """Another thread or process is sending."""
    TIME = "time"
    """The timeout has passed."""
    STORAGE = "storage"
    """The phone's store could not be used: see `detail`."""
    OPTED_OUT = "opted_out"
    """The person opted out: nothing is sent until `opt_in()`."""
    SUSPENDED = "suspended"
    """The app was suspended, closed or is going down meanwhile."""
    FAULT = "fault"
    """A fault in this library, told and not raised: see `detail`."""


_STOP_TEXTS: dict[Stop, tuple[str, str]] = {
    Stop.DONE: ("everything that was due is sent", "待上传的记录均已上传"),
    Stop.NOT_ENROLLED: ("no account yet: enrol first; trips are kept", "尚未开户：请先开户，记录已保存"),
    Stop.OFFLINE: (
        "the server did not answer: trips are kept and sent later",
        "暂时无法连接服务器：记录已保存，稍后上传",
    ),
    Stop.WAIT: ("the server asked to wait: trips are kept and sent later", "服务器繁忙：记录已保存，稍后上传"),
    Stop.LOGIN: (
        "the server does not know this phone: enrol again; trips are kept",
        "服务器不认识本机：请重新开户，记录已保存",
    ),
    Stop.PAUSED: (
        "the server refused the call: trips are kept and tried again",
        "服务器拒绝了请求：记录已保存，稍后重试",
    ),
    Stop.UNTRUSTED: (
        "the answer was not signed by the pinned server: nothing was settled",
        "服务器应答未通过验证：未作任何结算",
    ),
    Stop.BUSY: ("another part of the app is sending", "应用的其他部分正在上传"),
    Stop.TIME: ("the time was up: the rest is kept and sent later", "时间已到：其余记录已保存，稍后上传"),
    Stop.STORAGE: (
        "the phone's store cannot be used: make room and sync again; trips are kept",
        "本地存储不可用：请清理空间后重试，记录已保存",
    ),
    Stop.OPTED_OUT: ("you opted out: nothing is sent until you opt in again", "您已停止参与：重新开启前不会上传"),
    Stop.SUSPENDED: (
        "the app went to sleep: the rest is kept and sent later",
        "应用已转入后台：其余记录已保存，稍后上传",
    ),
    Stop.FAULT: ("greentrip has a fault: trips are kept and sent later", "程序出错：记录已保存，稍后上传"),
}


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did: records settled by state, how many still wait, why it ended, and the server's words if any."""

    settled: dict[State, int] = field(default_factory=dict)
    left: int = 0
    stop: Stop = Stop.DONE
    detail: str = ""
    requests: int = 0
    asked: int = 0
    """Trips that are not sent yet because they wait for an answer: see `TripView.question`."""
    set_aside: int = 0
    """Trips that the server let pass in no call: each trip's `rules` have its words. They are tried again daily."""

    def message(self, lang: str = "en") -> str:
        """The reason in Chinese (`lang` begins with "zh") or English."""
        zh = lang.startswith("zh")
        text = _STOP_TEXTS[self.stop][1 if zh else 0]
        if self.asked:
            text += f"；{self.asked} 次出行待您回答" if zh else f"; {self.asked} wait for your answer"
        if self.set_aside:
            text += f"；{self.set_aside} 次出行暂缓上传" if zh else f"; {self.set_aside} set aside, see their rules"
        return text
