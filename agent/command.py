"""What all commands have in common: the group, its errors, JSON, tables."""

import getpass
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from tabulate import tabulate

from agent import __version__, installation
from agent.adapters.console import as_json, as_object, in_words
from agent.core.policy import parse_schedule
from agent.core.types import Validity
from agent.errors import ConfigError, DoorwardError
from agent.ports import Recorded

BAD_INPUT = 2
UNFORESEEN = 70

_F = TypeVar("_F", bound=Callable[..., None])


def operator() -> str:
    """Name whoever types, for the consent record: under sudo the one who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class Commands(click.Group):
    """The commands, with errors turned into one line: no traceback reaches an operator."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run a command. Exits with 2 where it cannot do its work, 70 for what nobody foresaw."""
        try:
            return super().invoke(ctx)
        except DoorwardError as error:
            _fail(str(error), BAD_INPUT)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - the last stop before an operator's eyes
            _fail(f"unforeseen {type(error).__name__}: {error}: please report it", UNFORESEEN)


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="doorward")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="DOORWARD_CONFIG",
    help=f"Configuration file; without it {installation.SYSTEM_CONFIG}, if there is one.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Open an apartment door by face, with nothing anywhere that can leak."""
    logging.basicConfig(format="doorward: %(message)s")
    # Read when a command runs, so that a mistake in the file keeps nobody from --help.
    ctx.obj = config


household_option = click.option(
    "--household", help="Residents of one household are not told apart at all cost."
)
administrator_option = click.option(
    "--administrator", is_flag=True, help="May authorise enrolments at the door."
)
accessible_option = click.option(
    "--accessible", is_flag=True, help="Needs more time: the door stays released longer."
)
_BOUND = click.DateTime()
not_before_option = click.option("--not-before", type=_BOUND, help="Admit from this local time.")
not_after_option = click.option("--not-after", type=_BOUND, help="Admit until this local time.")
schedule_option = click.option("--schedule", default="", help="Like 'mon-fri 08:00-18:00'.")


def validity(not_before: datetime | None, not_after: datetime | None, schedule: str) -> Validity:
    """Give what these three options say. Raises ConfigError."""
    try:
        spans = parse_schedule(schedule)
    except ValueError as error:
        raise ConfigError(f"--schedule: {error}") from None
    since, until = (None if each is None else epoch(each) for each in (not_before, not_after))
    if since is not None and until is not None and not since < until:
        raise ConfigError("--not-after: is not after --not-before: give a later time")
    return Validity(since, until, spans)


def epoch(local: datetime) -> float:
    """Give a local time as seconds since the Unix epoch. Raises ConfigError."""
    try:
        return local.astimezone().timestamp()
    except (ValueError, OverflowError):
        raise ConfigError(f"{local}: is out of range: give a date from 1970 to 9999") from None


with_json = click.option("--json", is_flag=True, help="Print JSON, for programs.")


def command(example: str, group: click.Group = main) -> Callable[[_F], click.Command]:
    """Make a function a command of a group, with an example and --json."""

    def decorate(function: _F) -> click.Command:
        name = function.__name__.rstrip("_").rpartition("_")[2]
        return group.command(name, epilog=f"Example: {example}")(with_json(function))

    return decorate


def say(recorded: Recorded, *, json: bool) -> None:
    """Print what a command had recorded."""
    click.echo(as_json(as_object(recorded)) if json else in_words(recorded.event))


def table(titles: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """Print a table, or where it has no rows, what that means."""
    click.echo(tabulate(rows, titles, tablefmt="simple") if rows else nothing)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"doorward: {' '.join(message.split())}", err=True)
    sys.exit(code)
