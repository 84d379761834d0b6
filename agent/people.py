"""The commands about who opens the door without a face: residents, PINs, cards, visitors."""

import sys
from datetime import datetime
from pathlib import Path

import click

from agent import credentials, installation
from agent.adapters.clock import SystemClock
from agent.adapters.console import as_json, local_time
from agent.command import (
    accessible_option,
    administrator_option,
    command,
    epoch,
    household_option,
    main,
    not_after_option,
    not_before_option,
    say,
    schedule_option,
    table,
    validity,
)
from agent.core.credentials import VisitorId
from agent.core.types import SubjectId, Terms

_MOMENT = click.DateTime(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"])


@command("doorward add --label 'Flat 12, Bob' --schedule 'mon-fri 08:00-18:00'")
@click.option("--label", default="", help="Who it is; stays in the database, never on MQTT.")
@household_option
@administrator_option
@not_before_option
@not_after_option
@schedule_option
@accessible_option
@click.pass_obj
def add(  # noqa: PLR0913 - one parameter an option
    config: Path | None,
    *,
    label: str,
    household: str | None,
    administrator: bool,
    not_before: datetime | None,
    not_after: datetime | None,
    schedule: str,
    accessible: bool,
    json: bool,
) -> None:
    """Enrol a resident without a face, and print the subject: a PIN or a card opens instead."""
    admitted = validity(not_before, not_after, schedule)
    terms = Terms(label, household, administrator, admitted, accessible=accessible)
    with installation.opened_store(installation.load_config(config)) as store:
        subject = credentials.add_resident(store, SystemClock(), terms)
    click.echo(as_json({"subject": subject}) if json else subject)


@main.group()
def pin() -> None:
    """Set the PINs of residents, and remove them."""


@command("doorward pin set s-0123456789abcdef", pin)
@click.argument("subject")
@click.option("--duress", is_flag=True, help="The PIN that opens, and raises a silent alarm.")
@click.option("--choose", is_flag=True, help="Type it, twice, in place of one that is made.")
@click.pass_obj
def pin_set(config: Path | None, *, subject: str, duress: bool, choose: bool, json: bool) -> None:
    """Give a resident a new PIN, and print it this once; no file has it."""
    settings, whose = installation.load_config(config), SubjectId(subject)
    with installation.opened_store(settings) as store:
        # Nobody is asked for the PIN of a subject that there is not.
        store.resident(whose)
        chosen = credentials.new_pin() if not choose else _asked("PIN", again="The same PIN again")
        digest = installation.code_digest(settings).pin
        credentials.set_pin(store, SystemClock(), digest, whose, chosen, duress=duress)
    kind = "PIN for duress" if duress else "PIN"
    if json:
        click.echo(as_json({"subject": subject} if choose else {"subject": subject, "pin": chosen}))
    elif choose:
        click.echo(f"the {kind} of {subject} is set")
    else:
        click.echo(f"the {kind} of {subject}, shown this once:", err=True)
        click.echo(chosen)


@command("doorward pin remove s-0123456789abcdef", pin)
@click.argument("subject")
@click.option("--duress", is_flag=True, help="Only the PIN for duress; else that one as well.")
@click.pass_obj
def pin_remove(config: Path | None, *, subject: str, duress: bool, json: bool) -> None:
    """Have the PIN of a resident open no more."""
    with installation.opened_store(installation.load_config(config)) as store:
        removed = credentials.remove_pin(store, SystemClock(), SubjectId(subject), duress=duress)
    say(removed, json=json)


@main.group()
def card() -> None:
    """Give residents cards, and take them back."""


@command("doorward card add s-0123456789abcdef", card)
@click.argument("subject")
@click.option("--number", help="As the reader types it; else you are asked, and a reader may type.")
@click.pass_obj
def card_add(config: Path | None, *, subject: str, number: str | None, json: bool) -> None:
    """Have one more card open for a resident; only a digest of its number is kept."""
    settings, whose = installation.load_config(config), SubjectId(subject)
    with installation.opened_store(settings) as store:
        store.resident(whose)
        read = (
            _asked("Hold the card to the reader, or type its number") if number is None else number
        )
        digest = installation.code_digest(settings).card
        added = credentials.add_card(store, SystemClock(), digest, whose, read)
    say(added, json=json)


@command("doorward card remove s-0123456789abcdef", card)
@click.argument("subject")
@click.pass_obj
def card_remove(config: Path | None, *, subject: str, json: bool) -> None:
    """Have no card of a resident open any more."""
    with installation.opened_store(installation.load_config(config)) as store:
        removed = credentials.remove_cards(store, SystemClock(), SubjectId(subject))
    say(removed, json=json)


@main.group()
def visitor() -> None:
    """Make codes that open the door once, list them, and take them back."""


@command("doorward visitor add --label 'Plumber' --until '2026-11-23 18:00'", visitor)
@click.option("--label", default="", help="Who comes; stays in the database, never on MQTT.")
@click.option("--from", "since", type=_MOMENT, help="Local time; without it from now on.")
@click.option("--until", required=True, type=_MOMENT, help="Local time.")
@click.pass_obj
def visitor_add(
    config: Path | None, *, label: str, since: datetime | None, until: datetime, json: bool
) -> None:
    """Make a code for the keypad that opens the door once, and print it this once."""
    settings = installation.load_config(config)
    begins, ends = None if since is None else epoch(since), epoch(until)
    with installation.opened_store(settings) as store:
        digest = installation.code_digest(settings).pin
        made = credentials.invite(store, SystemClock(), digest, label, begins, ends)
    if json:
        click.echo(as_json(made))
        return
    bounds = f"from {local_time(made.not_before)} until {local_time(made.not_after)}"
    click.echo(f"the code of {made.visitor}, good once {bounds}, shown this once:", err=True)
    click.echo(made.code)


@command("doorward visitor list", visitor)
@click.pass_obj
def visitor_list(config: Path | None, *, json: bool) -> None:
    """List the visitors whose codes were not used."""
    with installation.opened_store(installation.load_config(config)) as store:
        visitors = store.visitors()
    if json:
        click.echo(as_json(visitors))
        return
    rows = [
        [each.id, each.label, local_time(each.not_before), local_time(each.not_after)]
        for each in visitors
    ]
    nobody = "No visitor is expected: `doorward visitor add` makes a code."
    table(["visitor", "label", "from", "until"], rows, nobody)


@command("doorward visitor remove v-0123456789abcdef", visitor)
@click.argument("visitor_id")
@click.pass_obj
def visitor_remove(config: Path | None, *, visitor_id: str, json: bool) -> None:
    """Take a visitor's code back, at once."""
    with installation.opened_store(installation.load_config(config)) as store:
        gone = credentials.forget_visitor(store, SystemClock(), VisitorId(visitor_id))
    say(gone, json=json)


def _asked(what: str, again: str | None = None) -> str:
    """Ask for what nobody is to see; twice where that is wanted."""
    hidden = sys.stdin.isatty()
    # Not on standard output, which is for programs.
    return str(click.prompt(what, hide_input=hidden, confirmation_prompt=again or False, err=True))
