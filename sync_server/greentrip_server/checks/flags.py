"""The rule about what the phone itself says of a trip."""

from __future__ import annotations

from greentrip.trip import Flag
from greentrip_server.checks.context import Context
from greentrip_server.checks.outcome import Outcome, Severity
from greentrip_server.checks.policy import Choice
from greentrip_server.checks.wording import STAFF_EN, STAFF_ZH


def check_flags(context: Context) -> list[Outcome]:
    """What the phone itself says about the trip; how grave that is stands in the policy."""
    return [_flag(flag, _flag_choice(context, flag).value) for flag in context.record.flags]


def _flag_choice(context: Context, flag: Flag) -> Choice:
    limits, production = context.policy.flags, context.environment == "production"
    return {
        Flag.MOCK: limits.mock,
        Flag.GAP: limits.gap,
        Flag.EVEN: limits.even,
        Flag.REPEAT: limits.repeat,
        Flag.REPLAY: limits.replay_in_production if production else limits.replay_in_development,
    }[flag]


_FLAG_TEXTS: dict[Flag, tuple[str, str]] = {
    Flag.MOCK: (
        "The phone says that another app gave it false positions. Switch mock locations off in its settings.",
        "手机提示有其他应用提供了模拟位置。请在手机设置中关闭模拟位置。",
    ),
    Flag.GAP: (
        "Part of the way was not recorded; what was recorded counts. Leave recording on until you arrive.",
        "部分路程没有轨迹，仅按已记录的部分计入。请保持轨迹记录开启直至到达。",
    ),
    Flag.EVEN: (
        "The track is more even than anybody travels: its steps are equal and its lines straight. Record real trips "
        "with your phone, with mock locations off.",
        "轨迹过于均匀：步长相等、线路笔直，不像真实出行。请用手机记录真实出行，并关闭模拟位置。",
    ),
    Flag.REPEAT: (
        "The phone recorded this very track before, to the metre and the second. Record each trip once, when you make "
        "it.",
        "本机此前已记录过完全相同的轨迹（位置与时间间隔均一致）。请在每次出行时记录，且只记录一次。",
    ),
    Flag.REPLAY: (
        "The track was replayed from a file, as demonstrations and tests do. Record real trips with your phone.",
        "轨迹由文件回放生成，属于演示或测试。请用手机记录真实出行。",
    ),
}


def _flag(flag: Flag, severity: Severity) -> Outcome:
    en, zh = _FLAG_TEXTS[flag]
    # What follows depends on the policy, so the sentence about it does too.
    if severity is Severity.HOLD:
        en, zh = f"{en} {STAFF_EN}", zh + STAFF_ZH
    elif severity is Severity.REJECT:
        en, zh = f"{en} The trip does not count.", f"{zh}本次出行不计入。"
    return Outcome("flags", severity, en, zh, details={"flag": flag.value})
