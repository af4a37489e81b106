"""The window: KV in `app.kv`, filled from the view model `Recording`. Nothing is decided here."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from kivy.app import App
from kivy.clock import Clock
from kivy.core.text import LabelBase
from kivy.factory import Factory
from kivy.lang import Builder
from kivy.properties import BooleanProperty, DictProperty, ObjectProperty, StringProperty

from greentrip import GreenTripError
from greentrip_demo.background import Background
from greentrip_demo.connection import Connection, Connector
from greentrip_demo.recording import Recording
from greentrip_demo.texts import catalogue, other
from greentrip_demo.theme import LIGHT

TRIPS_SHOWN_MAX = 10
"""Each row takes Kivy about 10 ms to make, and a new language makes all of them anew."""
Widgets = list[tuple[str, dict[str, str]]]
"""Names of the KV file's classes, and the values that each gets."""
KV_FILE = Path(__file__).with_name("app.kv")


class DemoApp(App):
    """One window with one screen. The SDK is opened behind the first frame, since a server may have to start."""

    tr = DictProperty(catalogue("en"))
    theme = ObjectProperty(LIGHT)
    two_languages = BooleanProperty(True)
    needs = StringProperty()
    headline = StringProperty()
    queue = StringProperty()
    sync_message = StringProperty()
    can_sync = BooleanProperty(False)

    def __init__(self, connector: Connector, *, lang: str, font: Path | None) -> None:
        super().__init__()
        self.recording: Recording | None = None
        self._connector = connector
        self._background = Background(lambda call: Clock.schedule_once(lambda _: call()))
        self._connection: Connection | None = None
        self._refused: GreenTripError | None = None
        self._shown: dict[str, Widgets] = {}
        self._lang = lang
        self._font = font

    def build(self) -> Any:  # noqa: ANN401 - Kivy has no types
        """The widgets of the KV file, in a font that can show both languages if there is one."""
        self.two_languages = self._font is not None
        if self._font is None:
            self._lang = "en"
        else:
            # Kivy's own texts ask for Roboto by name.
            bold = self._font.with_name(self._font.name.replace("Regular", "Bold"))
            LabelBase.register("Roboto", str(self._font), fn_bold=str(bold) if bold.is_file() else None)
        return Builder.load_file(str(KV_FILE))

    def on_start(self) -> None:
        self._background.run(self._connector.open, self._connected, self._not_connected)
        self.refresh()

    def on_stop(self) -> None:
        self._background.close()
        self._connector.close()

    def switch_language(self) -> None:
        """The other language, at once and in the middle of anything."""
        if self.recording is None:
            self._lang = other(self._lang)
            self.refresh()
        else:
            self.recording.switch_language()

    def go_on(self, mode: str, *fields: Any) -> None:  # noqa: ANN401 - Kivy has no types
        """Switch to a mode at the place in the first field; the fields are then empty for the next leg."""
        if self.recording is not None and self.recording.switch(mode, *(field.text for field in fields)):
            for field in fields:
                field.text = ""

    def refresh(self) -> None:
        """Show what the view model says now."""
        recording = self.recording
        if recording is not None:
            self._lang = recording.lang
            self.needs, self.headline, self.queue = recording.needs, recording.headline, recording.queue
            self.sync_message, self.can_sync = recording.sync_message, recording.can_sync
        if self.tr["other_language"] != catalogue(self._lang)["other_language"]:
            self.tr = catalogue(self._lang)
        self._show_messages()
        if recording is not None:
            self._show_question(recording)
            self._show_trip(recording)
            self._show_trips(recording)

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        self.recording = Recording(
            connection.green,
            self._background,
            lang=self._lang,
            has_server=connection.has_server,
            error=connection.error,
        )
        self.recording.on_change = self.refresh
        self.refresh()
        # What is loaded by now stays. Looking through it again and again took most of the time of making a row.
        gc.freeze()

    def _not_connected(self, error: GreenTripError) -> None:
        self._refused = error
        self.refresh()

    def _show_messages(self) -> None:
        notes = [] if self.two_languages else [self.tr["note_no_font"]]
        if self._connection is not None:
            notes.insert(0, self.tr[self._connection.note].format_map(self._connection.values))
        elif self._refused is None:
            notes.insert(0, self.tr["connecting"])
        self._put("notes", [("Faint", {"text": note}) for note in notes])
        error = self._refused.message(self._lang) if self._refused else ""
        if self.recording is not None:
            error = self.recording.error
        self._put("errors", [("ErrorCard", {"text": error})] if error else [])

    def _show_trip(self, recording: Recording) -> None:
        result = recording.result
        values = {"grams": result.grams, "title": result.title, "lines": "\n".join(result.lines)} if result else {}
        self._put("result", [("ResultCard", values)] if result else [])
        # A new card only for a new phase: what was typed stays.
        trip: Widgets = [(f"{recording.phase.capitalize()}Card", {})]
        if self._shown.get("trip") != trip:
            self._put("trip", trip)
            self.root.ids.scroll.scroll_y = 1
        card = self.root.ids.trip.children[0]
        names = {choice.mode: choice for choice in recording.modes}
        for button in (widget for widget in card.walk() if isinstance(widget, Factory.ModeButton)):
            button.text, button.chosen = names[button.mode].name, names[button.mode].chosen
        if recording.phase != "ready":
            card.takes_changes = recording.takes_changes
            card.cancel_asked = recording.cancel_asked

    def _show_question(self, recording: Recording) -> None:
        asked = recording.question
        if asked is None:
            self._put("question", [])
            return
        buttons: Widgets = [
            ("AnswerButton", {"trip": asked.trip, "answer": answer, "text": name}) for answer, name in asked.answers
        ]
        self._put("question", [("Heading", {"text": asked.title}), ("Words", {"text": asked.text}), *buttons])

    def _show_trips(self, recording: Recording) -> None:
        trips = recording.trips
        rows: Widgets = [
            (
                "TripRow",
                {
                    "title": trip.title,
                    "facts": f"{trip.when}  ·  {trip.state}",
                    "grams": trip.grams,
                    "lines": "\n".join(trip.lines),
                },
            )
            for trip in trips[:TRIPS_SHOWN_MAX]
        ]
        if not trips:
            rows = [("Faint", {"text": self.tr["no_trips"]})]
        if len(trips) > TRIPS_SHOWN_MAX:
            text = self.tr["older_trips"].format(count=len(trips) - TRIPS_SHOWN_MAX)
            rows.append(("Faint", {"text": text}))
        self._put("trips", rows)

    def _put(self, slot: str, widgets: Widgets) -> None:
        """Fill a box with these widgets. Those that it holds already stay, since making one takes milliseconds."""
        before = self._shown.get(slot, [])
        if before == widgets:
            return
        self._shown[slot] = widgets
        box = self.root.ids[slot]
        # Kivy keeps the last child first.
        held = list(zip(before, reversed(box.children), strict=True))
        box.clear_widgets()
        for wanted in widgets:
            found = next((pair for pair in held if pair[0] == wanted), None)
            if found is not None:
                held.remove(found)
            box.add_widget(found[1] if found is not None else _make(*wanted))


def _make(name: str, values: dict[str, str]) -> Any:  # noqa: ANN401 - Kivy has no types
    widget = Factory.get(name)()
    # Not in the constructor: what KV declares exists only after it.
    for key, value in values.items():
        setattr(widget, key, value)
    return widget
