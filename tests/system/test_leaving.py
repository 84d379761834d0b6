"""A resident leaves, or takes the consent back, while the agent runs."""

import json

from agent.core.events import (
    ConsentRenewed,
    ConsentSuspended,
    Denied,
    Enrolled,
    Erased,
    ErasureCertified,
    Granted,
)
from agent.core.orders import Delivered
from agent.core.types import Notice, Reason, Suspension
from agent.operations import withdraw_consent
from tests.contracts.waiting import eventually
from tests.core.people import CONSENT, NOTICE, somebody
from tests.system.actors import Agent

ADA, BEN = somebody("ada"), somebody("ben")


def test_a_withdrawn_consent_counts_at_once_and_a_new_one_too(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            withdraw_consent(store, agent.clock, ADA.id)
        agent.corridor.standing = ADA
        denied = agent.archive.of(Denied)
        assert isinstance(denied, Denied)
        assert (denied.reason, denied.subject) == (Reason.NO_MATCH, None)
        told = agent.archive.of(ConsentSuspended)
        assert told == ConsentSuspended(ADA.id, Suspension.WITHDRAWN)
        agent.renew(ADA, CONSENT)
        granted = agent.archive.of(Granted)
    assert isinstance(granted, Granted)
    assert granted.subject == ADA.id
    assert agent.archive.of(ConsentRenewed) == ConsentRenewed(ADA.id)


def test_a_resident_leaves_from_afar_with_the_leave_code_alone(agent: Agent) -> None:
    with agent.command_line() as store:
        code = store.resident(ADA.id).subject.leave_code
    agent.enrol(BEN)
    with agent.running():
        for subject in (BEN.id, ADA.id, ADA.id):
            wish = {"v": 1, "id": "r-1", "subject": subject, "code": code}
            agent.runtime.post(Delivered("leave", json.dumps(wish).encode()))
        certified = agent.archive.of(ErasureCertified)
        agent.corridor.standing = ADA
        denied = agent.archive.of(Denied)
        agent.corridor.standing = BEN
        granted = agent.archive.of(Granted)
    assert isinstance(certified, ErasureCertified)
    assert isinstance(denied, Denied)
    assert isinstance(granted, Granted)
    assert denied.reason is Reason.NO_MATCH
    assert granted.subject == BEN.id
    assert [event for event in agent.archive.events if isinstance(event, Erased)] == [
        Erased(ADA.id)
    ]
    assert certified.certificate == agent.certificate(ADA)


def test_the_consent_of_a_notice_that_is_not_in_force_is_suspended_at_the_start(
    agent: Agent,
) -> None:
    agent.enrol(BEN, notice=Notice(NOTICE.version, "00" * 32))
    with agent.running():
        told = agent.archive.of(ConsentSuspended)
        agent.corridor.standing = BEN
        agent.archive.of(Denied)
        with agent.command_line() as store:
            assert eventually(lambda: store.resident(BEN.id).subject.suspended is not None)
    assert told == ConsentSuspended(BEN.id, Suspension.NOTICE_CHANGED)
    assert not any(isinstance(event, Granted | Enrolled) for event in agent.archive.events)
