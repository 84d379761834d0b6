import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.adapters.link import PACKET
from agent.core.effects import Answer
from agent.core.events import DuressSignalled, Part
from agent.core.orders import Operation, Rejection
from agent.core.pad import PadLevel
from agent.core.rules import Condition
from agent.core.types import SubjectId, Suspension
from agent.ports import Recorded, SubjectRow
from agent.wire.states import (
    PAGE,
    Reply,
    encode_alarm,
    encode_answer,
    encode_challenge,
    encode_held,
    encode_list,
    encode_state,
    read_challenge,
    read_reply,
    read_state,
)
from tests.residents import GRANTED, NOW
from tests.schemas import schemas
from tests.wire.samples import HEXADECIMAL, NONSENSE, answers, conditions, digits, json_values, rows
from tests.wire.validating import objections

SUBJECT = SubjectId("s-0123456789abcdef")
ROW = SubjectRow(
    id=SUBJECT,
    label="Flat 1, Ada",
    household="household 1",
    administrator=False,
    revoked=False,
    minor=True,
    not_before=None,
    not_after=1_900_000_000.0,
    schedule="mon 08:00-18:00",
    references=5,
    enrolled_at=1_795_000_000.0,
    seen_on=None,
    authorised_by="the concierge",
    notice="2026-11",
    consent_expires=1_850_000_000.0,
    suspended=Suspension.EXPIRED,
    accessible=True,
    pin=True,
    duress_pin=False,
    cards=2,
    self_consistency=0.71,
)
ENTRY = {
    "subject": SUBJECT,
    "administrator": False,
    "minor": True,
    "revoked": False,
    "suspended": "expired",
    "not_before": None,
    "not_after": 1_900_000_000.0,
    "schedule": "mon 08:00-18:00",
    "references": 5,
    "enrolled_at": 1_795_000_000.0,
    "seen_on": None,
}


def read(payload: bytes) -> Any:  # noqa: ANN401 - JSON
    return json.loads(payload)


def test_what_the_door_is_like_is_told_in_the_words_that_are_documented() -> None:
    condition = Condition(
        residents=3,
        fpir=0.0001,
        fpir_met=True,
        sureness="with 3 compared, a stranger is admitted about once in 10,000 attempts",
        last_decision_ms=None,
        tamper=True,
        faults=(Part.CAMERA, Part.STORE),
        rejected={Rejection.FORGED: 3, Rejection.CLOCK_NOT_SET: 1},
        pad=PadLevel.FLASH_AND_CHALLENGE,
    )
    assert read(encode_state(condition, 7)) == {
        "v": 1,
        "residents": 3,
        "fpir": 0.0001,
        "fpir_met": True,
        "sureness": "with 3 compared, a stranger is admitted about once in 10,000 attempts",
        "last_decision_ms": None,
        "tamper": True,
        "faults": ["camera", "store"],
        "refused": {"forged": 3, "clock_not_set": 1},
        "log_begins": 7,
        "pad": "flash+challenge",
    }


def test_where_the_log_begins_is_read_whatever_words_a_later_version_adds() -> None:
    later = b'{"v": 1, "log_begins": 7, "faults": ["moon"], "refused": {"tired": 1}, "more": 2}'
    assert read_state(later).log_begins == 7
    for payload in (b"", b"{}", b'{"v": 1, "log_begins": 0}', b'{"v": 2, "log_begins": 1}'):
        with pytest.raises(ValueError, match=r"."):
            read_state(payload)


@given(conditions)
def test_every_condition_can_be_told(condition: Condition) -> None:
    told = read(encode_state(condition, 1))
    assert told["residents"] == condition.residents
    assert told["fpir"] == condition.fpir
    assert told["refused"] == condition.rejected


@given(digits(HEXADECIMAL, 32))
def test_a_challenge_comes_back_as_it_was_given_out(challenge: str) -> None:
    assert read(encode_challenge(challenge)) == {"v": 1, "challenge": challenge}
    assert read_challenge(encode_challenge(challenge)) == challenge


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"challenge": "ab" * 15},
        {"challenge": "AB" * 16},
        {"challenge": "ab" * 16 + "\n"},
        {"challenge": None},
        {"more": 1},
    ],
)
def test_a_challenge_that_is_not_exactly_as_agreed_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_challenge(json.dumps({"v": 1, "challenge": "ab" * 16} | change).encode())


# --- answers


@given(answers)
def test_an_answer_says_what_became_of_the_command(answer: Answer) -> None:
    reply = read_reply(encode_answer(answer))
    assert reply == Reply(
        v=1,
        id=answer.request,
        result="refused" if answer.refusal else "done",
        reason=answer.refusal,
        subject=answer.subject,
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("r-1"), {"result": "done"}),
        (Answer("r-1", subject=SUBJECT), {"result": "done", "subject": SUBJECT}),
        (Answer("r-1", Rejection.STALE), {"result": "refused", "reason": "stale"}),
        # What was asked for is nobody's business but that of who asked.
        (Answer("r-1", query=Operation.LIST, after=SUBJECT), {"result": "done"}),
    ],
)
def test_an_answer_has_the_fields_that_are_documented(
    answer: Answer, told: dict[str, object]
) -> None:
    assert read(encode_answer(answer)) == {"v": 1, "id": "r-1", **told}


@given(answers, st.lists(rows, max_size=4), st.booleans())
def test_a_page_of_residents_comes_back_as_it_was_written(
    answer: Answer, residents: list[SubjectRow], more: bool
) -> None:
    reply = read_reply(encode_list(answer, residents, more=more))
    assert (reply.id, reply.more) == (answer.request, more)
    assert reply.residents is not None
    assert [each.subject for each in reply.residents] == [row.id for row in residents]
    assert [each.seen_on for each in reply.residents] == [row.seen_on for row in residents]


def test_a_resident_is_told_of_without_a_name_or_who_belongs_together() -> None:
    told = encode_list(Answer("r-1"), [ROW], more=False)
    assert read(told) == {
        "v": 1,
        "id": "r-1",
        "result": "done",
        "residents": [ENTRY],
        "more": False,
    }
    for secret in (ROW.label, ROW.household, ROW.authorised_by):
        assert secret is not None
        assert secret.encode() not in told + encode_held(Answer("r-1"), ROW)


def test_what_is_held_on_a_resident_is_told_in_the_words_that_are_documented() -> None:
    told = encode_held(Answer("r-1", subject=SUBJECT), ROW)
    assert read(told) == {
        "v": 1,
        "id": "r-1",
        "result": "done",
        "subject": SUBJECT,
        "held": {"resident": ENTRY, "notice": "2026-11", "consent_expires": 1_850_000_000.0},
    }
    reply = read_reply(told)
    assert reply.held is not None
    assert reply.held.resident.suspended is Suspension.EXPIRED


def test_a_resident_without_a_face_is_told_of_like_any_other() -> None:
    faceless = replace(
        ROW, references=0, suspended=None, authorised_by="", notice="", consent_expires=None
    )
    told = encode_list(Answer("r-1"), [faceless], more=False)
    entry = ENTRY | {"references": 0, "suspended": None}
    assert read(told)["residents"] == [entry]
    assert read_reply(told).residents is not None
    held = encode_held(Answer("r-1", subject=SUBJECT), faceless)
    expected = {"resident": entry, "notice": "", "consent_expires": None}
    assert read(held)["held"] == expected
    for each in (told, held):
        assert objections(schemas()["reply"], read(each)) == []
    assert read_reply(held).held is not None


def test_a_full_page_fits_into_one_packet() -> None:
    workdays = ", ".join(f"{day} 08:00-18:00" for day in ("mon", "tue", "wed", "thu", "fri"))
    page = [replace(ROW, schedule=workdays)] * PAGE
    told = encode_list(Answer("r-1"), page, more=True)
    assert len(told) < PACKET
    assert len(read_reply(told).residents or ()) == PAGE


READERS: list[Callable[[bytes], object]] = [read_challenge, read_reply]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("payload", NONSENSE.values(), ids=NONSENSE)
def test_bytes_that_mean_nothing_are_refused(
    reader: Callable[[bytes], object], payload: bytes
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        reader(payload)
    assert caught.type is ValueError


@given(
    st.sampled_from(READERS), st.binary(max_size=200) | json_values.map(json.dumps).map(str.encode)
)
def test_anything_else_is_refused_or_read(
    reader: Callable[[bytes], object], payload: bytes
) -> None:
    try:
        reader(payload)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - success is welcome too


def test_an_alarm_names_the_event_and_no_time_that_is_not_to_be_trusted() -> None:
    forced = DuressSignalled(SubjectId("s-1"))
    told = encode_alarm(Recorded(7, "boot", NOW, forced))
    assert json.loads(told or b"") == {"v": 1, "subject": "s-1", "seq": 7, "wall": NOW.wall}
    unset = encode_alarm(Recorded(7, "boot", replace(NOW, trusted=False), forced))
    assert json.loads(unset or b"")["wall"] is None
    assert encode_alarm(Recorded(7, "boot", NOW, GRANTED)) is None
