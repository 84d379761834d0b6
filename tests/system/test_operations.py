"""What operators do beside the agent, on a real store."""

from pathlib import Path

import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.store import SqliteStore
from agent.core.events import Enrolled, EnrolmentFailed, EnrolmentFailure, EnrolmentStarted
from agent.core.types import AuthorityKind, SubjectId, Terms
from agent.errors import StoreError
from agent.operations import follow_enrolment, issue_code
from tests.residents import KEY

OURS, OTHER = SubjectId("s-ours"), SubjectId("s-other")


def test_only_the_enrolment_that_the_code_began_is_followed(tmp_path: Path) -> None:
    clock = SystemClock()
    store = SqliteStore(tmp_path / "doorward.db", clock, KEY)
    issued = issue_code(store, clock, "x", Terms())
    for event in (
        Enrolled(OTHER, AuthorityKind.ADMINISTRATOR, 5, None),
        EnrolmentStarted(OURS, AuthorityKind.CODE),
        EnrolmentFailed(OTHER, EnrolmentFailure.BUSY),
        Enrolled(OURS, AuthorityKind.CODE, 5, None),
    ):
        store.append(event, clock.now())
    told = [recorded.event for recorded in follow_enrolment(store, issued, 10.0)]
    store.close()
    assert told == [
        EnrolmentStarted(OURS, AuthorityKind.CODE),
        Enrolled(OURS, AuthorityKind.CODE, 5, None),
    ]


def test_an_enrolment_that_never_begins_is_said_so(tmp_path: Path) -> None:
    clock = SystemClock()
    store = SqliteStore(tmp_path / "doorward.db", clock, KEY)
    issued = issue_code(store, clock, "x", Terms())
    with pytest.raises(StoreError, match="doorward enrol"):
        list(follow_enrolment(store, issued, 0.1))
    store.close()
