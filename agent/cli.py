"""The operator's commands. No logic: each asks the layers below and prints the answer."""

import signal
import sys
from datetime import datetime
from pathlib import Path

import click
from msgspec import to_builtins
from tabulate import tabulate

from agent import (
    app,
    certificates,
    controllers,
    installation,
    liveness,
    operations,
    people,
    records,
    settings,
)
from agent.adapters.clock import SystemClock
from agent.adapters.console import ConsoleReporter, as_json, as_object, in_words, local_time
from agent.command import (
    accessible_option,
    administrator_option,
    command,
    household_option,
    main,
    not_after_option,
    not_before_option,
    operator,
    say,
    schedule_option,
    table,
    validity,
)
from agent.config import Config
from agent.core.events import Enrolled
from agent.core.types import SubjectId, Terms
from agent.demonstration.story import play
from agent.doctor import examine, remove_discovery as forget_in_home_assistant
from agent.errors import StoreError
from agent.evaluation import commands as evaluation
from agent.remote import commands, listening

__all__ = [
    "certificates",
    "commands",
    "controllers",
    "evaluation",
    "listening",
    "liveness",
    "main",
    "people",
    "records",
    "settings",
]


@command("doorward run --simulate --camera frames:pictures")
@click.option("--camera", help="picamera2, usb, usb:DEVICE, frames:DIR or video:FILE.")
@click.option("--simulate", is_flag=True, help="Drive a simulated door instead of the GPIO lines.")
@click.pass_obj
def run(config: Path | None, *, camera: str | None, simulate: bool, json: bool) -> None:
    """Run the agent until it is stopped, or a replayed camera has come to its end.

    Without --camera it is the one that the configuration names.
    """
    console = ConsoleReporter(click.echo, as_json=json)
    settings = installation.load_config(config)
    source = camera or settings.camera.source
    with app.agent(settings, source, [console], simulate=simulate) as runtime:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: runtime.stop())
        runtime.run()


@command("doorward lock")
@click.pass_obj
def lock(config: Path | None, *, json: bool) -> None:
    """Put the relay's line to rest, after an agent that was killed and could not."""
    line = app.lock_release(config)
    told = f"The relay's line {line} is at rest: the door is locked."
    click.echo(as_json({"line": line, "locked": True}) if json else told)


@command("doorward enrol --label 'Flat 12, Ada' --household 12")
@click.option("--label", default="", help="Who it is; stays in the database, never on MQTT.")
@household_option
@administrator_option
@not_before_option
@not_after_option
@schedule_option
@accessible_option
@click.option("--minor", is_flag=True, help="A child: a guardian must consent.")
@click.option("--guardian", help="Who consents for a minor.")
@click.option("--authorised-by", default=operator, help="For the consent receipt.")
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
    accessible: bool,
    minor: bool,
    guardian: str | None,
    authorised_by: str,
    camera: str | None,
    json: bool,
) -> None:
    """Authorise one enrolment by the enrol button, and wait for it."""
    admitted = validity(not_before, not_after, schedule)
    try:
        terms = Terms(label, household, administrator, admitted, minor, guardian, accessible)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--guardian") from None
    console = ConsoleReporter(click.echo, as_json=json)
    settings = installation.load_config(config)
    enrolled = False
    if camera is not None:
        here = operations.enrol_here(settings, camera, authorised_by, terms, [console])
        enrolled = isinstance(here, Enrolled)
    else:
        rules = settings.enrolment
        if not installation.agent_is_running(settings):
            raise StoreError("no agent is running: start it, or enrol here and now with --camera")
        with installation.opened_store(settings) as store:
            issued = operations.issue_code(store, SystemClock(), authorised_by, terms)
            within = rules.authority_seconds
            told = f"Hold the enrol button within {within:.0f} s."
            click.echo(as_json({"hold_button_within": within}) if json else told)
            patience = rules.authority_seconds + rules.seconds
            for recorded in operations.follow_enrolment(store, issued, patience):
                console.publish(recorded)
                enrolled = isinstance(recorded.event, Enrolled)
    if not enrolled:
        sys.exit(1)


@command("doorward list")
@click.pass_obj
def list_(config: Path | None, *, json: bool) -> None:
    """List the residents."""
    with installation.opened_store(installation.load_config(config)) as store:
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
            "revoked" if row.revoked else row.suspended or "admitted",
            _bounds(row.not_before, row.not_after),
            row.schedule or "always",
            row.references,
            "yes" if row.pin else "",
            row.cards,
            "yes" if row.accessible else "",
            local_time(row.enrolled_at),
        ]
        for row in subjects
    ]
    titles = ["subject", "label", "household", "role", "state", "valid", "hours", "references"]
    titles += ["PIN", "cards", "accessible", "enrolled"]
    table(titles, rows, "Nobody is enrolled: `doorward enrol` begins.")


@command("doorward revoke s-0123456789abcdef")
@click.argument("subject")
@click.pass_obj
def revoke(config: Path | None, *, subject: str, json: bool) -> None:
    """Stop admitting a resident, at once; the references are kept."""
    with installation.opened_store(installation.load_config(config)) as store:
        recorded = operations.revoke(store, SystemClock(), SubjectId(subject))
    say(recorded, json=json)


@command("doorward status --json")
@click.pass_obj
def status(config: Path | None, *, json: bool) -> None:
    """Say how the door is doing, and how sure it is."""
    state = operations.status(installation.load_config(config))
    if json:
        last = as_object(state.last_event) if state.last_event else None
        words = {"attacks": state.attacks}
        click.echo(as_json(to_builtins(state) | words | {"last_event": last}))
        return
    residents = [f"{state.residents} admitted", f"{state.revoked} revoked"]
    if state.suspended:
        residents.append(f"{state.suspended} without a consent that counts")
    rows = [
        ["door", state.door],
        ["agent", "running" if state.running else "not running"],
        ["residents", ", ".join(residents)],
        ["sureness", state.sureness],
        ["attacks", state.attacks],
        ["signs as", state.verifier],
        ["outbox", f"{state.waiting} events that no collector has acknowledged"],
    ]
    if state.last_event is not None:
        when = local_time(state.last_event.now.wall)
        rows.append(["last event", f"{when}  {in_words(state.last_event.event)}"])
    click.echo(tabulate(rows, tablefmt="plain"))


@command("doorward demo")
def demo(*, json: bool) -> None:
    """Play the main job on a simulated door: enrol, enter, refuse a stranger, erase."""
    if not play(click.echo, json=json):
        sys.exit(1)


@command("doorward doctor --json")
@click.option("--simulate", is_flag=True, help="Leave out the camera and the GPIO lines.")
@click.option("--remove-discovery", is_flag=True, help="Have Home Assistant forget the door.")
@click.pass_obj
def doctor(config: Path | None, *, simulate: bool, remove_discovery: bool, json: bool) -> None:
    """Check what the door needs, and say how to mend what is wrong. Exits with 1 if it is."""
    if remove_discovery:
        _remove_discovery(installation.load_config(config), json=json)
        return
    checks = []
    for check in examine(config, simulate=simulate):
        checks.append(check)
        if not json:
            verdict = "ok" if check.good else "WRONG" if check.needed else "warn"
            means = "" if check.good else f" ({check.means})"
            click.echo(f"{check.part:12} {verdict:6} {check.finding}{means}")
    if json:
        click.echo(as_json(checks))
    if not all(check.good or not check.needed for check in checks):
        sys.exit(1)


def _remove_discovery(config: Config, *, json: bool) -> None:
    emptied = forget_in_home_assistant(config)
    click.echo(as_json({"emptied": emptied}) if json else "Home Assistant forgets the door.")
    if config.mqtt.discovery != "off":
        again = "the door announces itself again when it connects, or Home Assistant starts"
        mend = 'set [mqtt] discovery = "off"'
        click.echo(f"doorward: mqtt.discovery: {again}: {mend}", err=True)


def _bounds(not_before: float | None, not_after: float | None) -> str:
    since = "" if not_before is None else f"from {local_time(not_before)}"
    until = "" if not_after is None else f"until {local_time(not_after)}"
    return f"{since} {until}".strip() or "always"
