"""The rules: each a small pure function in the table `RULES`, its limits in policy.toml.

A rule gets everything that it may know in a `Context`, which the caller has read under the account's lock. It says in
Chinese and English what is wrong and what the commuter can do. It rejects only what can never be right: a rejected
record is final. docs/reference/checks.md is generated from this table and the policy.
"""

from __future__ import annotations

from collections.abc import Mapping

from greentrip.methodology import Methodology
from greentrip.record import RecordInvalid, RecordLeg
from greentrip.trip import Flag, Method, Mode
from greentrip_server.checks.context import Context, Others, Rule
from greentrip_server.checks.flags import check_flags
from greentrip_server.checks.mode_fit import check_mode_fit
from greentrip_server.checks.outcome import Outcome, Severity, Status, Verdict, verdict
from greentrip_server.checks.overlap import low_duration_min, occupied, overlaps
from greentrip_server.checks.wording import M_PER_KM, STAFF_EN, STAFF_ZH, km, leg_texts

__all__ = [
    "RULES",
    "Context",
    "Others",
    "Outcome",
    "Rule",
    "Severity",
    "Status",
    "Verdict",
    "run",
    "shape_outcome",
    "verdict",
]

MIN_PER_H = 60
RAIL_STEP_M = 10
OTHER_STEP_M = 100
"""How distances are rounded where the methodology does not say: protocol, "A record"."""


def run(context: Context) -> list[Outcome]:
    """What all rules say, in the order of the table; nothing but `shape` when that rejects.

    A record of a wrong shape means nothing that the other rules could judge.
    """
    return check_shape(context) or [
        outcome for rule in RULES if rule.check is not check_shape for outcome in rule.check(context)
    ]


def shape_outcome(error: RecordInvalid) -> Outcome:
    """The outcome for bytes that the SDK refuses to read."""
    return Outcome(
        "shape",
        Severity.REJECT,
        f"The record cannot be read ({error.en}), so the trip does not count. Update the app; if it is up to date, "
        "tell its maker what stands here.",
        f"记录无法读取（{error.zh}），本次出行无法计入。请更新应用；如已是最新版本，请将此提示告知应用开发者。",
        details={"field": error.field},
    )


def check_shape(context: Context) -> list[Outcome]:
    """What the format allows and no honest phone writes."""
    record, limit = context.record, context.policy.shape.duration_min_max.value
    found: list[Outcome] = []
    for i, leg in enumerate(record.legs):
        if (leg.route is not None) != (leg.method is Method.RAIL):
            error = RecordInvalid(f"legs[{i}].route", "belongs to the method rail", "仅用于轨道线网计量")
            found.append(shape_outcome(error))
    for i, item in enumerate(record.features):
        if not 0 <= item.leg < len(record.legs) or record.legs[item.leg].method is not Method.TRACK:
            error = RecordInvalid(f"features[{i}]", "belongs to a leg with a track", "仅用于有轨迹的出行段")
            found.append(shape_outcome(error))
    low_min = low_duration_min(record.legs)
    if low_min > limit:
        found.append(
            Outcome(
                "shape",
                Severity.REJECT,
                f"The trip lasts more than {limit} min, which is no single trip, so it does not count. "
                "End a trip when you arrive, and start a new one when you go on.",
                f"出行时长超过 {limit} 分钟，不属于一次出行，无法计入。请在到达后结束出行，再次出发时重新开始。",
                details={"duration_min": low_min, "duration_min_max": limit},
            )
        )
    return found


def check_province(context: Context) -> list[Outcome]:
    """Somewhere that no methodology of this server covers."""
    province, methodology = context.record.province, context.methodology
    covered = context.provinces_served if methodology is None else methodology.provinces
    if province in covered:
        return []
    return [
        Outcome(
            "province",
            Severity.REJECT,
            f"The trip began in the area with the code {province}, where this programme does not count trips"
            f" of {context.day}. It stays on your phone; trips count that begin and end in the programme's area.",
            f"出行起点位于地区代码 {province}，本项目不计入该地区 {context.day} 的出行。"
            "记录仍保留在您的手机中；起点和终点均在项目范围内的出行可以计入。",
            details={"province": province},
        )
    ]


def check_methodology(context: Context) -> list[Outcome]:
    """Another file than the official one, or no official one for that day."""
    methodology, record = context.methodology, context.record
    if methodology is None or not methodology.in_force(context.day):
        # The other rule rejects where no methodology will ever hold; here one may still be published.
        if check_province(context):
            return []
        return [
            Outcome(
                "methodology",
                Severity.HOLD,
                f"No methodology is in force for trips of {context.day}. The trip waits until one is published or a "
                "member of staff decides; you need not do anything.",
                f"{context.day} 没有生效的方法学。本次出行将等待方法学发布或工作人员处理，您无需操作。",
                details={"day": record.day},
            )
        ]
    if context.same_file:
        return []
    return [
        Outcome(
            "methodology",
            Severity.NOTE,
            f"The phone reckoned by {record.methodology}; official for that day is {methodology.reference}, "
            "whose figure counts. Update the app to see the official figure at once.",
            f"手机按 {record.methodology} 计算；该日的官方方法学为 {methodology.reference}，以其结果为准。"
            "更新应用后可直接看到官方结果。",
            details={"phone": record.methodology, "official": methodology.reference},
        )
    ]


def check_phone_figure(context: Context) -> list[Outcome]:
    """The same rules, another result: a fault of the app, or somebody changed the figure."""
    phone_mg, official_mg = context.record.reduction_mg, context.official_mg
    if not context.same_file or phone_mg == official_mg:
        return []
    return [
        Outcome(
            "phone_figure",
            Severity.HOLD,
            f"The phone reckoned {phone_mg} mg and the server {official_mg} mg by the same methodology. {STAFF_EN} "
            "Update the app if you can.",
            f"按同一方法学，手机计算为 {phone_mg} 毫克，服务器计算为 {official_mg} 毫克。{STAFF_ZH}请尽可能更新应用。",
            details={"phone_mg": phone_mg, "official_mg": official_mg},
        )
    ]


def check_day_future(context: Context) -> list[Outcome]:
    """A day that has not come: mostly a phone whose clock is wrong."""
    if context.day <= context.today:
        return []
    return [
        Outcome(
            "day_future",
            Severity.HOLD,
            f"The trip's day, {context.day}, has not come yet; it waits until then. Check your phone's date.",
            f"出行日期 {context.day} 尚未到来，将等待至该日再处理。请检查手机日期设置。",
            held_until=context.day,
            details={"day": context.record.day},
        )
    ]


def check_day_old(context: Context) -> list[Outcome]:
    """So late that its month may be closed."""
    age_days, limit = (context.today - context.day).days, context.policy.day_old.days_max.value
    if age_days <= limit:
        return []
    return [
        Outcome(
            "day_old",
            Severity.HOLD,
            f"The trip is {age_days} days old, more than {limit}. {STAFF_EN} Sync more often.",
            f"出行距今 {age_days} 天，超过 {limit} 天。{STAFF_ZH}请及时同步。",
            details={"age_days": age_days, "days_max": limit},
        )
    ]


def check_speed(context: Context) -> list[Outcome]:
    """A leg whose mean speed does not fit its mode, even by the reading of its rounded values that fits best."""
    return [outcome for i in range(len(context.record.legs)) for outcome in _leg_speed(context, i)]


def _leg_speed(context: Context, index: int) -> list[Outcome]:
    leg, band = context.record.legs[index], context.policy.speed
    low_m, high_m = _distance_range_m(context.methodology, leg)
    kmh_max, kmh_min = band.kmh_max.of(leg.mode), band.kmh_min.of(leg.mode)
    details = {"leg": index, "distance_m": leg.distance_m, "duration_min": leg.duration_min}
    what_en, what_zh = leg_texts(index, leg)
    # The minutes are rounded up, so they are the longest that it took.
    if low_m * MIN_PER_H > kmh_max * M_PER_KM * leg.duration_min:
        return [
            Outcome(
                "speed",
                Severity.HOLD,
                f"{what_en}: {km(leg.distance_m)} in {leg.duration_min} min is faster than {kmh_max} km/h. "
                f"{STAFF_EN} Choose the mode with care next time.",
                f"{what_zh}：{leg.duration_min} 分钟内行进 {km(leg.distance_m, '公里')}，快于每小时 {kmh_max} 公里。"
                f"{STAFF_ZH}下次请留意选择正确的出行方式。",
                details={**details, "kmh_max": kmh_max},
            )
        ]
    # Between end points, or after a gap, more was travelled than counts: that it looks slow then says nothing.
    partial = leg.method is Method.ENDPOINTS or Flag.GAP in context.record.flags
    if not partial and high_m * MIN_PER_H < kmh_min * M_PER_KM * low_duration_min([leg]):
        return [
            Outcome(
                "speed",
                Severity.NOTE,
                f"{what_en}: {km(leg.distance_m)} in {leg.duration_min} min is slower than {kmh_min} km/h. It "
                "counts; next time end the leg when you arrive.",
                f"{what_zh}：{leg.duration_min} 分钟内仅行进 {km(leg.distance_m, '公里')}，慢于每小时 {kmh_min} 公里。"
                "本段照常计入；下次请在到达后及时结束。",
                details={**details, "kmh_min": kmh_min},
            )
        ]
    return []


def _distance_range_m(methodology: Methodology | None, leg: RecordLeg) -> tuple[int, int]:
    """The least and the most that was measured before rounding."""
    rules = None if methodology is None else methodology.modes.get(leg.mode)
    if rules is not None:
        step_m, nearest = rules.step_m, rules.nearest
    else:
        nearest = leg.mode is Mode.RAIL
        step_m = RAIL_STEP_M if nearest else OTHER_STEP_M
    below_m = step_m // 2 if nearest else 0
    return max(0, leg.distance_m - below_m), leg.distance_m + step_m - below_m


def check_length(context: Context) -> list[Outcome]:
    """A leg or a trip longer than people travel in a day."""
    record, limits = context.record, context.policy.length
    found: list[Outcome] = []
    for i, leg in enumerate(record.legs):
        limit = limits.leg_m_max.of(leg.mode)
        if leg.distance_m > limit:
            details = {"leg": i, "distance_m": leg.distance_m, "leg_m_max": limit}
            found.append(_too_long(*leg_texts(i, leg), leg.distance_m, limit, details))
    trip_m, limit = sum(leg.distance_m for leg in record.legs), limits.trip_m_max.value
    if trip_m > limit:
        found.append(_too_long("The trip", "本次出行", trip_m, limit, {"distance_m": trip_m, "trip_m_max": limit}))
    return found


def _too_long(what_en: str, what_zh: str, metres: int, limit_m: int, details: Mapping[str, int | str]) -> Outcome:
    return Outcome(
        "length",
        Severity.HOLD,
        f"{what_en}: {km(metres)} is longer than {km(limit_m)}. {STAFF_EN} End a trip when you arrive.",
        f"{what_zh}：{km(metres, '公里')}超过 {km(limit_m, '公里')}。{STAFF_ZH}请在到达后及时结束出行。",
        details=details,
    )


def check_trips_a_day(context: Context) -> list[Outcome]:
    """More trips than a person makes in a day."""
    count, limit = context.others.trips_that_day + 1, context.policy.trips_a_day.count_max.value
    if count <= limit:
        return []
    return [
        Outcome(
            "trips_a_day",
            Severity.HOLD,
            f"This is trip {count} of {context.day}; more than {limit} a day are looked at. {STAFF_EN}",
            f"这是 {context.day} 的第 {count} 次出行；单日超过 {limit} 次需核实。{STAFF_ZH}",
            details={"count": count, "count_max": limit},
        )
    ]


def check_overlap(context: Context) -> list[Outcome]:
    """Two trips at once, by every possible reading of the rounded times. See overlap.py."""
    if not overlaps(context.others.same_account, occupied(context.record)):
        return []
    return [
        Outcome(
            "overlap",
            Severity.HOLD,
            "The account has other trips at the same time, and nobody is on two trips at once. "
            f"{STAFF_EN} Record each trip once, on one phone, and do not lend your account.",
            f"该账户在同一时间已有其他出行，一人不能同时进行两次出行。{STAFF_ZH}"
            "请每次出行只用一部手机记录一次，且不要出借账户。",
            details={"day": context.record.day, "slot": context.record.slot},
        )
    ]


def check_equal_features(context: Context) -> list[Outcome]:
    """The same track under several accounts. Legs without a track say nothing: friends on one metro are honest."""
    limits, accounts = context.policy.equal_features, context.others.accounts_with_equal_features
    tracked = {item.leg for item in context.record.features}
    if not tracked or accounts < 1:
        return []
    track_m = sum(leg.distance_m for i, leg in enumerate(context.record.legs) if i in tracked)
    details = {"accounts": accounts, "track_m": track_m}
    if accounts < limits.accounts_min.value or track_m <= limits.track_m_min.value:
        return [
            Outcome(
                "equal_features",
                Severity.NOTE,
                "Another account recorded the same trip. It counts: companions may. One person uses one account.",
                "另有账户记录了相同的出行。结伴出行可以如此，本次照常计入。每人请只使用一个账户。",
                details=details,
            )
        ]
    return [
        Outcome(
            "equal_features",
            Severity.HOLD,
            f"{accounts} other accounts recorded the very same track. {STAFF_EN}",
            f"另有 {accounts} 个账户记录了完全相同的轨迹。{STAFF_ZH}",
            details=details,
        )
    ]


RULES: tuple[Rule, ...] = (
    Rule(
        "shape",
        check_shape,
        Severity.REJECT,
        "The bytes are a record as the protocol defines it; speed features and route belong to legs that can have "
        "them; the trip is not longer than a trip can be. Other rules are not asked after this one rejects.",
        "记录须符合协议格式；速度特征和线路类型须属于相应的出行段；总时长不超过一次出行的上限。不符合时不再执行其他规则。",
    ),
    Rule(
        "province",
        check_province,
        Severity.REJECT,
        "A methodology of this programme covers the province where the trip began.",
        "出行起点所在省份须在本项目方法学的适用范围内。",
    ),
    Rule(
        "methodology",
        check_methodology,
        Severity.HOLD,
        "A methodology is in force on the trip's day, else the trip waits: one may still be published. When the phone "
        "used another file, the official figure counts and a note says so.",
        "出行当日须有生效的方法学，否则等待发布。手机使用其他版本时以官方结果为准，并附说明。",
    ),
    Rule(
        "phone_figure",
        check_phone_figure,
        Severity.HOLD,
        "Phone and server reckon the same milligrams by the same file.",
        "按同一方法学文件，手机与服务器的计算结果须一致。",
    ),
    Rule(
        "day_future",
        check_day_future,
        Severity.HOLD,
        "The trip's day has come (UTC+8); else it is held until that day.",
        "出行日期（UTC+8）不得晚于今天；否则等待至该日。",
    ),
    Rule(
        "day_old",
        check_day_old,
        Severity.HOLD,
        "The trip is recent enough to count without staff.",
        "出行日期不得过早，否则由工作人员处理。",
    ),
    Rule(
        "speed",
        check_speed,
        Severity.HOLD,
        "A leg's mean speed fits its mode. Held only when even the slowest reading of its rounded values is too fast; "
        "too slow is a note.",
        "出行段平均速度须与出行方式相符。仅当按最宽松的取整解释仍过快时才暂缓；过慢仅作提示。",
    ),
    Rule(
        "length",
        check_length,
        Severity.HOLD,
        "A leg, and the trip, are no longer than people travel in a day.",
        "单段距离和出行总距离不得超过一日内的合理范围。",
    ),
    Rule(
        "trips_a_day",
        check_trips_a_day,
        Severity.HOLD,
        "The account has no more trips that day than a person makes.",
        "单日出行次数不得超过合理范围。",
    ),
    Rule(
        "overlap",
        check_overlap,
        Severity.HOLD,
        "Some possible start times and durations keep the account's trips apart.",
        "按可能的起始时间和时长，同一账户的各次出行须能互不重叠。",
    ),
    Rule(
        "equal_features",
        check_equal_features,
        Severity.HOLD,
        "No group of accounts recorded the very same long track; a note from one other account on. Legs without a "
        "track never count.",
        "不得有多个账户记录完全相同的长距离轨迹；有一个其他账户相同即作提示。没有轨迹的出行段不参与比较。",
    ),
    Rule(
        "mode_fit",
        check_mode_fit,
        Severity.HOLD,
        "The speeds of a leg's track fit its mode, by the scorecard that the phone uses too. Held only when something "
        "that earns less fits far better; a lesser doubt is a note, and so is a leg that may have earned more. Short "
        "legs and legs without a track are never judged.",
        "出行段轨迹的速度特征须与出行方式相符，按手机同样使用的评分表判断。仅当减排较少的方式明显更相符时才暂缓；"
        "疑问较小或实际减排可能更多时仅作提示。过短或没有轨迹的出行段不作判断。",
    ),
    Rule(
        "flags",
        check_flags,
        Severity.HOLD,
        "The phone reports no mock location, no replayed or repeated track and none that is too even; gaps are noted.",
        "手机未报告模拟位置、回放轨迹、重复轨迹或过于均匀的轨迹；轨迹中断仅作提示。",
    ),
)
"""All rules, in the order in which a commuter reads them."""
