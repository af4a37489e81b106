"""The command line of the demonstration."""

from __future__ import annotations

from pathlib import Path

import click

from greentrip.trip import Mode


@click.command("demo")
@click.option("--track", type=click.Path(path_type=Path), help="Your own track (GPX, JSON lines or .plt) to replay.")
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), help="Its mode, where the file names none.")
@click.option("--move-to", metavar="LAT,LON", help="Let the track begin here; its metres are kept.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language (default: by locale).")
@click.option("--keep", is_flag=True, help="Keep the server running at the end, until Ctrl-C.")
@click.option("--json", "json_out", is_flag=True, help="Print one JSON object instead of the story.")
def demo_command(
    track: Path | None, mode: str | None, move_to: str | None, lang: str | None, keep: bool, json_out: bool
) -> None:
    """Record a commute offline, kill the phone, sync, and see the official credits. Takes a few seconds."""
    from greentrip.terminal import language
    from greentrip_server.demo.story import Wishes, tell

    tell(Wishes(track, Mode(mode) if mode else None, move_to, lang or language(), keep, json_out))
