"""What the door answers to those who ask what it keeps: pages that any broker takes, no names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.store import SqliteStore
from agent.answers import LONGEST, Answers
from agent.core.effects import Answer
from agent.core.orders import Operation, Rejection
from agent.core.policy import parse_schedule
from agent.core.types import SubjectId, Validity
from agent.wire.states import PAGE, Reply, read_reply
from tests.residents import enrol, erase, opened, vectors

NAME = "Ada Lovelace"
MANY = ", ".join(
    f"mon {hour:02}:{minute:02}-{hour:02}:{minute + 1:02}"
    for hour in range(24)
    for minute in (0, 20, 40)
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with opened(tmp_path / "state" / "doorward.db") as store:
        yield store


def fill(store: SqliteStore, count: int, schedule: str = "") -> list[SubjectId]:
    validity = Validity(schedule=parse_schedule(schedule))
    one = vectors(1)
    return [
        enrol(
            store,
            f"s-{number:016x}",
            label=NAME,
            household=NAME,
            references=one,
            validity=validity,
        )
        for number in range(count)
    ]


def pages(store: SqliteStore) -> Iterator[Reply]:
    """Ask until there is no more, as a controller does."""
    after = None
    while True:
        given = Answers(store).give(Answer("r-1", query=Operation.LIST, after=after))
        assert len(given) <= LONGEST
        reply = read_reply(given)
        yield reply
        if not reply.more:
            return
        assert reply.residents
        after = SubjectId(reply.residents[-1].subject)


def test_everybody_is_listed_once_a_page_at_a_time_and_by_no_name(store: SqliteStore) -> None:
    subjects = fill(store, PAGE + 5)
    found = list(pages(store))
    assert [len(reply.residents or ()) for reply in found] == [PAGE, 5]
    assert [each.subject for reply in found for each in reply.residents or ()] == subjects
    assert NAME.encode() not in Answers(store).give(Answer("r-1", query=Operation.LIST))


def test_a_page_that_no_broker_would_take_is_cut(store: SqliteStore) -> None:
    subjects = fill(store, 40, MANY)
    found = list(pages(store))
    assert len(found) > 1
    assert [each.subject for reply in found for each in reply.residents or ()] == subjects


def test_nobody_is_listed_where_nobody_is_enrolled(store: SqliteStore) -> None:
    [reply] = pages(store)
    assert (reply.residents, reply.more) == ((), False)


def test_what_is_held_is_told_without_a_name(store: SqliteStore) -> None:
    ada, _ = fill(store, 2)
    given = Answers(store).give(Answer("r-1", subject=ada, query=Operation.EXPORT))
    held = read_reply(given).held
    assert held is not None
    assert held.resident.subject == ada
    assert held.resident.references == 1
    assert held.notice == "2026-11"
    assert NAME.encode() not in given


def test_whoever_was_erased_meanwhile_is_nobody(store: SqliteStore) -> None:
    ada, _ = fill(store, 2)
    erase(store, ada)
    reply = read_reply(Answers(store).give(Answer("r-1", subject=ada, query=Operation.EXPORT)))
    assert (reply.result, reply.reason) == ("refused", Rejection.NO_SUBJECT)
