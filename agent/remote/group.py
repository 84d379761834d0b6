"""What the commands of an administrator's computer have in common, and the group they are in."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch

import click
import msgspec

from agent import installation
from agent.adapters.broker import Access, read_access
from agent.adapters.console import as_json
from agent.command import main
from agent.config import NAME
from agent.core.events import Event
from agent.core.types import SubjectId
from agent.errors import ConfigError, DeviceError
from agent.remote.client import Caller, RefusedError
from agent.remote.keys import Labels, read_key
from agent.remote.line import Line
from agent.remote.words import refusal
from agent.wire.commands import SUBJECT
from agent.wire.events import decode_body
from agent.wire.states import Reply


@dataclass(frozen=True, slots=True)
class Setting:
    """What the commands of this group share: the configuration, and the file of the key."""

    config: Path | None
    key: Path

    @property
    def access(self) -> Access:
        """The broker. Raises ConfigError."""
        return read_access(installation.load_config(self.config).mqtt)

    @property
    def labels(self) -> Labels:
        """Who is who."""
        return Labels(self.key)


@main.group()
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    default=lambda: Path.home() / ".config" / "doorward" / "controller.key",
    help="This computer's controller key; without it ~/.config/doorward/controller.key.",
)
@click.pass_context
def remote(ctx: click.Context, key: Path) -> None:
    """Command doors over MQTT from an administrator's computer, and collect their events."""
    ctx.obj = Setting(ctx.obj, key)


def _door_name(_ctx: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not fullmatch(NAME, name):
        raise ConfigError(f"{name!r}: is no door: give the [door] name of its configuration")
    return name


def _subject_id(_ctx: click.Context, _parameter: click.Parameter, subject: str) -> SubjectId:
    if not fullmatch(SUBJECT, subject):
        mend = "`doorward remote list` shows who is enrolled"
        raise ConfigError(f"{subject!r}: is no subject: {mend}")
    return SubjectId(subject)


at_door = click.argument("door", callback=_door_name)
about = click.argument("subject", callback=_subject_id)


@contextmanager
def calling(setting: Setting, door: str, *, json: bool) -> Iterator[Caller]:
    """Connect, to command a door. Where it refuses, that is said, and the program exits with 1."""
    identity = read_key(setting.key)
    try:
        with Line(setting.access, Caller.topics_of(door)) as line:
            yield Caller(line, door, identity)
    except RefusedError as error:
        if json:
            click.echo(reply_json(door, error.reply))
        click.echo(f"doorward: {refusal(door, error.reply.reason)}", err=True)
        sys.exit(1)


def reply_json(door: str, reply: Reply, **more: object) -> str:
    """Give a door's answer as a line for programs."""
    told: dict[str, object] = msgspec.to_builtins(reply)
    return as_json({"door": door} | told | more)


def await_event(
    caller: Caller, kinds: tuple[type[Event], ...], subject: str, seconds: float
) -> Event:
    """Wait for an event about a subject. Raises DeviceError where none comes in time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and (found := caller.event(left)) is not None:
        try:
            event = decode_body(found.kind, bytes(found.event))
        except ValueError:
            # Of a newer door, or not even a door's.
            continue
        if isinstance(event, kinds) and getattr(event, "subject", None) == subject:
            return event
    raise DeviceError(
        f"{caller.door}: took the command, but says nothing of how it ended within {seconds:.0f} s:"
        f" `doorward remote list {caller.door}` shows who is enrolled"
    )


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """Give what a signal to end sets, so that what runs can be ended in order."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
