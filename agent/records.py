"""The commands about what is kept: consents, erasure, the log, backups, and proofs of them."""

import sys
from pathlib import Path

import click
import msgspec
from tabulate import tabulate

from agent import installation, operations
from agent.adapters.clock import SystemClock
from agent.adapters.console import as_json, as_object, in_words, local_time
from agent.adapters.log import Head
from agent.audit import audit_gallery as examine_gallery
from agent.command import (
    command,
    main,
    operator,
    say,
    table,
    with_json,
)
from agent.config import Config
from agent.core.types import SubjectId
from agent.errors import StoreError


@command("doorward erase s-0123456789abcdef > certificate.txt")
@click.argument("subject")
@click.pass_obj
def erase(config: Path | None, *, subject: str, json: bool) -> None:
    """Forget a resident, and print the signed certificate of it."""
    with installation.opened_store(installation.load_config(config)) as store:
        certificate = operations.erase(store, SystemClock(), SubjectId(subject))
    click.echo(f"{subject} is erased; backups made before that open no more", err=True)
    shown = as_json({"subject": subject, "certificate": certificate})
    click.echo(shown if json else certificate, nl=json)


@command("doorward export s-0123456789abcdef > ada.json")
@click.argument("subject")
@click.pass_obj
def export(config: Path | None, *, subject: str, json: bool) -> None:
    """Print all that is held on a resident, for that resident, as JSON."""
    with installation.opened_store(installation.load_config(config)) as store:
        held = operations.export(store, SubjectId(subject))
    click.echo(as_json(held) if json else msgspec.json.format(as_json(held)))


@main.group()
def consent() -> None:
    """Look at consents, withdraw and renew them."""


@command("doorward consent show s-0123456789abcdef", consent)
@click.argument("subject")
@click.pass_obj
def consent_show(config: Path | None, *, subject: str, json: bool) -> None:
    """Say what a resident consented to, whether it counts, and how to leave by MQTT."""
    settings = installation.load_config(config)
    with installation.opened_store(settings) as store:
        known = store.resident(SubjectId(subject)).subject
    if json:
        click.echo(
            as_json(
                {
                    "consent": known.consent,
                    "suspended": known.suspended,
                    "leave_code": known.leave_code,
                }
            )
        )
        return
    given = known.consent
    if given is None:
        click.echo(f"{subject} has no consent, and is not matched: `doorward consent renew`.")
        return
    rows = [
        ["subject", subject],
        ["counts", "yes" if known.suspended is None else f"no: {known.suspended}"],
        ["notice", f"{given.notice.version} (SHA-256 {given.notice.sha256 or 'not recorded'})"],
        ["purpose", given.purpose],
        ["authorised by", given.authorised_by],
        ["guardian", given.guardian or ""],
        ["given", local_time(given.at)],
        ["expires", "never" if given.expires is None else local_time(given.expires)],
        ["leave code", f"{known.leave_code}  (for cmd/leave: docs/mqtt.md)"],
    ]
    click.echo(tabulate(rows, tablefmt="plain"))


@command("doorward consent export s-0123456789abcdef > receipt.txt", consent)
@click.argument("subject")
@click.pass_obj
def consent_export(config: Path | None, *, subject: str, json: bool) -> None:
    """Print the signed consent receipt, which `doorward verify` checks anywhere."""
    with installation.opened_store(installation.load_config(config)) as store:
        receipt = store.resident(SubjectId(subject)).receipt
    if receipt is None:
        raise StoreError(f"{subject} has no consent receipt: `doorward consent renew` makes one")
    click.echo(as_json({"subject": subject, "receipt": receipt}) if json else receipt, nl=json)


@command("doorward consent withdraw s-0123456789abcdef", consent)
@click.argument("subject")
@click.pass_obj
def consent_withdraw(config: Path | None, *, subject: str, json: bool) -> None:
    """Stop comparing a resident's face, at once; the references are kept until erased."""
    with installation.opened_store(installation.load_config(config)) as store:
        recorded = operations.withdraw_consent(store, SystemClock(), SubjectId(subject))
    say(recorded, json=json)


@command("doorward consent renew s-0123456789abcdef --guardian 'Ada'", consent)
@click.argument("subject")
@click.option("--guardian", help="Who consents for a minor.")
@click.option("--authorised-by", default=operator, help="For the consent receipt.")
@click.pass_obj
def consent_renew(
    config: Path | None, *, subject: str, guardian: str | None, authorised_by: str, json: bool
) -> None:
    """Record that a resident consented to the privacy notice in force."""
    settings = installation.load_config(config)
    with installation.opened_store(settings) as store:
        recorded = operations.renew_consent(
            settings, store, SubjectId(subject), authorised_by, guardian
        )
    say(recorded, json=json)


@command("doorward verify certificate.txt --key doorward/6fe2ab954802703c+0fb7c65a+AS2mkQ...")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", help="Verifier key of the device (`doorward status`); else this one's own.")
@click.pass_obj
def verify(config: Path | None, *, file: Path, key: str | None, json: bool) -> None:
    """Check a certificate, a consent receipt or a head of the log; no database is needed."""
    settings = installation.load_config(config) if key is None else Config()
    try:
        checked = installation.check_document(settings, _text(file), key)
    except ValueError as error:
        raise StoreError(f"{file}: {error}") from None
    if json:
        click.echo(as_json({"signed_by": checked.signer} | checked.facts))
        return
    click.echo(f"Signed by {checked.signer}, and not altered.")
    click.echo(tabulate(list(checked.facts.items()), tablefmt="plain"))


@command("doorward backup")
@click.pass_obj
def backup(config: Path | None, *, json: bool) -> None:
    """Copy the database; the copy opens on this device until the next erasure."""
    made = installation.make_backup(installation.load_config(config))
    click.echo(as_json({"backup": str(made)}) if json else str(made))


@command("doorward restore doorward-00000123.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--older", is_flag=True, help="Also where the device has gone on since the backup.")
@click.pass_obj
def restore(config: Path | None, *, file: Path, older: bool, json: bool) -> None:
    """Put a backup in the place of the database, which is set aside."""
    recorded = installation.restore_backup(installation.load_config(config), file, older=older)
    say(recorded, json=json)


@main.group(invoke_without_command=True, epilog="Example: doorward events --limit 50")
@click.option("--limit", default=20, type=click.IntRange(1, 100_000), help="How many at the most.")
@with_json
@click.pass_context
def events(ctx: click.Context, *, limit: int, json: bool) -> None:
    """Print the newest events, oldest of them first."""
    if ctx.invoked_subcommand is not None:
        return
    with installation.opened_store(installation.load_config(ctx.obj)) as store:
        found = store.last_events(limit)
    if json:
        for recorded in found:
            click.echo(as_json(as_object(recorded)))
        return
    rows = [[e.seq, local_time(e.now.wall), in_words(e.event)] for e in found]
    table(["seq", "time", "event"], rows, "Nothing has happened yet.")


@command("doorward events verify --head head.txt", events)
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A signed head kept elsewhere, as published on MQTT; finds a cut tail. May be repeated.",
)
@click.pass_obj
def events_verify(config: Path | None, *, heads: tuple[Path, ...], json: bool) -> None:
    """Check that no event was altered, taken out, put in or moved. Exits with 2 if one was."""
    settings = installation.load_config(config)
    with installation.opened_store(settings) as store:
        newest = store.verify([_readable_head(settings, head) for head in heads])
    last, head = (newest.seq, newest.head) if newest else (0, "")
    shown = f"All {last} events are as they were committed.\n{head}".rstrip()
    click.echo(as_json({"events": last, "head": head}) if json else shown)


@main.group()
def audit() -> None:
    """Look for what should be put right."""


@command("doorward audit gallery", audit)
@click.pass_obj
def audit_gallery(config: Path | None, *, json: bool) -> None:
    """Find references that are weak, near another's, or never matched. Exits with 1 if so.

    Who was never matched is told, and no reason for that. Nothing of the references is shown.
    """
    settings = installation.load_config(config)
    found = examine_gallery(settings)
    attention = [each for each in found.findings if each.needs_attention]
    if json:
        click.echo(as_json(found))
    else:
        with installation.opened_store(settings) as store:
            labels = {row.id: row.label for row in store.subjects()}
        rows = [
            [
                each.subject,
                labels.get(each.subject, ""),
                "LOOK" if each.needs_attention else "note",
                each.means,
            ]
            for each in found.findings
        ]
        table(["subject", "label", "", "finding"], rows, "Nothing is wrong with any reference.")
        compared = f"{found.with_references} residents with references"
        click.echo(f"{compared}; {found.threshold:.2f} opens, from {found.near:.2f} two are near.")
    if attention:
        sys.exit(1)


def _readable_head(settings: Config, file: Path) -> str:
    note = _text(file)
    try:
        checked = installation.check_document(settings, note, None)
    except ValueError as error:
        raise StoreError(f"{file}: {error}") from None
    if not isinstance(checked.content, Head):
        raise StoreError(f"{file}: is no head of the log: name one that the door published")
    return note


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StoreError(f"{file}: is no text: name a signed document") from None
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}: name a readable file") from None
