"""`doorward audit gallery`: which references are weak, too near another's, or never matched."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from agent import app, installation
from agent.adapters.clock import SystemClock
from agent.adapters.console import local_time
from agent.config import Config
from agent.core.enrolment import Enrolment
from agent.core.events import Denied, Granted
from agent.core.types import Gallery, SubjectId
from agent.ports import References, Store, SubjectRow

BATCH = 1000
"""Events read at once."""
ROWS_AT_ONCE = 100
"""Subjects compared with all others at once: with 100,000 enrolled that takes 40 MB."""


class Flaw(StrEnum):
    """What an audit finds."""

    INCONSISTENT = "inconsistent"
    FEW_REFERENCES = "few_references"
    OTHER_MODEL = "other_model"
    NEAR_COLLISION = "near_collision"
    SAME_HOUSEHOLD = "same_household"
    NEVER_MATCHED = "never_matched"


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw. needs_attention: whether somebody should do something about it.

    other: whom the subject is near. figure: a cosine, or a number of references; None where it is
    none. means: what it is and what to do, in words.
    """

    flaw: Flaw
    subject: SubjectId
    other: SubjectId | None
    figure: float | None
    needs_attention: bool
    means: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and found.

    with_references: how many have any. threshold: the cosine in force. near: the one from which two
    subjects are a near-collision. log_since: of the oldest event that is kept, seconds since the
    Unix epoch; None where there is none.
    """

    with_references: int
    threshold: float
    near: float
    log_since: float | None
    findings: tuple[Finding, ...]


def audit_gallery(config: Config) -> Audit:
    """Look at everybody's references. Raises DoorwardError."""
    _, calibration = app.load_vision(config)
    with installation.opened_store(config) as store:
        loaded = store.load(calibration.model)
        kept = store.references(calibration.model)
        rows = {SubjectId(row.id): row for row in store.subjects()}
        matched, log_since = _log(store)
    _, judge = app.as_the_agent(config, calibration, loaded, SystemClock().now())
    in_force = judge.threshold
    near = in_force.cosine - config.enrolment.collision
    findings = [
        *_weak(kept, config.enrolment),
        # Of everybody, for whose consent is suspended now may be compared again tomorrow.
        *_near_collisions(loaded.gallery, near, in_force.cosine),
        *_never_matched(kept, rows, matched, log_since),
    ]
    return Audit(len(kept), in_force.cosine, near, log_since, tuple(findings))


def _weak(kept: Sequence[References], rules: Enrolment) -> Iterator[Finding]:
    for each in kept:
        score = each.self_consistency
        # Positive, so that what is no number is found too.
        if score is not None and not score >= rules.min_consistency:
            yield Finding(
                Flaw.INCONSISTENT,
                each.subject,
                None,
                score,
                needs_attention=True,
                means=f"one reference agrees with the others to {score:.2f} only, and "
                f"{rules.min_consistency:.2f} is asked for: it may be of somebody else, or poor: "
                "erase, and enrol again",
            )
        if 0 < each.count < rules.frames:
            yield Finding(
                Flaw.FEW_REFERENCES,
                each.subject,
                None,
                each.count,
                needs_attention=True,
                means=f"{each.count} of {rules.frames} references: is refused, and taken for "
                "another, more often: erase, and enrol again",
            )
        if each.of_others:
            means = "and so the face opens nothing" if each.count == 0 else "as good as not there"
            yield Finding(
                Flaw.OTHER_MODEL,
                each.subject,
                None,
                each.of_others,
                needs_attention=True,
                means=f"{each.of_others} references of another model, which are not compared, "
                f"{means}: erase, and enrol again",
            )


def _near_collisions(gallery: Gallery, near: float, threshold: float) -> Iterator[Finding]:
    for row, other, score in _pairs(gallery, near):
        together = gallery.households[row] == gallery.households[other]
        alike = f"is like {gallery.subjects[other]} to {score:.2f}, and {threshold:.2f} opens"
        if together:
            flaw, means = Flaw.SAME_HOUSEHOLD, "of one household: one may pass for the other"
        else:
            flaw = Flaw.NEAR_COLLISION
            means = (
                "of different households: find out whether it is one person enrolled twice; else "
                "ask for a second factor ([access] mode), or put relatives into one --household"
            )
        yield Finding(
            flaw,
            gallery.subjects[row],
            gallery.subjects[other],
            score,
            needs_attention=not together,
            means=f"{alike}; {means}",
        )


def _pairs(gallery: Gallery, near: float) -> Iterator[tuple[int, int, float]]:
    """Give the rows that are as near each other as that, and how near, each pair once."""
    matrix = gallery.matrix
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        scores = matrix[start : start + ROWS_AT_ONCE] @ matrix[start:].T
        for row, other in np.argwhere(scores >= near):
            if other > row:
                yield start + int(row), start + int(other), float(scores[row, other])


def _never_matched(
    kept: Sequence[References],
    rows: Mapping[SubjectId, SubjectRow],
    matched: set[SubjectId],
    log_since: float | None,
) -> Iterator[Finding]:
    for each in kept:
        row = rows.get(each.subject)
        # The agent may have erased somebody meanwhile.
        if each.subject in matched or row is None:
            continue
        enrolled = row.enrolled_at
        reaches = log_since is not None and log_since <= enrolled
        since = (
            f"enrolled on {local_time(enrolled)}"
            if reaches or log_since is None
            else f"{local_time(log_since)}, where the log begins"
        )
        yield Finding(
            Flaw.NEVER_MATCHED,
            each.subject,
            None,
            None,
            needs_attention=False,
            means=f"the face was not recognised once since {since}: ask whether it is needed; "
            "who enters by PIN or card may have it erased",
        )


def _log(store: Store) -> tuple[set[SubjectId], float | None]:
    """Give who was recognised by face, let in or not, and since when that is known."""
    matched: set[SubjectId] = set()
    since, seen = None, 0
    while batch := store.events(after=seen, limit=BATCH):
        since = batch[0].now.wall if since is None else since
        seen = batch[-1].seq
        for recorded in batch:
            event = recorded.event
            if isinstance(event, Granted | Denied) and event.subject is not None:
                matched.add(event.subject)
    return matched, since
