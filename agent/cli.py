"""The operator's commands. No logic: each asks the layers below and prints the answer."""

import getpass
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from msgspec import to_builtins
from tabulate import tabulate

from agent import __version__, app, operations
from agent.adapters.clock import SystemClock
from agent.adapters.console import ConsoleReporter, as_json, as_object, in_words, local_time
from agent.core.events import Enrolled
from agent.core.policy import parse_schedule
from agent.core.types import SubjectId, Terms, Validity
from agent.demonstration.story import play
from agent.doctor import examine
from agent.errors import DoorwardError, StoreError

BAD_INPUT = 2
UNFORESEEN = 70

_F = TypeVar("_F", bound=Callable[..., None])


def _operator() -> str:
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
    help=f"Configuration file; without it {app.SYSTEM_CONFIG}, if there is one.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Open an apartment door by face, with nothing anywhere that can leak."""
    logging.basicConfig(format="doorward: %(message)s")
    # Read when a command runs, so that a mistake in the file keeps nobody from --help.
    ctx.obj = config


def _command(example: str) -> Callable[[_F], click.Command]:
    def decorate(function: _F) -> click.Command:
        with_json = click.option("--json", is_flag=True, help="Print JSON, for programs.")(function)
        name = function.__name__.rstrip("_")
        return main.command(name, epilog=f"Example: {example}")(with_json)

    return decorate


@_command("doorward run --simulate --camera frames:pictures")
@click.option("--camera", default="picamera2", help="picamera2, frames:DIR or video:FILE.")
@click.option("--simulate", is_flag=True, help="Drive a simulated door instead of the GPIO lines.")
@click.pass_obj
def run(config: Path | None, *, camera: str, simulate: bool, json: bool) -> None:
    """Run the agent until it is stopped, or a replayed camera has come to its end."""
    console = ConsoleReporter(click.echo, as_json=json)
    settings = app.load_config(config)
    with app.agent(settings, camera, [console], simulate=simulate) as runtime:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: runtime.stop())
        runtime.run()


@_command("doorward enrol --label 'Flat 12, Ada' --household 12")
@click.option("--label", default="", help="Who it is; stays in the database, never on MQTT.")
@click.option("--household", help="Residents of one household are not told apart at all cost.")
@click.option("--administrator", is_flag=True, help="May authorise enrolments at the door.")
@click.option("--not-before", type=click.DateTime(), help="Admit from this local time on.")
@click.option("--not-after", type=click.DateTime(), help="Admit until this local time.")
@click.option("--schedule", default="", help="Admit then only, like 'mon-fri 08:00-18:00'.")
@click.option("--authorised-by", default=_operator, help="For the consent record.")
@click.option("--camera", help="Enrol here and now: picamera2, frames:DIR or video:FILE.")
@click.pass_obj
def enrol(  # noqa: PLR0913 - one parameter an option
    config: Path | None,
    *,
    label: str,
    household: str | None,
    administrator: bool,
    not_before: datetime | None,
    not_after: datetime | None,
    schedule: str,
    authorised_by: str,
    camera: str | None,
    json: bool,
) -> None:
    """Give out a one-time code for the enrol button or MQTT, and wait for the enrolment."""
    try:
        spans = parse_schedule(schedule)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--schedule") from None
    validity = Validity(_epoch(not_before), _epoch(not_after), spans)
    terms = Terms(label, household, administrator, validity)
    console = ConsoleReporter(click.echo, as_json=json)
    settings = app.load_config(config)
    enrolled = False
    if camera is not None:
        here = operations.enrol_here(settings, camera, authorised_by, terms, [console])
        enrolled = isinstance(here, Enrolled)
    else:
        rules = settings.enrolment
        if not app.agent_is_running(settings):
            raise StoreError("no agent is running: start it, or enrol here and now with --camera")
        with app.opened_store(settings) as store:
            issued = operations.issue_code(store, SystemClock(), authorised_by, terms)
            told = f"Hold the enrol button within {rules.authority_seconds:.0f} s"
            click.echo(
                as_json({"code": issued.code})
                if json
                else f"{told}, or send the code {issued.code} by MQTT (docs/mqtt.md)."
            )
            patience = rules.authority_seconds + rules.seconds
            for recorded in operations.follow_enrolment(store, issued, patience):
                console.publish(recorded)
                enrolled = isinstance(recorded.event, Enrolled)
    if not enrolled:
        sys.exit(1)


@_command("doorward list")
@click.pass_obj
def list_(config: Path | None, *, json: bool) -> None:
    """List the residents."""
    with app.opened_store(app.load_config(config)) as store:
        subjects = store.subjects()
    if json:
        click.echo(as_json(subjects))
        return
    rows = [
        [
            row.id,
            row.label,
            row.household or "",
            "administrator" if row.administrator else "",
            "revoked" if row.revoked else "admitted",
            _bounds(row.not_before, row.not_after),
            row.schedule or "always",
            row.references,
            local_time(row.enrolled_at),
        ]
        for row in subjects
    ]
    titles = ["subject", "label", "household", "role", "state", "valid", "hours", "references"]
    _table([*titles, "enrolled"], rows, "Nobody is enrolled: `doorward enrol` begins.")


@_command("doorward revoke s-0123456789abcdef")
@click.argument("subject")
@click.pass_obj
def revoke(config: Path | None, *, subject: str, json: bool) -> None:
    """Stop admitting a resident, at once; the references are kept."""
    with app.opened_store(app.load_config(config)) as store:
        recorded = operations.revoke(store, SystemClock(), SubjectId(subject))
    click.echo(as_json(as_object(recorded)) if json else in_words(recorded.event))


@_command("doorward erase s-0123456789abcdef")
@click.argument("subject")
@click.pass_obj
def erase(config: Path | None, *, subject: str, json: bool) -> None:
    """Forget a resident: references, label and consent record."""
    with app.opened_store(app.load_config(config)) as store:
        recorded = operations.erase(store, SystemClock(), SubjectId(subject))
    click.echo(as_json(as_object(recorded)) if json else in_words(recorded.event))


@_command("doorward status --json")
@click.pass_obj
def status(config: Path | None, *, json: bool) -> None:
    """Say how the door is doing, and how sure it is."""
    state = operations.status(app.load_config(config))
    if json:
        last = as_object(state.last_event) if state.last_event else None
        click.echo(as_json(to_builtins(state) | {"sureness": state.sureness, "last_event": last}))
        return
    rows = [
        ["door", state.door],
        ["agent", "running" if state.running else "not running"],
        ["residents", f"{state.residents} admitted, {state.revoked} revoked"],
        ["sureness", state.sureness],
        ["outbox", f"{state.waiting} events that no collector has acknowledged"],
    ]
    if state.last_event is not None:
        when = local_time(state.last_event.now.wall)
        rows.append(["last event", f"{when}  {in_words(state.last_event.event)}"])
    click.echo(tabulate(rows, tablefmt="plain"))


@_command("doorward events --limit 50")
@click.option("--limit", default=20, type=click.IntRange(1, 100_000), help="How many at the most.")
@click.pass_obj
def events(config: Path | None, *, limit: int, json: bool) -> None:
    """Print the newest events, oldest of them first."""
    with app.opened_store(app.load_config(config)) as store:
        found = store.last_events(limit)
    if json:
        for recorded in found:
            click.echo(as_json(as_object(recorded)))
        return
    rows = [[e.seq, local_time(e.now.wall), in_words(e.event)] for e in found]
    _table(["seq", "time", "event"], rows, "Nothing has happened yet.")


@_command("doorward demo")
def demo(*, json: bool) -> None:
    """Play the main job on a simulated door: enrol, enter, refuse a stranger, erase."""
    if not play(click.echo, json=json):
        sys.exit(1)


@_command("doorward doctor --json")
@click.option("--simulate", is_flag=True, help="Leave out the camera and the GPIO lines.")
@click.pass_obj
def doctor(config: Path | None, *, simulate: bool, json: bool) -> None:
    """Check what the door needs, and say how to mend what is wrong. Exits with 1 if it is."""
    checks = []
    for check in examine(config, simulate=simulate):
        checks.append(check)
        if not json:
            click.echo(f"{check.part:8} {'ok   ' if check.good else 'WRONG'}  {check.finding}")
    if json:
        click.echo(as_json(checks))
    if not all(check.good or not check.needed for check in checks):
        sys.exit(1)


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    click.echo(tabulate(rows, titles, tablefmt="simple") if rows else nothing)


def _epoch(local: datetime | None) -> float | None:
    try:
        return None if local is None else local.astimezone().timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{local} is out of range") from None


def _bounds(not_before: float | None, not_after: float | None) -> str:
    since = "" if not_before is None else f"from {local_time(not_before)}"
    until = "" if not_after is None else f"until {local_time(not_after)}"
    return f"{since} {until}".strip() or "always"


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"doorward: {' '.join(message.split())}", err=True)
    sys.exit(code)
