import json
from collections.abc import Callable
from enum import Enum
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np
import pytest
from hypothesis import assume, example, given, strategies as st

from agent import wire
from agent.core.events import (
    ConsentSuspended,
    Denied,
    EnrolmentLapsed,
    Erased,
    ErasureCause,
    ErasureCertified,
    Event,
    FaultRaised,
    Forgotten,
    Granted,
    LockedOut,
    LogPruned,
    Part,
    Restored,
    Revoked,
)
from agent.core.types import (
    Embedding,
    Frame,
    LockState,
    Method,
    Now,
    Reason,
    SubjectId,
    Suspension,
)
from agent.ports import Recorded

NOW = Now(monotonic=12.5, wall=1_795_000_000.25, week_minute=60, trusted=True)
GRANTED = Granted(
    subject=SubjectId("s-1"),
    method=Method.FACE,
    score=0.71,
    threshold=0.55,
    margin=None,
    frames=3,
    faces=2,
    latency_ms=81.5,
)
DENIED = Denied(Reason.REVOKED, SubjectId("s-1"), frames=3, faces=1)
KINDS = {
    "Started": "started",
    "Granted": "granted",
    "Denied": "denied",
    "LockedOut": "locked_out",
    "EnrolmentAuthorised": "enrolment_authorised",
    "EnrolmentStarted": "enrolment_started",
    "EnrolmentFailed": "enrolment_failed",
    "Enrolled": "enrolled",
    "EnrolmentLapsed": "enrolment_lapsed",
    "ConsentSuspended": "consent_suspended",
    "ConsentRenewed": "consent_renewed",
    "Revoked": "revoked",
    "Erased": "erased",
    "ErasureCertified": "erasure_certified",
    "LogPruned": "log_pruned",
    "Restored": "restored",
    "Forgotten": "forgotten",
    "FaultRaised": "fault_raised",
    "FaultCleared": "fault_cleared",
}

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
PLAIN: dict[object, st.SearchStrategy[object]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63) + 1, 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: text,
    SubjectId: text,
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[object]:  # noqa: ANN401 - whatever a field is declared as
    """Values of a field that events of this program may have."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return PLAIN[hint] if hint in PLAIN else st.one_of(*map(values, get_args(hint)))


def events_of(shape: type[Event]) -> st.SearchStrategy[Event]:
    fields = {name: values(hint) for name, hint in get_type_hints(shape).items()}
    return st.builds(shape, **fields)


events = st.one_of(*map(events_of, get_args(Event)))


def parse_granted(payload: bytes) -> Event:
    return wire.decode_body("granted", payload)


def parse_fault(payload: bytes) -> Event:
    return wire.decode_body("fault_raised", payload)


PARSERS: list[Callable[[bytes], object]] = [
    wire.parse_ack,
    wire.parse_enrol,
    wire.parse_erase,
    parse_granted,
    parse_fault,
]
NONSENSE = {
    "nothing": b"",
    "NUL": b"\0",
    "no text": b"\xff\xfe",
    "no text in a string": b'"\xff"',
    "no text in a key": b'{"\xff": 1}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not a number": b"NaN",
    "nested lists": b"[" * 16_000,
    "nested objects": b'{"a":' * 3_000,
    "nested lists in a field": b'{"more":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
    "two values": b'{"v": 1, "seq": 7} {}',
    "a huge number": b"9" * 16_000,
    "too long": b"{" + b" " * wire.MAX_PAYLOAD + b"}",
}
ACK = {"v": 1, "seq": 7}
ENROL = {"v": 1, "id": "r-1", "action": "start", "code": "012345"}

ERASE = {"v": 1, "id": "r-1", "subject": "s-0123456789abcdef", "code": "5f3a9c0b71d2e84610aa"}


def read(payload: bytes) -> Any:  # noqa: ANN401 - JSON
    return json.loads(payload)


def written(**changes: object) -> bytes:
    return json.dumps(ENROL | changes).encode()


def leaving(**changes: object) -> bytes:
    return json.dumps(ERASE | changes).encode()


# --- topics


def test_the_topics_are_those_in_the_documentation() -> None:
    topics = wire.Topics("front")
    assert topics.status == "doorward/front/status"
    assert topics.lock_state == "doorward/front/lock/state"
    assert topics.event == "doorward/front/event"
    assert topics.backlog == "doorward/front/event/backlog"
    assert topics.ack == "doorward/front/event/ack"
    assert topics.head == "doorward/front/event/head"
    assert topics.erase == "doorward/front/cmd/erase"
    assert topics.enrol == "doorward/front/cmd/enrol"
    assert topics.reply("r-1") == "doorward/front/reply/r-1"


# --- events


def test_every_event_has_the_kind_that_collectors_know() -> None:
    shapes = get_args(Event)
    assert {shape.__name__ for shape in shapes} == set(KINDS)
    for shape in shapes:
        assert wire.event_kind(object.__new__(shape)) == KINDS[shape.__name__]


@given(events)
def test_every_event_comes_back_as_it_was_written(event: Event) -> None:
    assert wire.decode_body(wire.event_kind(event), wire.encode_body(event)) == event


def test_an_event_is_reported_with_its_number_its_boot_and_its_times() -> None:
    assert read(wire.encode_event(Recorded(4, "boot", NOW, GRANTED))) == {
        "v": 1,
        "seq": 4,
        "boot_id": "boot",
        "monotonic": 12.5,
        "wall": 1_795_000_000.25,
        "time_trusted": True,
        "kind": "granted",
        "event": {
            "subject": "s-1",
            "method": "face",
            "score": 0.71,
            "threshold": 0.55,
            "margin": None,
            "frames": 3,
            "faces": 2,
            "latency_ms": 81.5,
        },
    }


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (EnrolmentLapsed(), {}),
        (
            ConsentSuspended(SubjectId("s-1"), Suspension.NO_GUARDIAN),
            {"subject": "s-1", "reason": "no_guardian"},
        ),
        (Erased(SubjectId("s-1"), ErasureCause.UNUSED), {"subject": "s-1", "cause": "unused"}),
        (Erased(SubjectId("s-1")), {"subject": "s-1", "cause": "requested"}),
        (
            ErasureCertified(SubjectId("s-1"), "text\n\n— doorward/1 c2ln\n"),
            {"subject": "s-1", "certificate": "text\n\n— doorward/1 c2ln\n"},
        ),
        (LogPruned(7), {"up_to": 7}),
        (Restored(7), {"up_to": 7}),
        (Forgotten("granted"), {"kind": "granted"}),
    ],
)
def test_an_event_has_the_fields_that_are_documented(event: Event, body: dict[str, object]) -> None:
    assert read(wire.encode_body(event)) == body


def test_an_erasure_from_before_there_were_causes_was_asked_for() -> None:
    assert wire.decode_body("erased", b'{"subject": "s-1"}') == Erased(SubjectId("s-1"))


def test_the_head_of_the_log_is_no_part_of_an_event() -> None:
    assert b"signed" not in wire.encode_event(Recorded(4, "boot", NOW, GRANTED, "signed"))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_an_event_whose_numbers_json_would_change_is_refused(number: float) -> None:
    # msgspec would write null, and a margin of None means that nobody else is enrolled.
    with pytest.raises(ValueError, match="seconds is not finite"):
        wire.encode_body(LockedOut(5, number))
    with pytest.raises(ValueError, match="finite times"):
        wire.encode_event(Recorded(1, "boot", Now(number, 0.0, 0, trusted=True), DENIED))
    with pytest.raises(ValueError, match="finite times"):
        wire.encode_event(Recorded(1, "boot", Now(0.0, number, 0, trusted=True), DENIED))


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (LockedOut(2**63, 30.0), "out of range"),
        (FaultRaised(Part.CAMERA, "a\0b"), "NUL"),
        (FaultRaised(Part.CAMERA, "\ud800"), "surrogates not allowed"),
        (FaultRaised(Part.CAMERA, "x" * wire.MAX_PAYLOAD), "longer than"),
    ],
)
def test_an_event_that_could_not_be_read_back_is_not_written(event: Event, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        wire.encode_body(event)


@pytest.mark.parametrize(
    "biometric",
    [
        Frame(np.zeros((4, 4, 3), np.uint8), 0.0),
        Embedding(np.eye(1, 8, dtype=np.float32)[0], "model"),
        np.zeros(8, np.float32),
    ],
)
def test_nothing_biometric_can_be_encoded(biometric: Any) -> None:  # noqa: ANN401
    with pytest.raises(TypeError):
        msgspec.json.encode(biometric)
    with pytest.raises(ValueError, match="is no event"):
        wire.encode_body(biometric)
    with pytest.raises(ValueError, match="unsupported"):
        wire.encode_body(Revoked(biometric))


def test_an_unknown_kind_of_event_is_refused() -> None:
    with pytest.raises(ValueError, match="no event 'opened'"):
        wire.decode_body("opened", b"{}")


# --- states and replies


def test_states_are_spelt_as_home_assistant_spells_them() -> None:
    assert wire.encode_lock_state(LockState.LOCKED) == b"LOCKED"
    assert wire.encode_lock_state(LockState.UNLOCKED) == b"UNLOCKED"
    assert (wire.ONLINE, wire.OFFLINE) == (b"online", b"offline")


def test_a_reply_names_the_request_and_the_subject_to_come() -> None:
    start = wire.parse_enrol(written())
    assert read(wire.encode_reply(start, SubjectId("s-1"))) == {
        "v": 1,
        "id": "r-1",
        "action": "start",
        "subject": "s-1",
    }
    cancel = wire.parse_enrol(written(action="cancel", code=None))
    assert read(wire.encode_reply(cancel, None)) == {"v": 1, "id": "r-1", "action": "cancel"}


def test_a_reply_to_an_erasure_says_nothing_of_the_code() -> None:
    request = wire.parse_erase(leaving())
    assert read(wire.encode_reply(request, request.subject)) == {
        "v": 1,
        "id": "r-1",
        "action": "erase",
        "subject": "s-0123456789abcdef",
    }


# --- commands


def test_an_acknowledgement_is_read() -> None:
    assert wire.parse_ack(b'{"v": 1, "seq": 7}') == 7
    assert wire.parse_ack(b'{"v": 1, "seq": 9223372036854775807}') == 2**63 - 1


def test_a_command_to_enrol_is_read_and_its_code_stays_out_of_logs() -> None:
    request = wire.parse_enrol(written())
    assert request == wire.EnrolRequest("r-1", "start", "012345")
    assert "012345" not in repr(request)
    cancel = wire.parse_enrol(b'{"v": 1, "id": "A_-9", "action": "cancel"}')
    assert cancel == wire.EnrolRequest("A_-9", "cancel", None)


@pytest.mark.parametrize(
    "payload",
    [
        written(v=2),
        written(v=True),
        written(v="1"),
        written(id=""),
        written(id="a/b"),
        written(id="+"),
        written(id="a\n"),
        written(id="x" * 65),
        written(id=1),
        written(action="unlock"),
        written(action="start", code=None),
        written(action="cancel"),
        written(code="12345"),
        written(code="1234567"),
        written(code="123456\n"),
        written(code="١٢٣٤٥٦"),
        written(code=123456),
        written(subject="s-1"),
        b'{"v": 1, "id": "r", "action": "start"}',
        b'{"v": 1, "action": "cancel"}',
        b'{"id": "r", "action": "cancel"}',
    ],
)
def test_a_command_that_is_not_exactly_as_agreed_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire.parse_enrol(payload)


def test_a_command_to_erase_is_read_and_its_code_stays_out_of_logs() -> None:
    request = wire.parse_erase(leaving())
    subject = SubjectId("s-0123456789abcdef")
    assert request == wire.EraseRequest("r-1", subject, "5f3a9c0b71d2e84610aa")
    assert "MZXW6" not in repr(request)


@pytest.mark.parametrize(
    "payload",
    [
        leaving(v=2),
        leaving(v=True),
        leaving(id=""),
        leaving(id="a/b"),
        leaving(id="x" * 65),
        leaving(id=None),
        leaving(action="erase"),
        leaving(subject=""),
        leaving(subject="s-0123456789abcde"),
        leaving(subject="s-0123456789abcdef0"),
        leaving(subject="s-0123456789ABCDEF"),
        leaving(subject="s-0123456789abcdef\n"),
        leaving(subject="x-0123456789abcdef"),
        leaving(subject=None),
        leaving(code=""),
        leaving(code="5f3a9c0b71d2e84610a"),
        leaving(code="5f3a9c0b71d2e84610aab"),
        leaving(code="5F3A9C0B71D2E84610AA"),
        leaving(code="5f3a9c0b71d2e84610ag"),
        leaving(code="5f3a9c0b71d2e84610aa\n"),
        leaving(code=None),
        b'{"v": 1, "id": "r", "subject": "s-0123456789abcdef"}',
        b'{"v": 1, "id": "r", "code": "5f3a9c0b71d2e84610aa"}',
        b'{"v": 1, "subject": "s-0123456789abcdef", "code": "5f3a9c0b71d2e84610aa"}',
        b'{"id": "r", "subject": "s-0123456789abcdef", "code": "5f3a9c0b71d2e84610aa"}',
    ],
)
def test_a_command_to_erase_that_is_not_exactly_as_agreed_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire.parse_erase(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"v": 1, "seq": -1}',
        b'{"v": 1, "seq": 9223372036854775808}',
        b'{"v": 1, "seq": 1' + b"0" * 400 + b"}",
        b'{"v": 1, "seq": 1.5}',
        b'{"v": 1, "seq": true}',
        b'{"v": 1, "seq": null}',
        b'{"v": 1, "seq": "7"}',
        b'{"v": 1, "seq": NaN}',
        b'{"v": 1, "seq": 1e999}',
        b'{"v": 1, "seq": 7, "door": "back"}',
        b'{"seq": 7}',
        b"7",
    ],
)
def test_an_acknowledgement_that_is_not_exactly_as_agreed_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire.parse_ack(payload)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("payload", NONSENSE.values(), ids=NONSENSE)
def test_bytes_that_mean_nothing_are_refused(
    parser: Callable[[bytes], object], payload: bytes
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parser(payload)
    assert caught.type is ValueError


def test_a_payload_is_read_up_to_its_limit_and_not_beyond() -> None:
    ack = b'{"v": 1, "seq": 7}'
    assert wire.parse_ack(ack.ljust(wire.MAX_PAYLOAD)) == 7
    with pytest.raises(ValueError, match="more than 16384"):
        wire.parse_ack(ack.ljust(wire.MAX_PAYLOAD + 1))


@pytest.mark.parametrize(
    ("parser", "payload"),
    [
        (wire.parse_ack, b'{"v": 1, "seq": 7, "seq": 8}'),
        (wire.parse_ack, b'{"v": 1, "seq": 7, "\\u0073eq": 8}'),
        (wire.parse_enrol, written().replace(b'"v"', b'"action": "cancel", "v"')),
        (wire.parse_erase, leaving().replace(b'"v"', b'"id": "r-2", "v"')),
        (parse_fault, b'{"part": "camera", "part": "store", "reason": ""}'),
        (parse_fault, b'{"part": "camera", "reason": "", "more": {"a": 1, "a": 2}}'),
    ],
)
def test_a_key_that_occurs_twice_is_refused(
    parser: Callable[[bytes], object], payload: bytes
) -> None:
    with pytest.raises(ValueError, match="a key occurs twice"):
        parser(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"part": "camera", "reason": "a\\u0000b"}',
        b'{"part": "camera", "reason": "a\0b"}',
        b'{"part": "camera", "reason": "\\ud800"}',
        b'{"part": "moon", "reason": ""}',
        b'{"part": "camera"}',
    ],
)
def test_an_event_that_was_never_written_like_that_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_fault(payload)


def test_an_event_with_a_number_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="refusals is out of range"):
        wire.decode_body("locked_out", b'{"refusals": 9223372036854775808, "seconds": 30}')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["start", "cancel", "012345", "r-1", "camera", *map(str, ERASE.values())]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*ACK, *ENROL, *ERASE, "part", "reason"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(PARSERS), st.binary(max_size=200))
@example(wire.parse_enrol, b'{"v":1,"id":"\xff"}')
def test_arbitrary_bytes_are_refused_or_read(
    parser: Callable[[bytes], object], payload: bytes
) -> None:
    try:
        parser(payload)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - success is welcome too


@given(st.sampled_from(PARSERS), json_values)
def test_arbitrary_json_is_refused_or_read(
    parser: Callable[[bytes], object], value: object
) -> None:
    try:
        parser(json.dumps(value).encode())
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017


@given(st.sampled_from([ACK, ENROL, ERASE]), st.integers(0, 100), st.integers(0, 255))
def test_a_message_with_one_byte_changed_never_breaks_the_parser(
    message: dict[str, object], place: int, byte: int
) -> None:
    payload = bytearray(json.dumps(message).encode())
    assume(place < len(payload))
    payload[place] = byte
    for parser in (wire.parse_ack, wire.parse_enrol, wire.parse_erase):
        try:
            parser(bytes(payload))
        except ValueError as error:
            assert type(error) is ValueError  # noqa: PT017
