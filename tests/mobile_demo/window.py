"""A window without a screen, driven by touches: `python window.py STEP FOLDER`; prints JSON. Started by test_window.py.

STEP is one of: offline (a trip from start to finish), begin (start one and die), resume (finish that one), embedded (a
trip, sent to a server on this machine), asked (a drive that was recorded as a walk, and the answer).
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ["SDL_VIDEODRIVER"] = "offscreen"
STEP, FOLDER = sys.argv[1], Path(sys.argv[2])
if STEP != "embedded":
    sys.modules["greentrip_server"] = None  # type: ignore[assignment]  # as if it were not installed

from greentrip_demo.launch import prepare_kivy  # noqa: E402

prepare_kivy()

from kivy.core.window import Window  # noqa: E402
from kivy.tests.common import UnitTestTouch  # noqa: E402

from greentrip import Mode  # noqa: E402
from greentrip_demo.app import DemoApp  # noqa: E402
from greentrip_demo.connection import Connector  # noqa: E402
from greentrip_demo.fonts import find_cjk_font  # noqa: E402
from greentrip_demo.recording import Recording  # noqa: E402
from support.recorded import fixes_until, record  # noqa: E402

TIMEOUT_S = 20.0


class Driver:
    """Finds widgets, touches them, and waits for what comes of it."""

    def __init__(self) -> None:
        self.connector = Connector(FOLDER)
        self.app = DemoApp(self.connector, lang="en", font=find_cjk_font())
        self.facts: dict[str, Any] = {}

    async def until(self, holds: Callable[[], object]) -> None:
        give_up = time.monotonic() + TIMEOUT_S
        while not holds():
            assert time.monotonic() < give_up, "it never came to that"
            await asyncio.sleep(0.02)

    def find(self, name: str) -> Any:
        """A widget by its id, in the card of the trip or on the screen."""
        for root in (*self.app.root.ids.trip.children, self.app.root):
            if name in root.ids:
                return root.ids[name].__self__
        raise LookupError(name)

    async def touch(self, widget: Any) -> None:
        scroll = self.app.root.ids.scroll
        if any(parent is scroll for parent in widget.walk_reverse()):
            scroll.scroll_to(widget, animate=False)
        await self.at_rest(widget)
        released: list[bool] = []
        widget.bind(on_release=lambda _: released.append(True))
        touch = UnitTestTouch(*widget.to_window(*widget.center))
        touch.touch_down()
        # In a ScrollView a press is not a press until it is clear that nobody scrolls.
        await self.until(lambda: widget.state == "down")
        touch.touch_up()
        await self.until(lambda: released)

    async def at_rest(self, widget: Any) -> None:
        """Until the layout leaves the widget where it is, on the screen, for some frames."""
        seen: list[tuple[float, float]] = []

        def rests() -> bool:
            seen.append(widget.to_window(*widget.center))
            return len(seen) > 5 and len(set(seen[-5:])) == 1 and 0 < seen[-1][1] < Window.height

        await self.until(rests)

    async def phase(self, name: str) -> None:
        await self.until(lambda: self.app.recording is not None and self.app.recording.phase == name)

    async def run(self) -> None:
        await self.phase("interrupted" if STEP == "resume" else "ready")
        recording = self.app.recording
        assert recording is not None
        if STEP == "asked":
            await self.asked(recording)
            return
        self.facts["needs"] = recording.needs
        if STEP == "resume":
            await self.touch(self.find("resume"))
        else:
            self.find("place").text = "虎坊"
            await self.touch(self.find("start"))
            await self.until(lambda: self.app.root.ids.errors.children)
            self.facts["error"] = self.app.root.ids.errors.children[0].text
            self.find("place").text = "虎坊桥"
            await self.touch(self.find("start"))
        await self.phase("running")
        if STEP == "begin":
            print(json.dumps(self.facts), flush=True)
            os._exit(9)
        self.find("place").text = "东夏园"
        self.find("changes").text = "双井、呼家楼"
        walk = next(w for w in self.find("finish").parent.walk() if getattr(w, "mode", "") == "walk")
        await self.touch(walk)
        await self.until(lambda: self.find("place").text == "")
        self.find("place").text = "39.9060, 116.7000"
        await self.touch(self.find("finish"))
        await self.phase("ready")
        await self.until(lambda: self.app.root.ids.result.children)
        self.facts["result"] = self.app.root.ids.result.children[0].grams
        if STEP == "embedded":
            self.facts["server_pid"] = self.connector.server_pid
            await self.touch(self.find("sync"))
            await self.until(lambda: not recording.syncing)
        self.facts["trips"] = [[trip.state, *trip.lines] for trip in recording.trips]
        self.facts["notes"] = [label.text for label in self.app.root.ids.notes.children]
        self.facts["can_sync"] = not self.find("sync").disabled
        self.app.root.ids.scroll.scroll_y = 1
        await asyncio.sleep(0.1)
        self.facts["screenshot"] = Window.screenshot(name=str(FOLDER / "screen.png"))

    async def asked(self, recording: Recording) -> None:
        record(recording._green, fixes_until(time.time(), Mode.CARPOOL), Mode.WALK)
        recording._look()
        question = self.app.root.ids.question
        await self.until(lambda: question.children)
        self.facts["question"] = [child.text for child in reversed(question.children)]
        self.app.root.ids.scroll.scroll_y = 1
        await asyncio.sleep(0.1)
        self.facts["screenshot"] = Window.screenshot(name=str(FOLDER / "screen.png"))
        await self.touch(next(child for child in question.children if getattr(child, "answer", "") == "car"))
        await self.until(lambda: not question.children)
        self.facts["trips"] = [[trip.state, *trip.lines] for trip in recording.trips]


async def main() -> None:
    driver = Driver()

    async def drive() -> None:
        try:
            await driver.run()
        finally:
            driver.app.stop()

    driving = asyncio.create_task(drive())
    try:
        await driver.app.async_run(async_lib="asyncio")
        await driving
    finally:
        driving.cancel()
        driver.connector.close()
    print(json.dumps(driver.facts))


with suppress(KeyboardInterrupt):
    asyncio.run(main())
