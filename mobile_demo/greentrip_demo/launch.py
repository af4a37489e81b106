"""The command line of the app: what `python mobile_demo/main.py` does."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from greentrip_demo.connection import Connector
from greentrip_demo.fonts import find_cjk_font
from greentrip_demo.texts import LANGUAGES

WINDOW_WIDTH, WINDOW_HEIGHT = 412, 846
FOLDER = Path("greentrip-data") / "app"


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Ends the process with status 2 and a sentence when they make no sense."""
    parser = argparse.ArgumentParser(prog="greentrip-demo", description="The greentrip demonstration app, in a window.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where trips are kept (default: {FOLDER})")
    parser.add_argument("--server", metavar="URL", help="a server; without it, one is started on this machine")
    parser.add_argument("--root-key", metavar="KEY", help="that server's root key: greentrip-server keys show")
    parser.add_argument("--lang", choices=LANGUAGES, default="zh", help="the language to begin with (default: zh)")
    read = parser.parse_args(arguments)
    if (read.server is None) != (read.root_key is None):
        parser.error("--server and --root-key belong together")
    return read


def prepare_kivy() -> None:
    """Before Kivy is imported: its own command line, settings file and log would get in the way."""
    for name in ("KIVY_NO_ARGS", "KIVY_NO_CONFIG", "KIVY_NO_FILELOG"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    from kivy.config import Config

    Config.set("graphics", "width", WINDOW_WIDTH)
    Config.set("graphics", "height", WINDOW_HEIGHT)
    # Among its warnings is a traceback for every touch library that a desktop does not have.
    Config.set("kivy", "log_level", "error")
    # Without this a right click leaves a red dot: Kivy's pretended second finger.
    Config.set("input", "mouse", "mouse,disable_multitouch")


def main(arguments: Sequence[str] | None = None) -> None:
    """Open the window, and clean up when it closes."""
    read = read_arguments(arguments)
    prepare_kivy()
    # A plain SIGTERM would leave the server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    connector = Connector(read.folder, read.server, read.root_key)
    try:
        from greentrip_demo.app import DemoApp

        DemoApp(connector, lang=read.lang, font=find_cjk_font()).run()
    finally:
        connector.close()
