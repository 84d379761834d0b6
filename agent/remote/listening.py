"""The commands that listen to a door: events as they come, and all of them into a file."""

import threading
from pathlib import Path

import click
import msgspec
from msgspec import to_builtins

from agent.adapters.console import as_json
from agent.command import command
from agent.errors import ConfigError
from agent.remote.archive import Archive
from agent.remote.collector import Collector, News
from agent.remote.group import Setting, at_door, remote, until_stopped
from agent.remote.keys import Labels
from agent.remote.line import Line, Message, stay
from agent.remote.words import event_line, printable
from agent.wire.events import read_envelope
from agent.wire.topics import Topics

YEAR = 365 * 86_400.0
"""Seconds to listen for, at most."""


def _duration(
    _ctx: click.Context, _parameter: click.Parameter, given: float | None
) -> float | None:
    # Written so that what is no number is refused too; no timer takes more than some centuries.
    if given is not None and not 0 < given <= YEAR:
        raise ConfigError(f"--seconds {given}: is out of range: give more than 0, up to {YEAR:.0f}")
    return given


@command("doorward remote events front --follow", remote)
@at_door
@click.option("--follow", is_flag=True, help="Go on until stopped.")
@click.option("--seconds", type=float, callback=_duration, help="Or for so long.")
@click.pass_obj
def remote_events(
    setting: Setting, *, door: str, follow: bool, seconds: float | None, json: bool
) -> None:
    """Print a door's events as they happen; `collect` is for those that must not be missed."""
    if follow == (seconds is not None):
        raise ConfigError("events: say either --follow or --seconds, as what was is not sent again")
    access, labels, topic = setting.access, setting.labels, Topics(door).event

    def changed(lost: str | None) -> None:
        text = f"listening to {door}" if lost is None else f"{lost}; trying again"
        click.echo(f"doorward: {text}", err=True)

    with until_stopped() as stop:
        if seconds is not None:
            timer = threading.Timer(seconds, stop.set)
            timer.daemon = True
            timer.start()

        def serve(line: Line) -> None:
            while not stop.is_set():
                for message in line.receive(0.5):
                    # No door retains one: it would be told as news to whoever listens next.
                    if not message.retained:
                        _show(message, door, labels, json=json)

        stay(lambda: Line(access, [topic]), serve, changed, stop)


@command("doorward remote collect front --to front.sqlite", remote)
@at_door
@click.option("--to", "file", required=True, type=click.Path(path_type=Path), help="SQLite file.")
@click.pass_obj
def remote_collect(setting: Setting, *, door: str, file: Path, json: bool) -> None:
    """Store all events of a door, and have it send again what is missing, until stopped."""
    access, archive = setting.access, Archive(file, door)

    def tell(news: News) -> None:
        text = f"doorward: {door}: {printable(news.text)}"
        click.echo(as_json(to_builtins(news) | {"door": door}) if json else text)

    try:
        with until_stopped() as stop:
            Collector(archive, door, tell).run(access, stop)
    finally:
        archive.close()


def _show(message: Message, door: str, labels: Labels, *, json: bool) -> None:
    try:
        event = read_envelope(message.payload)
        body = msgspec.json.decode(event.event)
    except (ValueError, RecursionError) as error:
        click.echo(f"doorward: {door}: what came is no event: {printable(str(error))}", err=True)
        return
    text = bytes(event.event).decode()
    known = {subject: label for subject, label in labels.of(door).items() if subject in text}
    if json:
        told = {field: getattr(event, field) for field in event.__struct_fields__}
        click.echo(as_json(told | {"event": body, "labels": known}))
    else:
        click.echo(event_line(event, known))
    # Only whom the event is about: what else is in its text may be anybody's.
    subject = body.get("subject") if event.kind == "erased" and isinstance(body, dict) else None
    if isinstance(subject, str) and subject in known:
        labels.forget(door, subject)
