import json
from typing import get_args

import pytest

from agent.adapters.console import ConsoleReporter, in_words
from agent.core.events import (
    ConsentRenewed,
    ConsentSuspended,
    EnrolmentLapsed,
    Erased,
    ErasureCause,
    ErasureCertified,
    Event,
    Forgotten,
    LogPruned,
    Restored,
)
from agent.core.types import Now, SubjectId, Suspension
from agent.ports import Recorded

ADA = SubjectId("s-ada")
CERTIFICATE = "erasure\ns-ada\n\n— doorward/1 c2ln\n"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (EnrolmentLapsed(), "one-time code not used in time, and forgotten"),
        (
            ConsentSuspended(ADA, Suspension.WITHDRAWN),
            "s-ada is not matched any more: the consent was withdrawn",
        ),
        (
            ConsentSuspended(ADA, Suspension.EXPIRED),
            "s-ada is not matched any more: the consent expired",
        ),
        (
            ConsentSuspended(ADA, Suspension.NOTICE_CHANGED),
            "s-ada is not matched any more: the consent is to another privacy notice",
        ),
        (
            ConsentSuspended(ADA, Suspension.NO_GUARDIAN),
            "s-ada is not matched any more: no guardian consented for this minor",
        ),
        (ConsentRenewed(ADA), "consent of s-ada counts again"),
        (Erased(ADA), "erased s-ada"),
        (Erased(ADA, ErasureCause.UNUSED), "erased s-ada, not seen for too long"),
        (ErasureCertified(ADA, CERTIFICATE), "erasure of s-ada checked and certified"),
        (LogPruned(7), "events up to 7 deleted for their age"),
        (Restored(7), "restored from a backup that ends with event 7"),
        (Forgotten("enrolment_failed"), "enrolment failed, of somebody erased since"),
    ],
)
def test_an_event_is_told_in_words(event: Event, words: str) -> None:
    assert in_words(event) == words
    assert isinstance(event, get_args(Event))


def test_a_certificate_is_for_programs_only() -> None:
    now = Now(monotonic=1.0, wall=1_795_000_000.0, week_minute=0, trusted=True)
    recorded = Recorded(3, "boot", now, ErasureCertified(ADA, CERTIFICATE))
    written: list[str] = []

    ConsoleReporter(written.append, as_json=True).publish(recorded)
    ConsoleReporter(written.append, as_json=False).publish(recorded)

    as_json, in_a_line = written
    assert json.loads(as_json)["certificate"] == CERTIFICATE
    assert "doorward/1" not in in_a_line
