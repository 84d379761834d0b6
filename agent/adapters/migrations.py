"""The schemas of the database, each as the step from the one before: forward only.

The step that made a database is never changed, for there are databases that took it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import cache
from typing import Any

import msgspec
import numpy as np
from sqlite_utils import Database

from agent.adapters.epoch import EpochSecret
from agent.adapters.keyring import Keyring
from agent.adapters.log import GENESIS, EventLog
from agent.adapters.residents import Residents
from agent.adapters.vault import Vault
from agent.adapters.vouched import VouchedRows
from agent.core.effects import Enrol
from agent.core.types import (
    NORM_TOLERANCE,
    Consent,
    Embedding,
    Float32,
    Notice,
    Now,
    Span,
    Subject,
    SubjectId,
    Validity,
)
from agent.wire.events import decode_body

APPLICATION_ID = 0x446F6F72
"""Marks a database as Doorward's: "Door"."""

FIRST_EPOCH = 1
SCHEMA_QUERY = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
"""Gives what `schema` does, of a database."""
_SPANS = msgspec.json.Decoder(tuple[Span, ...])


def _plain_schema(database: Database, _vault: Vault, _secret: EpochSecret) -> None:
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    columns: dict[str, Any] = {"id": str, "label": str, "household": str, "administrator": bool}
    columns |= {"revoked": bool, "not_before": float, "not_after": float, "schedule": str}
    columns |= {"enrolled_at": float}
    _create(database, "subjects", columns, optional=("household", "not_before", "not_after"))
    columns = {"id": int, "subject": str, "model": str, "vector": bytes}
    _create(database, "references", columns, of_subject=True)
    columns = {"subject": str, "authorised_by": str, "notice": str, "at": float}
    _create(database, "consents", columns, of_subject=True)
    columns = {"code": str, "issued_at": float, "boot_id": str, "authorised_by": str, "terms": str}
    _create(database, "codes", columns)
    _create(database, "meta", {"key": str, "value": int})
    database.table("meta").insert_all(
        [{"key": "cursor", "value": 0}, {"key": "checks", "value": 0}]
    )
    columns = {"seq": int, "boot_id": str, "monotonic": float, "wall": float, "week_minute": int}
    _create(database, "events", columns | {"time_trusted": bool, "kind": str, "body": bytes})
    _forbid(database, "events_stay", "DELETE ON events")
    _forbid(database, "events_stay_as_they_are", "UPDATE ON events")
    _forbid(
        database,
        "events_have_no_gap",
        "INSERT ON events WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM events)",
    )


def _sealed_schema(database: Database, vault: Vault, secret: EpochSecret) -> None:
    kept = {
        table: database.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall()  # noqa: S608
        for table in ("subjects", "references", "consents", "events")
    }
    # Overwritten page by page, since secure_delete is on.
    for table in ("references", "consents", "subjects", "events", "codes"):
        database.execute(f'DROP TABLE "{table}"')
    _create_sealed_tables(database)
    wrapping = vault.wrapping_key(secret.prepare(FIRST_EPOCH))
    database.table("vault").insert({"device": vault.device, "epoch": 0, "proof": b""})
    keyring, vouched = Keyring(database, vault, secret), VouchedRows(database, vault)
    residents, log = Residents(database, vault, keyring, vouched), EventLog(database, vault)
    keyring.begin_epoch(wrapping, FIRST_EPOCH)
    for change, enrolled_at in _plain_residents(kept):
        residents.enrol(change, Now(0.0, enrolled_at, 0, trusted=False))
    keys, state = keyring.keys(), vouched.state()
    for _, boot_id, monotonic, wall, week_minute, trusted, kind, body in kept["events"]:
        now = Now(monotonic, wall, week_minute, bool(trusted))
        log.append(boot_id, now, decode_body(kind, body), keys, state)


def _plain_residents(kept: dict[str, list[tuple[Any, ...]]]) -> list[tuple[Enrol, float]]:
    """Give whom the plain schema had, and when they were enrolled.

    It kept neither which text an enrolee was given nor for what: such a consent is suspended.
    """
    consents = {
        subject: Consent(authorised_by, Notice(notice, ""), "not recorded", at)
        for subject, authorised_by, notice, at in kept["consents"]
    }
    references: dict[str, list[Embedding]] = {}
    for _, name, model, vector in kept["references"]:
        template = np.frombuffer(vector[: len(vector) // 4 * 4], "<f4")
        # What is no unit vector could not be compared before either.
        if name in consents and _is_sound(template):
            references.setdefault(name, []).append(Embedding(template, model))
    found = []
    for row in kept["subjects"]:
        name, label, household, administrator, revoked, since, until, schedule, enrolled_at = row
        subject = Subject(
            SubjectId(name),
            household,
            bool(administrator),
            bool(revoked),
            Validity(since, until, _SPANS.decode(schedule)),
            consent=consents.get(name),
        )
        kept_of = tuple(references.get(name, ()))
        found.append((Enrol(subject, label, kept_of), enrolled_at))
    return found


def _controllers_schema(database: Database, _vault: Vault, _secret: EpochSecret) -> None:
    _create_controllers(database)


def _credentials_schema(database: Database, _vault: Vault, _secret: EpochSecret) -> None:
    _create_credentials(database)


def _self_consistency_schema(_database: Database, _vault: Vault, _secret: EpochSecret) -> None:
    """Change no row: what is new in a record, an earlier Doorward would take for damage.

    Whoever is enrolled already has none recorded: the references are bound to the name of a model,
    of which the database has a tag only.
    """


@cache
def schema() -> frozenset[tuple[str, str]]:
    """Give the names of what a database of the newest schema consists of, and how it was made."""
    with closing(sqlite3.connect(":memory:")) as connection:
        database = Database(connection, execute_plugins=False)
        _create(database, "meta", {"key": str, "value": int})
        _create_sealed_tables(database)
        _create_controllers(database)
        _create_credentials(database)
        return normalised(database.execute(SCHEMA_QUERY).fetchall())


def normalised(found: Iterable[tuple[object, object]]) -> frozenset[tuple[str, str]]:
    """Give a schema without what another version of sqlite-utils may write otherwise."""
    spelling = str.maketrans("", "", ' \t\n"[]`;')
    return frozenset((str(name), str(sql).translate(spelling).lower()) for name, sql in found)


def _is_sound(template: Float32) -> bool:
    return abs(float(np.linalg.norm(template)) - 1) <= NORM_TOLERANCE


def _create_sealed_tables(database: Database) -> None:
    _create(database, "vault", {"device": str, "epoch": int, "proof": bytes})
    columns: dict[str, Any] = {"id": str, "seen_on": float, "sealed": bytes}
    _create(database, "subjects", columns, optional=("seen_on",))
    columns = {"subject": str, "epoch": int, "wrapped": bytes}
    _create(database, "keys", columns)
    columns = {"id": int, "subject": str, "epoch": int, "made_by": bytes, "sealed": bytes}
    _create(database, "references", columns, of_subject=True)
    _create(database, "consents", {"subject": str, "sealed": bytes}, of_subject=True)
    _create(database, "codes", {"boot_id": str, "sealed": bytes})
    columns = {"subject": str, "cause": str, "erased_at": float, "time_trusted": bool}
    columns |= {"epoch": int, "proof": bytes, "certificate": str}
    _create(database, "tombstones", columns, optional=("certificate",))
    _create(database, "anchor", {"seq": int, "hash": bytes, "signature": bytes})
    database.table("anchor").insert({"seq": 0, "hash": GENESIS, "signature": b""})
    columns = {"seq": int, "boot_id": str, "monotonic": float, "wall": float, "week_minute": int}
    columns |= {"time_trusted": bool, "sealed": bytes, "hash": bytes}
    _create(database, "events", columns | {"signature": bytes})
    # The anchor is the last event that was pruned: it moves forward, and events follow it.
    pruned = "DELETE ON events WHEN OLD.seq > (SELECT seq FROM anchor)"
    _forbid(database, "events_stay", pruned)
    _forbid(database, "events_stay_as_they_are", "UPDATE ON events")
    _forbid(
        database,
        "events_have_no_gap",
        "INSERT ON events WHEN NEW.seq IS NOT "
        "COALESCE((SELECT MAX(seq) FROM events), (SELECT seq FROM anchor)) + 1",
    )
    _forbid(database, "anchor_stays", "DELETE ON anchor")
    _forbid(database, "anchor_moves_forward", "UPDATE ON anchor WHEN NEW.seq <= OLD.seq")


def _create_controllers(database: Database) -> None:
    _create(database, "controllers", {"id": str, "sealed": bytes})


def _create_credentials(database: Database) -> None:
    _create(database, "credentials", {"subject": str, "sealed": bytes}, of_subject=True)
    _create(database, "visitors", {"id": str, "sealed": bytes})
    _create(database, "attempts", {"boot_id": str, "sealed": bytes})


def _create(
    database: Database,
    name: str,
    columns: dict[str, Any],
    *,
    optional: Sequence[str] = (),
    of_subject: bool = False,
) -> None:
    """Make a strict table; the first column is the key, all but the optional ones have a value."""
    [key, *_] = columns
    table = database.table(name)
    table.create(
        columns,
        pk=key,
        not_null={each for each in columns if each not in optional and columns[key] is not int}
        | {each for each in columns if each not in {key, *optional}},
        foreign_keys=[("subject", "subjects", "id")] if of_subject else [],
        strict=True,
    )
    if of_subject and key != "subject":
        table.create_index(["subject"])


def _forbid(database: Database, name: str, occasion: str) -> None:
    database.execute(
        f"CREATE TRIGGER {name} BEFORE {occasion} "
        "BEGIN SELECT RAISE(ABORT, 'events are appended, and nothing else'); END"
    )


MIGRATIONS: tuple[Callable[[Database, Vault, EpochSecret], None], ...] = (
    _plain_schema,
    _sealed_schema,
    _controllers_schema,
    _credentials_schema,
    _self_consistency_schema,
)
"""The nth brings a database from schema n - 1 to n; user_version holds the schema it has."""
