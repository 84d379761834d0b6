"""What is told again, to whom, and how far ahead; and what waits in the inbox."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent import reporting
from agent.adapters.store import SqliteStore
from agent.core.effects import Indication
from agent.core.events import CommandRejected, DoorbellRang
from agent.core.inputs import Acknowledged, KeyPressed, Rung
from agent.core.orders import Delivered, Rejection
from agent.core.pad import PadLevel
from agent.core.rules import Condition
from agent.reporting import ASKED_EVERY, DESCRIBE_EVERY, WINDOW, Reporting
from agent.runtime import MOST_WAITING
from tests.contracts.waiting import eventually
from tests.residents import DENIED, NOW, opened
from tests.system.actors import Agent, Archive

CALM = Condition(3, 0.0001, True, "sure", None, False, (), {}, PadLevel.BASIC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with opened(tmp_path / "state" / "doorward.db") as store:
        for _ in range(3 * WINDOW):
            store.append(DENIED, NOW)
        yield store


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def told(store: SqliteStore, archive: Archive) -> Reporting:
    told = Reporting(store, [archive])
    told.begin()
    return told


def sent(archive: Archive) -> list[int]:
    """What was sent again since the last look."""
    again, archive.sent_again = archive.sent_again, []
    return again


def test_what_is_sent_again_keeps_a_window_ahead_of_what_is_acknowledged(
    told: Reporting, archive: Archive
) -> None:
    told.send_backlog()
    assert sent(archive) == list(range(1, WINDOW + 1))
    told.acknowledged(10, 0.0)
    assert sent(archive) == list(range(WINDOW + 1, WINDOW + 11))
    told.acknowledged(WINDOW + 10, 0.0)
    assert sent(archive) == list(range(WINDOW + 11, 2 * WINDOW + 11))
    told.acknowledged(3 * WINDOW, 0.0)
    assert sent(archive) == list(range(2 * WINDOW + 11, 3 * WINDOW + 1))
    told.acknowledged(3 * WINDOW, 10.0)
    assert sent(archive) == []


def test_what_happens_meanwhile_is_not_part_of_the_backlog(
    told: Reporting, archive: Archive, store: SqliteStore
) -> None:
    told.send_backlog()
    sent(archive)
    store.append(DoorbellRang(), NOW)
    told.report()
    assert archive.events == [DoorbellRang()]
    told.acknowledged(3 * WINDOW - 1, 0.0)
    assert sent(archive)[-1] == 3 * WINDOW


def test_a_collector_that_says_nothing_new_is_sent_what_comes_after_once_a_second(
    told: Reporting, archive: Archive
) -> None:
    told.acknowledged(3 * WINDOW - 2, 0.0)
    assert sent(archive) == []
    told.acknowledged(3 * WINDOW - 2, 0.0)
    assert sent(archive) == [3 * WINDOW - 1, 3 * WINDOW]
    told.acknowledged(3 * WINDOW - 2, 0.9 * ASKED_EVERY)
    assert sent(archive) == []
    told.acknowledged(3 * WINDOW - 2, 1.1 * ASKED_EVERY)
    assert sent(archive) == [3 * WINDOW - 1, 3 * WINDOW]


def test_a_collector_that_lost_its_archive_is_sent_what_is_left(
    told: Reporting, archive: Archive, store: SqliteStore
) -> None:
    told.acknowledged(3 * WINDOW, 0.0)
    told.acknowledged(5, 1.0)
    assert sent(archive)[:2] == [6, 7]
    assert store.cursor() == 3 * WINDOW


def test_an_acknowledgement_of_what_never_was_sends_nothing(
    told: Reporting, archive: Archive, store: SqliteStore
) -> None:
    told.send_backlog()
    sent(archive)
    told.acknowledged(2**62, 0.0)
    assert sent(archive) == []
    assert store.cursor() == 0


def test_however_much_is_new_is_reported_at_once(
    told: Reporting, archive: Archive, store: SqliteStore
) -> None:
    for _ in range(350):
        store.append(DoorbellRang(), NOW)
    told.report()
    assert archive.events == [DoorbellRang()] * 350


def test_where_the_log_begins_is_told_when_it_was_pruned(
    told: Reporting, archive: Archive, store: SqliteStore
) -> None:
    told.look_after(lambda: CALM, 0.0)
    store.prune(NOW.wall + 1, NOW)
    told.report()
    told.look_after(lambda: CALM, 2 * DESCRIBE_EVERY)
    assert archive.beginnings == [1, store.events(limit=1)[0].seq]
    assert archive.beginnings[1] > 1
    # And by an agent that is started later.
    again = Reporting(store, [archive])
    again.begin()
    again.look_after(lambda: CALM, 0.0)
    assert archive.beginnings[2] == archive.beginnings[1]


def test_what_the_door_is_like_is_told_when_it_changed_and_not_too_often(
    told: Reporting, archive: Archive
) -> None:
    worse = replace(CALM, tamper=True, rejected={Rejection.FORGED: 2})
    told.look_after(lambda: CALM, 0.0)
    told.look_after(lambda: CALM, 2 * DESCRIBE_EVERY)
    told.look_after(lambda: worse, 2.5 * DESCRIBE_EVERY)
    assert archive.conditions == [CALM]
    told.look_after(lambda: worse, 3.5 * DESCRIBE_EVERY)
    assert archive.conditions == [CALM, worse]


def test_that_strangers_are_admitted_too_often_is_logged_once_each_time_it_begins(
    told: Reporting, caplog: pytest.LogCaptureFixture
) -> None:
    lax = replace(CALM, fpir_met=False, sureness="the target is NOT met")
    conditions = [lax, replace(lax, tamper=True), CALM, lax]
    for number in range(4):
        told.look_after(partial(conditions.__getitem__, number), number * 2 * DESCRIBE_EVERY)
    assert caplog.messages == ["the target is NOT met"] * 2


# --- the inbox ------------------------------------------------------------------------------------


def test_of_a_flood_of_commands_what_does_not_fit_is_thrown_away_and_counted(agent: Agent) -> None:
    for _ in range(MOST_WAITING + 20):
        agent.runtime.post(Delivered("unlock", b""))
    agent.runtime.post(Rung())
    with agent.running():
        agent.archive.of(DoorbellRang)
        assert eventually(lambda: CommandRejected(Rejection.FLOODED, 20) in agent.archive.events)
        assert eventually(
            lambda: (
                agent.archive.conditions[-1].rejected
                == {Rejection.FLOODED: 20, Rejection.MALFORMED: MOST_WAITING}
            )
        )
    assert agent.door.timeline == []


def test_keys_that_are_pressed_without_end_keep_nobody_waiting(agent: Agent) -> None:
    for _ in range(MOST_WAITING + 20):
        agent.runtime.post(KeyPressed())
    agent.runtime.post(Rung())
    with agent.running():
        agent.archive.of(DoorbellRang)
    assert agent.door.indications.count(Indication.KEY) == MOST_WAITING


def test_of_acknowledgements_that_wait_the_newest_counts(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(
        reporting.Reporting, "acknowledged", lambda _self, seq, _now: taken.append(seq)
    )
    for seq in (1, 2, 3):
        agent.runtime.post(Acknowledged(seq))
    with agent.running():
        assert eventually(lambda: taken == [3])
        agent.runtime.post(Acknowledged(4))
        assert eventually(lambda: taken == [3, 4])
