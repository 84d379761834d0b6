"""The commands that order a door: each is signed, sent, and its answer told."""

import sys
from collections.abc import Iterator
from datetime import datetime

import click
import msgspec
from msgspec import to_builtins

from agent.adapters.console import as_json, in_words
from agent.command import (
    administrator_option,
    command,
    household_option,
    not_after_option,
    not_before_option,
    schedule_option,
    table,
    validity,
)
from agent.core.events import Enrolled, EnrolmentFailed, ErasureCertified
from agent.core.orders import Operation
from agent.core.types import SubjectId, Terms
from agent.errors import DeviceError
from agent.remote.client import UPDATE, Caller
from agent.remote.group import Setting, about, at_door, await_event, calling, remote, reply_json
from agent.remote.keys import make_key
from agent.remote.words import moment, named, printable
from agent.wire.events import event_kind
from agent.wire.states import Entry

ENROLMENT = 180.0
"""Seconds after which an enrolment that the door tells nothing of is given up."""
ERASURE = 60.0
"""Seconds that a door is given to certify an erasure."""


@command("doorward remote key office", remote)
@click.argument("name")
@click.pass_obj
def remote_key(setting: Setting, *, name: str, json: bool) -> None:
    """Make this computer's key, and print what doors are to be told of it."""
    made = make_key(setting.key, name)
    if json:
        found = {"file": str(made.path), "controller": made.id, "verifier": str(made.verifier)}
        click.echo(as_json(found))
        return
    click.echo(f"{made.path} is made, for you alone. On each door that is to obey it, type this,")
    click.echo("or for less than all of it, as `doorward controller add --help` has it:")
    click.echo(made.to_trust)


@command("doorward remote unlock front", remote)
@at_door
@click.pass_obj
def remote_unlock(setting: Setting, *, door: str, json: bool) -> None:
    """Release a door as long as a recognised face does."""
    _simply(setting, door, Operation.UNLOCK, "is released", json=json)


@command("doorward remote lock front", remote)
@at_door
@click.pass_obj
def remote_lock(setting: Setting, *, door: str, json: bool) -> None:
    """Lock a door before its release ends by itself."""
    _simply(setting, door, Operation.LOCK, "is locked", json=json)


@command("doorward remote identify front", remote)
@at_door
@click.pass_obj
def remote_identify(setting: Setting, *, door: str, json: bool) -> None:
    """Have a door blink and beep, to see which one it is."""
    _simply(setting, door, Operation.IDENTIFY, "blinks and beeps", json=json)


@command("doorward remote ping front", remote)
@at_door
@click.pass_obj
def remote_ping(setting: Setting, *, door: str, json: bool) -> None:
    """Say whether a door obeys this computer, and how fast it answers."""
    with calling(setting, door, json=json) as caller:
        reply = caller.order(Operation.PING)
    milliseconds = caller.took * 1000
    told = reply_json(door, reply, milliseconds=milliseconds)
    click.echo(told if json else f"{door} answers in {milliseconds:.0f} ms")


@command("doorward remote enrol front --label 'Flat 12, Ada'", remote)
@at_door
@click.option("--label", default="", help="Who it is; stays on this computer.")
@household_option
@administrator_option
@not_before_option
@not_after_option
@schedule_option
@click.option("--cancel", is_flag=True, help="Stop the enrolment under way.")
@click.pass_obj
def remote_enrol(  # noqa: PLR0913 - one parameter an option
    setting: Setting,
    *,
    door: str,
    label: str,
    household: str | None,
    administrator: bool,
    not_before: datetime | None,
    not_after: datetime | None,
    schedule: str,
    cancel: bool,
    json: bool,
) -> None:
    """Enrol whoever stands at the door, and say how it ended. Exits with 1 if it failed."""
    admitted = validity(not_before, not_after, schedule)
    if cancel:
        _simply(setting, door, Operation.ENROL, "enrols nobody now", json=json)
        return
    labels = setting.labels
    with calling(setting, door, json=json) as caller:
        terms = Terms("", household, administrator, admitted)
        subject = caller.order(Operation.ENROL, terms=terms).subject
        if subject is None:
            raise DeviceError(f"{door}: does not say whom it enrols: {UPDATE}")
        if label:
            labels.keep(door, subject, label)
        click.echo(f"{door} enrols {subject}: look at its camera now", err=True)
        ended = await_event(caller, (Enrolled, EnrolmentFailed), subject, ENROLMENT)
    text = printable(named(in_words(ended), labels.of(door)))
    click.echo(as_json({"event": event_kind(ended)} | to_builtins(ended)) if json else text)
    if isinstance(ended, EnrolmentFailed):
        labels.forget(door, subject)
        sys.exit(1)


@command("doorward remote revoke front s-0123456789abcdef", remote)
@at_door
@about
@click.pass_obj
def remote_revoke(setting: Setting, *, door: str, subject: SubjectId, json: bool) -> None:
    """Stop admitting a resident, at once; the references are kept."""
    _simply(setting, door, Operation.REVOKE, f"admits {subject} no more", subject, json=json)


@command("doorward remote erase front s-0123456789abcdef > certificate.txt", remote)
@at_door
@about
@click.pass_obj
def remote_erase(setting: Setting, *, door: str, subject: SubjectId, json: bool) -> None:
    """Forget a resident, and print the signed certificate of it (`doorward verify`)."""
    with calling(setting, door, json=json) as caller:
        reply = caller.order(Operation.ERASE, subject)
        certified = await_event(caller, (ErasureCertified,), subject, ERASURE)
    certificate = certified.certificate if isinstance(certified, ErasureCertified) else ""
    setting.labels.forget(door, subject)
    if json:
        click.echo(reply_json(door, reply, certificate=certificate))
    else:
        click.echo("\n".join(map(printable, certificate.split("\n"))), nl=False)


@command("doorward remote policy front s-0123456789abcdef --schedule 'sat 09:00-12:00'", remote)
@at_door
@about
@not_before_option
@not_after_option
@schedule_option
@click.pass_obj
def remote_policy(  # noqa: PLR0913 - one parameter an option
    setting: Setting,
    *,
    door: str,
    subject: SubjectId,
    not_before: datetime | None,
    not_after: datetime | None,
    schedule: str,
    json: bool,
) -> None:
    """Set when a resident may enter, in place of all that was set; without options, always."""
    admitted = validity(not_before, not_after, schedule)
    with calling(setting, door, json=json) as caller:
        reply = caller.order(Operation.POLICY, subject, validity=admitted)
    text = f"{door} admits {subject} as was said, and at no other time"
    click.echo(reply_json(door, reply) if json else text)


@command("doorward remote list front", remote)
@at_door
@click.pass_obj
def remote_list(setting: Setting, *, door: str, json: bool) -> None:
    """List a door's residents, with the labels that this computer has for them."""
    with calling(setting, door, json=json) as caller:
        residents = list(_residents(caller))
    labels = setting.labels.of(door)
    if json:
        told = [to_builtins(each) | {"label": labels.get(each.subject)} for each in residents]
        click.echo(as_json(told))
        return
    titles = ["subject", "label", "role", "state", "from", "until", "hours", "references"]
    rows = [
        [
            printable(each.subject),
            labels.get(each.subject, ""),
            "administrator" if each.administrator else "minor" if each.minor else "",
            "revoked" if each.revoked else each.suspended or "admitted",
            moment(each.not_before),
            moment(each.not_after),
            printable(each.schedule) or "always",
            each.references,
        ]
        for each in residents
    ]
    table(titles, rows, f"Nobody is enrolled at {door}: `doorward remote enrol {door}` begins.")


@command("doorward remote export front s-0123456789abcdef > ada.json", remote)
@at_door
@about
@click.pass_obj
def remote_export(setting: Setting, *, door: str, subject: SubjectId, json: bool) -> None:
    """Print what a door holds on a resident, but for the name, templates and events, as JSON."""
    with calling(setting, door, json=json) as caller:
        held = caller.order(Operation.EXPORT, subject).held
    if held is None:
        raise DeviceError(f"{door}: does not say what it holds: {UPDATE}")
    told = as_json(to_builtins(held) | {"label": setting.labels.of(door).get(subject)})
    click.echo(told if json else msgspec.json.format(told))


def _simply(  # noqa: PLR0913 - what is ordered, and what is said of it
    setting: Setting,
    door: str,
    operation: Operation,
    done: str,
    subject: SubjectId | None = None,
    *,
    json: bool,
) -> None:
    with calling(setting, door, json=json) as caller:
        reply = caller.order(operation, subject)
    click.echo(reply_json(door, reply) if json else f"{door} {done}")


def _residents(caller: Caller) -> Iterator[Entry]:
    after: SubjectId | None = None
    while True:
        page = caller.order(Operation.LIST, after)
        yield from page.residents or ()
        last = page.residents[-1].subject if page.residents else ""
        # A page that leads nowhere, or back, must not have this go on for ever.
        if not (page.more and last > (after or "")):
            return
        after = SubjectId(last)
