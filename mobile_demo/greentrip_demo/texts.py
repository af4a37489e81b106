"""Every text of the app itself, in English and Chinese. What the SDK says comes from the SDK in both languages."""

from __future__ import annotations

LANGUAGES = ("en", "zh")

_TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Low-carbon trips", "低碳出行"),
    "other_language": ("中文", "English"),
    # What it runs on
    "connecting": ("Opening your trips ...", "正在打开出行记录……"),
    "note_embedded": (
        "A server runs on this machine, with a made-up account.",
        "本机已启动服务器，使用虚构的演示账户。",
    ),
    "note_remote": ("Server: {server}", "服务器：{server}"),
    "note_offline": (
        "Offline only: no server. Trips are recorded and kept, and nothing is sent.",
        "仅离线：没有服务器。出行照常记录并保存，不会上传。",
    ),
    "note_server_failed": (
        "Offline only: the server on this machine did not start, see {log}. Trips are recorded and kept.",
        "仅离线：本机服务器未能启动，见 {log}。出行照常记录并保存。",
    ),
    "note_no_font": (
        "No Chinese font was found on this system, so the app speaks English, and Chinese names show as boxes.",
        "本系统未找到中文字体。",
    ),
    # Before a trip
    "choose_mode": ("How do you travel?", "选择出行方式"),
    "mode_walk": ("Walk", "步行"),
    "mode_cycle": ("Cycle", "骑行"),
    "mode_bus": ("Bus", "公交"),
    "mode_rail": ("Rail", "轨道"),
    "mode_carpool": ("Carpool", "合乘"),
    "needs": ("To earn: {needs}.", "计量条件：{needs}。"),
    "start_place": ("From: a station, or lat,lon", "起点：站名，或“纬度,经度”"),
    "start": ("Start", "开始出行"),
    # On the way
    "running": ("{mode}, since {time}", "{mode}出行中，{time} 出发"),
    "legs": ("part {legs} of the trip", "第 {legs} 段"),
    "end_place": ("To: a station, or lat,lon", "终点：站名，或“纬度,经度”"),
    "changes": ("Changed lines at (optional): 双井, 呼家楼", "换乘站（可不填）：双井、呼家楼"),
    "finish": ("Finish", "结束出行"),
    "switch_to": ("or go on from there by", "或在此换乘，继续以"),
    "cancel": ("Cancel this trip", "取消本次出行"),
    "cancel_sure": ("Forget this trip for good?", "确定放弃本次出行？放弃后无法恢复。"),
    "cancel_yes": ("Forget it", "放弃"),
    "cancel_no": ("Keep it", "保留"),
    # After an interruption
    "interrupted": ("A trip was interrupted", "有一次未结束的出行"),
    "interrupted_facts": (
        "{mode}, since {time}; last seen at {seen}. The time in between counts as a gap.",
        "{mode}，{time} 出发，最后记录于 {seen}。中断的时间将标记为缺口。",
    ),
    "resume": ("Go on with it", "继续出行"),
    # Results
    "result": ("This trip saved", "本次减排"),
    "trips": ("Trips", "出行记录"),
    "no_trips": ("No trips yet: choose how you travel and press Start.", "还没有出行记录：选择方式并点“开始出行”。"),
    "older_trips": ("{count} older trips are kept and not shown here.", "另有 {count} 次更早的出行未在此显示。"),
    "grams": ("{grams} g", "{grams} 克"),
    "leg": ("{mode} {km} km: {reasons}", "{mode} {km} 公里：{reasons}"),
    "and": ("; ", "；"),
    "state_asked": ("waits for your answer", "待您回答"),
    "state_withdrawn": ("withdrawn by you", "已由您撤回"),
    "state_pending": ("waits to be sent", "待上传"),
    "state_leased": ("being sent", "上传中"),
    "state_accepted": ("counted", "已计入"),
    "state_held": ("held for a check", "待核实"),
    "state_rejected": ("not counted", "未通过"),
    "state_conflict": ("in conflict with another", "有冲突"),
    "state_unsupported": ("the server cannot read it yet", "服务器暂不支持"),
    "state_set_aside": ("set aside by the server, tried again daily", "服务器暂未接收，每日重试"),
    "state_erased": ("erased", "已删除"),
    "state_damaged": ("damaged, not sent", "已损坏，不上传"),
    "state_local": ("on this phone only", "仅本机"),
    # How it really was
    "ask": ("One question about {title}, {when}", "关于 {when} {title} 的一个问题"),
    "answer_walk": ("I walked", "步行"),
    "answer_cycle": ("I cycled", "骑行"),
    "answer_bus": ("By bus", "公交"),
    "answer_rail": ("By rail", "轨道交通"),
    "answer_carpool": ("In a shared car", "合乘"),
    "answer_car": ("By car or taxi", "小汽车或出租车"),
    "answer_ebike": ("By e-bike", "电动自行车"),
    "answer_other": ("Otherwise", "其他方式"),
    # Sending
    "queue": ("{recorded} recorded, {waiting} waiting to be sent", "已记录 {recorded} 次，待上传 {waiting} 次"),
    "sync": ("Send now", "立即上传"),
    "syncing": ("Sending ...", "上传中……"),
    "sync_done": ("{settled} settled: {message}.", "已处理 {settled} 条：{message}。"),
}


def catalogue(lang: str) -> dict[str, str]:
    """All texts in Chinese (`lang` begins with "zh") or English."""
    column = 1 if lang.startswith("zh") else 0
    return {key: pair[column] for key, pair in _TEXTS.items()}


def other(lang: str) -> str:
    """The language that the button switches to."""
    return "en" if lang.startswith("zh") else "zh"
