"""What can go wrong, as a small tree: one class for each reader.

    Exception
    ├── SettingsError       for who runs the server: correct everything that `wrong` lists, then start again
    └── Problem             for who calls it: an RFC 9457 document; `kind` says which (KINDS has them all)
        400 malformed       415 media_type
        401 signature, clock, unknown_device        422 invalid, code_wrong, code_expired
        403 consent, device_ended                   426 upgrade
        404 not_found   405 method_not_allowed      429 too_many
        408 timeout     413 too_large               500 internal        503 unavailable

A Problem is made by the function of its kind below, so that every place that raises one gives what its reader needs.
Its `type` is `/problems/<kind>`, a page made from the same table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from greentrip.wire import JsonValue

PROBLEM_MEDIA_TYPE = "application/problem+json"
SIGNATURE_CHALLENGE = "Greentrip-Signature"
"""What a 401 asks for in WWW-Authenticate (RFC 9110, section 15.5.2)."""


class SettingsError(Exception):
    """The server cannot start with these settings. `wrong` says in a sentence each what to correct."""

    def __init__(self, wrong: Sequence[str]) -> None:
        super().__init__("\n".join(("the settings are wrong:", *(f"- {line}" for line in wrong))))
        self.wrong = tuple(wrong)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: HTTP status, title and what to do, in English and Chinese."""

    status: int
    title_en: str
    title_zh: str
    remedy_en: str
    remedy_zh: str


KINDS: Mapping[str, Kind] = {
    "malformed": Kind(
        400,
        "The request is malformed",
        "请求格式不正确",
        "Correct what `field` and `line` name, and send it again. The same bytes will always be refused.",
        "请更正 field 与 line 所指之处后重新发送。相同内容会一直被拒绝。",
    ),
    "signature": Kind(
        401,
        "The signature is not right",
        "请求签名不正确",
        "Sign the request again as the protocol says; `part` names what does not fit.",
        "请按协议重新签名；part 指出不符之处。",
    ),
    "clock": Kind(
        401,
        "The signature's time is too far from the server's",
        "签名时间与服务器时间相差过大",
        "Take the difference to `server_time` into account and send once more. Correct the phone's clock.",
        "请按 server_time 修正时差后重新发送一次，并校正手机时间。",
    ),
    "unknown_device": Kind(
        401,
        "This device is not known",
        "未识别的设备",
        "Enrol the device: ask for a code, then register its key. Records on the phone are kept.",
        "请先完成开户：获取验证码并登记设备。手机上的记录均会保留。",
    ),
    "consent": Kind(
        403,
        "A consent is missing",
        "缺少授权同意",
        "Ask the person for the consent that `purpose` names. Records on the phone are kept.",
        "请征得本人对 purpose 所指用途的同意。手机上的记录均会保留。",
    ),
    "device_ended": Kind(
        403,
        "This device was signed out for good",
        "该设备已停用",
        "Enrol again with a new key. Records on the phone are kept.",
        "请以新密钥重新开户。手机上的记录均会保留。",
    ),
    "not_found": Kind(
        404,
        "There is nothing here",
        "未找到",
        "Check the address; the list of all addresses is at /schema.",
        "请检查地址；全部接口见 /schema。",
    ),
    "method_not_allowed": Kind(
        405,
        "This address does not take this method",
        "该地址不支持此方法",
        "Use a method that the header Allow names.",
        "请使用 Allow 头所列的方法。",
    ),
    "timeout": Kind(
        408,
        "The request took too long to arrive",
        "请求传输超时",
        "Send it again after Retry-After, on a better network or in smaller parts. Nothing was changed.",
        "请按 Retry-After 所示时间后重试，可改用更好的网络或分批发送。未作任何更改。",
    ),
    "too_large": Kind(
        413,
        "The request is too large",
        "请求过大",
        "Send fewer records at once: half as many.",
        "请减少单次发送的记录数：减半后重试。",
    ),
    "media_type": Kind(
        415,
        "The media type is not supported",
        "不支持的媒体类型",
        "Send the media type that the protocol names for this call.",
        "请使用协议为该接口规定的媒体类型。",
    ),
    "invalid": Kind(
        422,
        "A value is not acceptable",
        "取值不符合要求",
        "Correct the value that `field` names and call again.",
        "请更正 field 所指的值后重试。",
    ),
    "code_wrong": Kind(
        422,
        "The code is not right",
        "验证码不正确",
        "Type the code again; `tries_left` says how often that is possible.",
        "请重新输入验证码；tries_left 为剩余次数。",
    ),
    "code_expired": Kind(
        422,
        "The code is no longer valid",
        "验证码已失效",
        "Ask for a new code.",
        "请重新获取验证码。",
    ),
    "upgrade": Kind(
        426,
        "This call needs a newer app",
        "请更新应用",
        "Update the app. Records on the phone are kept and will be sent.",
        "请更新应用。手机上的记录均会保留并继续上传。",
    ),
    "too_many": Kind(
        429,
        "Too many requests",
        "请求过于频繁",
        "Wait as long as Retry-After says.",
        "请按 Retry-After 所示时间后重试。",
    ),
    "internal": Kind(
        500,
        "The server has a fault",
        "服务器出错",
        "Nothing was changed. Try again later; tell the operator the time if it stays.",
        "未作任何更改。请稍后重试；若持续出现，请告知运营方发生时间。",
    ),
    "unavailable": Kind(
        503,
        "The server cannot do this now",
        "服务暂时不可用",
        "Wait as long as Retry-After says. Nothing is lost: the phone keeps every record.",
        "请按 Retry-After 所示时间后重试。记录不会丢失：手机会保留全部记录。",
    ),
}


class Problem(Exception):
    """Tells the caller what is wrong. `extra` holds members of its document that only some kinds have.

    `keeps_writes`: the transaction in which it is raised commits nevertheless (a wrong code must count as a try).
    """

    def __init__(
        self,
        kind: str,
        en: str,
        zh: str,
        *,
        retry_after_s: int | None = None,
        keeps_writes: bool = False,
        extra: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(f"{kind}: {en}")
        self.kind = kind
        self.detail_en = en
        self.detail_zh = zh
        self.retry_after_s = retry_after_s
        self.keeps_writes = keeps_writes
        self.extra = dict(extra or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind].status

    def document(self) -> dict[str, JsonValue]:
        """The body of the answer (RFC 9457, with Chinese beside the English)."""
        kind = KINDS[self.kind]
        known: dict[str, JsonValue] = {
            "type": f"/problems/{self.kind}",
            "title": kind.title_en,
            "title_zh": kind.title_zh,
            "status": kind.status,
            "detail": self.detail_en,
            "detail_zh": self.detail_zh,
        }
        waits: dict[str, JsonValue] = {} if self.retry_after_s is None else {"retry_after_s": self.retry_after_s}
        return known | waits | self.extra

    def headers(self) -> dict[str, str]:
        """The headers of the answer, its content type excepted."""
        found = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == 401:
            found["WWW-Authenticate"] = SIGNATURE_CHALLENGE
        if self.status == 408:
            found["Connection"] = "close"  # RFC 9110, section 15.5.9
        return found


def malformed(field: str, en: str, zh: str, *, line: int | None = None) -> Problem:
    """400: the bytes can never be right. `line` (from 1) is set where the body has lines."""
    where: dict[str, JsonValue] = {"field": field} if line is None else {"field": field, "line": line}
    return Problem("malformed", f"{field}: {en}", f"{field}：{zh}", extra=where)


def signature(part: str, en: str, zh: str) -> Problem:
    """401: the signature does not fit. `part` is "missing", "token", "key" or the name of a claim."""
    return Problem("signature", f"{part}: {en}", f"{part}：{zh}", extra={"part": part})


def clock(now: datetime) -> Problem:
    """401: signed too long ago or in the future; tells the server's time (RFC 3339, UTC)."""
    return Problem(
        "clock",
        "signed too long ago, or in the future: learn the offset from server_time and send once more",
        "签名时间过早或在未来：请按 server_time 修正时差后重新发送",
        extra={"server_time": rfc3339(now)},
    )


def unknown_device() -> Problem:
    """401: nobody registered this key here."""
    return Problem("unknown_device", "no device has this key: enrol first", "没有设备使用该密钥：请先开户")


def consent(purpose: str) -> Problem:
    """403: the person has not consented to `purpose`, or has withdrawn it."""
    return Problem(
        "consent",
        f"the person has not consented to the purpose '{purpose}': ask for it and enrol again",
        f"尚未同意用途“{purpose}”：请征得同意后重新开户",
        extra={"purpose": str(purpose)},
    )


def device_ended() -> Problem:
    """403: this key was ended for good."""
    return Problem(
        "device_ended",
        "this device was ended: enrol again with a new key",
        "该设备已停用：请以新密钥重新开户",
    )


def not_found(what_en: str, what_zh: str) -> Problem:
    """404: there is no such thing, or it is somebody else's."""
    return Problem("not_found", f"there is no such {what_en}", f"没有该{what_zh}")


def timeout(retry_after_s: int) -> Problem:
    """408: the body did not come in time; the connection ends, since the rest of it may still come."""
    return Problem(
        "timeout",
        f"the body did not come in time: try again in {retry_after_s} seconds; nothing is lost",
        f"请求内容未能按时到达：请在 {retry_after_s} 秒后重试；记录不会丢失",
        retry_after_s=retry_after_s,
    )


def too_large(bytes_max: int) -> Problem:
    """413: more than `bytes_max` bytes."""
    return Problem(
        "too_large",
        f"a request has at most {bytes_max} bytes: send fewer records at once",
        f"请求不得超过 {bytes_max} 字节：请减少单次发送的记录数",
        extra={"bytes_max": bytes_max},
    )


def media_type(expected: str) -> Problem:
    """415: this call takes `expected` only."""
    return Problem("media_type", f"this call takes {expected}", f"该接口只接受 {expected}")


def content_encoding() -> Problem:
    """415: a compressed body."""
    return Problem(
        "media_type",
        "this server takes bodies as they are: send no Content-Encoding",
        "只接受未压缩的请求：请勿使用 Content-Encoding",
    )


def invalid(field: str, en: str, zh: str, *, suggestions: Sequence[str] = ()) -> Problem:
    """422: a well-formed value is not acceptable; `suggestions` holds near values, best first."""
    extra: dict[str, JsonValue] = {"field": field}
    if suggestions:
        extra["suggestions"] = list(suggestions)
    return Problem("invalid", f"{field}: {en}", f"{field}：{zh}", extra=extra)


def code_wrong(tries_left: int) -> Problem:
    """422: a wrong one-time code. The try counts, so the transaction commits."""
    return Problem(
        "code_wrong",
        f"the code is not right; tries left: {tries_left}",
        f"验证码不正确；还可尝试 {tries_left} 次",
        keeps_writes=True,
        extra={"field": "code", "tries_left": tries_left},
    )


def code_expired() -> Problem:
    """422: the one-time code is used, too old, tried too often, or was never given."""
    return Problem(
        "code_expired",
        "this code is no longer valid: ask for a new one",
        "验证码已失效：请重新获取",
        extra={"field": "code"},
    )


def upgrade() -> Problem:
    """426: this call needs a newer SDK; stored records are not affected."""
    return Problem("upgrade", "this call needs a newer version of the app", "该接口需要更新版本的应用")


def too_many(retry_after_s: int) -> Problem:
    """429: wait `retry_after_s` seconds."""
    return Problem(
        "too_many",
        f"too many requests: wait {retry_after_s} seconds",
        f"请求过于频繁：请在 {retry_after_s} 秒后重试",
        retry_after_s=retry_after_s,
    )


def internal() -> Problem:
    """500: a fault of ours; nothing was changed."""
    return Problem("internal", "the server has a fault; nothing was changed", "服务器出错；未作任何更改")


def unavailable(retry_after_s: int) -> Problem:
    """503: not now; nothing was changed, or the phone will learn by repeating the call that it was."""
    return Problem(
        "unavailable",
        f"not possible right now: try again in {retry_after_s} seconds; nothing is lost",
        f"暂时无法处理：请在 {retry_after_s} 秒后重试；记录不会丢失",
        retry_after_s=retry_after_s,
    )


def rfc3339(at: datetime) -> str:
    """An instant as the protocol writes it: UTC, whole seconds, `Z`. Raises ValueError for a naive one."""
    if at.utcoffset() is None:
        raise ValueError(f"{at!r} has no time zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
