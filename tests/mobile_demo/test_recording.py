"""The view model of the app, without Kivy: what the screen says and what its buttons do."""

import re
import string
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue

import httpx
import pytest

import greentrip_demo
from greentrip import Answer, Closed, GreenTrip, InvalidInput, Mode, Network, Point, State, Station, Unreachable, needs
from greentrip.testing import FakeClock, FakeServer
from greentrip_demo.background import Background
from greentrip_demo.fonts import find_cjk_font
from greentrip_demo.launch import read_arguments
from greentrip_demo.recording import Phase, Recording, read_changes, read_place
from greentrip_demo.texts import LANGUAGES, catalogue
from support.recorded import fixes_until, record

FOLDER = Path(greentrip_demo.__file__).parent
HOME, WORK = "39.8890, 116.3790", "39.9060,116.7000"
OpenApp = Callable[..., Recording]


class UiThread:
    """The thread of the test plays the UI thread: it runs what was handed back when the test says so."""

    def __init__(self) -> None:
        self.calls: Queue[Callable[[], None]] = Queue()

    def run_next(self) -> None:
        self.calls.get(timeout=10)()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> FakeServer:
    return FakeServer(clock)


@pytest.fixture
def ui() -> UiThread:
    return UiThread()


@pytest.fixture
def open_app(tmp_path: Path, clock: FakeClock, server: FakeServer, ui: UiThread) -> Iterator[OpenApp]:
    """Opens the app on the same folder, any number of times: each is a new process to the SDK."""
    opened: list[GreenTrip] = []

    def open_it(*, enrolled: bool = False, **options) -> Recording:
        green = GreenTrip.open(
            tmp_path,
            server="https://greentrip.example",
            root_key=server.root_key,
            network=Network.sample(),
            clock=clock,
            transport=server.transport,
            dice=lambda: 0.0,
        )
        opened.append(green)
        if enrolled:
            green.request_code("13800000000")
            green.enrol(server.code, {"sync": "1"})
        return Recording(green, Background(ui.calls.put), **options)

    yield open_it
    for green in opened:
        with suppress(Closed):
            green.close(timeout=0)


@pytest.fixture
def app(open_app: OpenApp) -> Recording:
    return open_app()


def commute(app: Recording, clock: FakeClock) -> None:
    """The published commute: walk, three metro lines, walk."""
    app.choose(Mode.WALK)
    assert app.start(HOME), app.error
    clock.tick(8 * 60)
    assert app.switch(Mode.RAIL, "虎坊桥"), app.error
    clock.tick(70 * 60)
    assert app.switch(Mode.WALK, "东夏园", "双井、呼家楼"), app.error
    clock.tick(9 * 60)
    assert app.finish(WORK), app.error


# Before a trip


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("mode", Mode)
def test_it_says_what_each_mode_needs_before_the_start(open_app: OpenApp, mode: Mode, lang: str):
    app = open_app(lang=lang)
    app.choose(mode)
    assert needs(mode, lang) in app.needs
    assert [choice.mode for choice in app.modes if choice.chosen] == [mode]
    assert len(app.modes) == 5


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("虎坊桥", Station("虎坊桥")),
        ("  虎坊桥 ", Station("虎坊桥")),
        ("39.9,116.4", Point(39.9, 116.4)),
        (" 39.9，116.4 ", Point(39.9, 116.4)),
        ("1,2,3", Station("1,2,3")),
        ("39.9,", Station("39.9,")),
    ],
)
def test_a_place_is_a_point_or_a_station(typed: str, place: Point | Station):
    assert read_place(typed) == place


@pytest.mark.parametrize("typed", ["", "  ", "91,116", "39.9,181", "nan,116", "inf,1"])
def test_what_is_no_place_is_refused(typed: str):
    with pytest.raises(InvalidInput):
        read_place(typed)


@pytest.mark.parametrize(
    ("typed", "changes"),
    [
        ("", None),
        (" ， ", None),
        ("双井", ("双井",)),
        ("双井、呼家楼", ("双井", "呼家楼")),
        ("a, b；c", ("a", "b", "c")),
    ],
)
def test_changes_stand_between_commas(typed: str, changes: tuple[str, ...] | None):
    assert read_changes(typed) == changes


def test_an_unknown_station_is_a_sentence_in_both_languages_and_starts_nothing(app: Recording):
    assert not app.start("虎坊")
    assert app.phase is Phase.READY
    assert "did you mean 虎坊桥" in app.error
    app.switch_language()
    assert "您是否要找：虎坊桥" in app.error
    assert app.start("虎坊桥")
    assert app.error == ""


# On the way


def test_a_station_pair_from_start_to_result(app: Recording, clock: FakeClock):
    assert app.trips == ()
    assert app.start("虎坊桥")
    assert app.phase is Phase.RUNNING
    assert app.headline == "Rail, since 08:00"
    assert app.takes_changes
    clock.tick(70 * 60)
    assert app.finish("东夏园", "双井、呼家楼"), app.error
    assert app.phase is Phase.READY
    assert app.result is not None
    assert app.result.title == "虎坊桥 → 东夏园"
    assert app.result.grams == "2,517 g"
    assert app.result.state == "waits to be sent"
    assert app.result.lines == ("Rail 35.0 km: counts",)
    assert app.queue == "1 recorded, 1 waiting to be sent"


def test_the_commute_of_several_legs_says_why_each_counts_or_not(app: Recording, clock: FakeClock):
    commute(app, clock)
    assert app.result is not None
    assert app.result.grams == "2,517 g"
    assert ["no track was recorded" in line for line in app.result.lines] == [True, False, True]
    app.switch_language()
    assert app.result.grams == "2,517 克"
    assert app.result.state == "待上传"
    assert "没有轨迹记录" in app.result.lines[0]


def test_the_legs_are_counted_on_the_way(app: Recording, clock: FakeClock):
    app.choose("walk")
    app.start(HOME)
    clock.tick(480)
    assert not app.takes_changes
    app.switch("rail", "虎坊桥")
    assert app.headline == "Rail, since 08:00; part 2 of the trip"


def test_the_result_leaves_when_the_next_trip_starts(app: Recording, clock: FakeClock):
    commute(app, clock)
    app.start("虎坊桥")
    assert app.result is None
    assert len(app.trips) == 1


@pytest.mark.parametrize("place", ["", "没有这站"])
def test_a_finish_that_is_refused_keeps_the_trip(app: Recording, place: str):
    app.start("虎坊桥")
    assert not app.finish(place)
    assert app.error
    assert app.phase is Phase.RUNNING


def test_cancelling_takes_two_taps(app: Recording):
    app.start("虎坊桥")
    app.ask_cancel()
    assert app.cancel_asked
    app.keep()
    assert (app.cancel_asked, app.phase) == (False, Phase.RUNNING)
    app.ask_cancel()
    assert app.cancel()
    assert (app.cancel_asked, app.phase, app.trips) == (False, Phase.READY, ())


def test_a_button_at_the_wrong_moment_is_a_sentence(app: Recording):
    assert not app.finish("虎坊桥")
    assert "no trip is running" in app.error
    app.start("虎坊桥")
    assert not app.start("虎坊桥")
    assert "a trip is running" in app.error


def test_a_trip_outside_the_provinces_stays_and_says_so(app: Recording, clock: FakeClock):
    app.choose("bus")
    app.start("31.23,121.47")
    clock.tick(1800)
    assert app.finish("31.30,121.50"), app.error
    assert app.result is not None
    assert app.result.state == "on this phone only"
    assert "kept on this phone" in app.result.lines[-1]
    assert app.queue == "1 recorded, 0 waiting to be sent"


# A doubt


@pytest.fixture
def asked(open_app: OpenApp, clock: FakeClock) -> Recording:
    """A drive that was recorded as a walk."""
    record(open_app(enrolled=True)._green, fixes_until(clock.now(), Mode.CARPOOL), Mode.WALK)
    return open_app(lang="zh")


def test_a_doubt_is_put_to_the_person_with_answers_to_press(asked: Recording):
    assert asked.question is not None
    assert asked.question.text.startswith("本段记录为步行")
    assert asked.question.answers[0] == ("walk", "步行")
    assert ("car", "小汽车或出租车") in asked.question.answers
    assert asked.trips[0].state == "待您回答"


@pytest.mark.parametrize(("answer", "states"), [("car", ["已由您撤回"]), ("walk", ["待上传"])])
def test_an_answer_ends_the_question(asked: Recording, answer: str, states: list[str]):
    assert asked.question is not None
    assert asked.answer(asked.question.trip, answer)
    assert asked.question is None
    assert [trip.state for trip in asked.trips] == states


def test_a_corrected_trip_takes_the_place_of_the_old_one(asked: Recording):
    assert asked.question is not None
    assert asked.answer(asked.question.trip, "bus")
    assert sorted(trip.state for trip in asked.trips) == ["已由您撤回", "待上传"]
    assert asked.trips[0].lines != asked.trips[1].lines


def test_an_answer_given_twice_is_a_sentence(asked: Recording):
    assert asked.question is not None
    trip = asked.question.trip
    assert asked.answer(trip, "walk")
    assert not asked.answer(trip, "walk")
    assert "没有待回答的问题" in asked.error


# After an interruption


@pytest.mark.parametrize("way", ["resume", "finish", "cancel"])
def test_an_interrupted_trip_is_offered(open_app: OpenApp, clock: FakeClock, way: str):
    open_app().start("虎坊桥")
    clock.tick(1800)
    app = open_app()
    assert app.phase is Phase.INTERRUPTED
    assert "Rail, since 08:00; last seen at 08:00" in app.headline
    if way == "resume":
        assert app.resume()
        assert app.phase is Phase.RUNNING
    elif way == "finish":
        assert app.finish("东夏园")
        (trip,) = app.trips
        assert "probably missed 30 minutes: the system stopped the service at 08:00, it went on at 08:30" in trip.lines
    else:
        assert app.cancel()
        assert app.trips == ()


# Sending


def test_sync_works_off_the_ui_thread_and_comes_back_to_it(open_app: OpenApp, clock: FakeClock, ui: UiThread):
    app = open_app(enrolled=True)
    commute(app, clock)
    changes: list[str] = []
    app.on_change = lambda: changes.append(app.sync_message)
    app.sync()
    assert app.syncing
    assert not app.can_sync
    app.sync()  # a second tap does nothing
    ui.run_next()
    assert changes == ["Sending ...", "1 settled: everything that was due is sent."]
    assert app.trips[0].state == "counted"
    assert app.queue == "1 recorded, 0 waiting to be sent"
    assert app.can_sync
    app.switch_language()
    assert app.sync_message == "已处理 1 条：待上传的记录均已上传。"
    assert ui.calls.empty()


def test_what_the_server_says_is_shown(open_app: OpenApp, clock: FakeClock, server: FakeServer, ui: UiThread):
    app = open_app(enrolled=True)
    commute(app, clock)
    rule = {"rule": "speed", "severity": "hold", "en": "too fast", "zh": "太快"}
    server.plan(server.results("held", official_mg=1_499, rules=[rule]))
    app.sync()
    ui.run_next()
    assert app.trips[0].state == "held for a check"
    assert app.trips[0].lines[-1] == "too fast"
    assert app.trips[0].grams == "1 g"


def test_a_phone_without_an_account_is_told_so(app: Recording, clock: FakeClock, ui: UiThread):
    commute(app, clock)
    app.sync()
    ui.run_next()
    assert "no account yet" in app.sync_message
    assert app.queue == "1 recorded, 1 waiting to be sent"


def test_a_server_that_is_away_loses_nothing(open_app: OpenApp, clock: FakeClock, server: FakeServer, ui: UiThread):
    app = open_app(enrolled=True)
    commute(app, clock)

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    server.plan(*[away] * 500)  # it tries again until its time is up
    app.sync()
    ui.run_next()
    assert "did not answer" in app.sync_message
    assert app.trips[0].state == "waits to be sent"


def test_without_a_server_nothing_is_sent(open_app: OpenApp, server: FakeServer, ui: UiThread):
    app = open_app(has_server=False)
    assert not app.can_sync
    app.sync()
    assert not app.syncing
    assert server.requests == []


def test_a_closed_sdk_is_a_sentence(open_app: OpenApp, ui: UiThread):
    app = open_app()
    app._green.close(timeout=0)
    app.sync()
    ui.run_next()
    assert "was closed" in app.error
    assert not app.syncing


def test_an_account_that_could_not_be_made_is_told_at_once(open_app: OpenApp):
    app = open_app(error=Unreachable("refused"))
    assert "cannot be reached" in app.error
    assert app.start("虎坊桥")


# The thread


def test_a_fault_of_the_program_surfaces_on_the_ui_thread(ui: UiThread):
    background = Background(ui.calls.put)
    background.run(lambda: 1 // 0, lambda _: None, lambda _: None)
    with pytest.raises(ZeroDivisionError):
        ui.run_next()


def test_a_closed_background_hands_nothing_back(ui: UiThread):
    background = Background(ui.calls.put)
    heard: list[int] = []
    background.run(lambda: 1, heard.append, lambda _: None)
    late = ui.calls.get(timeout=10)
    background.close()
    late()
    background.run(lambda: 2, heard.append, lambda _: None)
    background.close(timeout_s=10)
    assert heard == []
    assert ui.calls.empty()


# Texts, fonts, arguments


def test_every_text_that_is_asked_for_exists():
    known = catalogue("en").keys()
    asked = set(re.findall(r"app\.tr\['(\w+)'\]", (FOLDER / "app.kv").read_text()))
    for file in ("app.py", "recording.py"):
        asked |= set(re.findall(r"(?:\.text\(|\.tr\[)\"(\w+)\"", (FOLDER / file).read_text()))
    asked |= set(re.findall(r"\"(note_\w+)\"", "".join(file.read_text() for file in FOLDER.glob("*.py"))))
    asked |= {f"mode_{mode}" for mode in Mode} | {f"state_{state}" for state in State}
    asked |= {f"answer_{answer}" for answer in Answer}
    assert asked == known


def test_both_languages_hold_the_same_values():
    def names(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}

    for key, text in catalogue("en").items():
        # That no Chinese font was found is told in English only: Chinese could not be read.
        assert names(text) == names(catalogue("zh")[key]), key
        assert text.strip(), key


def test_the_window_holds_no_text_of_its_own():
    literals = re.findall(r"(?:text|hint_text): *'([^']+)'", (FOLDER / "app.kv").read_text())
    assert literals == []


def test_a_font_counts_only_if_it_has_chinese(tmp_path: Path):
    font = tmp_path / "font.ttf"
    assert find_cjk_font(lambda: f"{font}|en|zh-cn", ()) is None, "no such file"
    font.touch()
    assert find_cjk_font(lambda: f"{font}|en|zh-cn", ()) == font
    assert find_cjk_font(lambda: f"{font}|en|zh-tw", ()) is None
    assert find_cjk_font(lambda: "", (str(font),)) == font


@pytest.mark.parametrize("alone", [["--server", "https://a"], ["--root-key", "k"]])
def test_a_server_needs_its_key(alone: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        read_arguments(alone)
    assert ended.value.code == 2
    assert "belong together" in capsys.readouterr().err
