import json
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import assume, example, given, strategies as st

from agent.core.events import (
    ClockSet,
    Commanded,
    CommandRejected,
    ConsentSuspended,
    ControllerTrusted,
    Denied,
    EnrolmentLapsed,
    Erased,
    ErasureCause,
    ErasureCertified,
    Event,
    FaultRaised,
    Forgotten,
    HeldOpen,
    LockedOut,
    LogPruned,
    Part,
    PolicyChanged,
    Restored,
    Revoked,
    Tampered,
)
from agent.core.orders import MAX_PAYLOAD, ControllerId, Operation, Rejection
from agent.core.types import Embedding, Frame, Now, Reason, SubjectId, Suspension
from agent.ports import Recorded
from agent.wire.events import (
    EVENTS,
    decode_body,
    encode_ack,
    encode_body,
    encode_event,
    event_kind,
    parse_ack,
    read_envelope,
)
from tests.residents import GRANTED, NOW
from tests.wire.samples import NONSENSE, events, json_values, numbers

DENIED = Denied(Reason.REVOKED, SubjectId("s-1"), frames=3, faces=1)
KINDS = {
    "Started": "started",
    "Granted": "granted",
    "Denied": "denied",
    "Admitted": "admitted",
    "VisitorAdmitted": "visitor_admitted",
    "CodeDenied": "code_denied",
    "CodesLockedOut": "codes_locked_out",
    "DuressSignalled": "duress_signalled",
    "CredentialsChanged": "credentials_changed",
    "VisitorInvited": "visitor_invited",
    "VisitorForgotten": "visitor_forgotten",
    "SelfServiceBegun": "self_service_begun",
    "AttackPresented": "attack_presented",
    "LockedOut": "locked_out",
    "DoorbellRang": "doorbell_rang",
    "ExitRequested": "exit_requested",
    "ForcedOpen": "forced_open",
    "HeldOpen": "held_open",
    "Tampered": "tampered",
    "Commanded": "commanded",
    "CommandRejected": "command_rejected",
    "ControllerTrusted": "controller_trusted",
    "ControllerRemoved": "controller_removed",
    "PolicyChanged": "policy_changed",
    "ClockSet": "clock_set",
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


def parse_granted(payload: bytes) -> Event:
    return decode_body("granted", payload)


def parse_fault(payload: bytes) -> Event:
    return decode_body("fault_raised", payload)


PARSERS: list[Callable[[bytes], object]] = [parse_ack, read_envelope, parse_granted, parse_fault]


def read(payload: bytes) -> Any:  # noqa: ANN401 - JSON
    return json.loads(payload)


# --- there and back


def test_every_event_has_the_kind_that_collectors_know() -> None:
    shapes = get_args(Event)
    assert {shape.__name__ for shape in shapes} == set(KINDS)
    assert set(EVENTS) == set(KINDS.values())
    for shape in shapes:
        assert event_kind(object.__new__(shape)) == KINDS[shape.__name__]


@given(events)
def test_every_event_comes_back_as_it_was_written(event: Event) -> None:
    assert decode_body(event_kind(event), encode_body(event)) == event


@given(events, st.integers(1, 2**63 - 1), st.text(max_size=40), numbers, numbers, st.booleans())
def test_a_collector_reads_what_the_door_wrote(
    event: Event, seq: int, boot_id: str, monotonic: float, wall: float, trusted: bool
) -> None:
    assume(boot_id.isprintable())
    now = Now(monotonic, wall, 0, trusted)
    envelope = read_envelope(encode_event(Recorded(seq, boot_id, now, event)))
    assert (envelope.seq, envelope.boot_id) == (seq, boot_id)
    assert (envelope.monotonic, envelope.wall) == (monotonic, wall)
    assert envelope.time_trusted is trusted
    assert decode_body(envelope.kind, bytes(envelope.event)) == event


@given(st.integers(0, 2**63 - 1))
def test_an_acknowledgement_comes_back_as_it_was_written(seq: int) -> None:
    assert parse_ack(encode_ack(seq)) == seq


def test_an_event_is_reported_with_its_number_its_boot_and_its_times() -> None:
    assert read(encode_event(Recorded(4, "boot", NOW, GRANTED))) == {
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


def test_a_collector_reads_kinds_and_fields_that_are_yet_to_come() -> None:
    told = read(encode_event(Recorded(4, "boot", NOW, GRANTED)))
    later = told | {"kind": "levitated", "event": {"height": 1}, "more": [1]}
    envelope = read_envelope(json.dumps(later).encode())
    assert (envelope.kind, read(bytes(envelope.event))) == ("levitated", {"height": 1})


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
        (HeldOpen(60.0), {"seconds": 60.0}),
        (Tampered(True), {"active": True}),
        (
            Commanded(ControllerId("ab" * 8), Operation.UNLOCK, "r-1", None),
            {"controller": "ab" * 8, "operation": "unlock", "request": "r-1", "subject": None},
        ),
        (CommandRejected(Rejection.REPLAYED, 4), {"reason": "replayed", "count": 4}),
        (ControllerTrusted(ControllerId("ab" * 8)), {"controller": "ab" * 8}),
        (PolicyChanged(SubjectId("s-1")), {"subject": "s-1"}),
        (ClockSet(-3.5), {"by": -3.5}),
    ],
)
def test_an_event_has_the_fields_that_are_documented(event: Event, body: dict[str, object]) -> None:
    assert read(encode_body(event)) == body


def test_an_erasure_from_before_there_were_causes_was_asked_for() -> None:
    assert decode_body("erased", b'{"subject": "s-1"}') == Erased(SubjectId("s-1"))


def test_the_head_of_the_log_is_no_part_of_an_event() -> None:
    assert b"signed" not in encode_event(Recorded(4, "boot", NOW, GRANTED, "signed"))


# --- what is not written


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_an_event_whose_numbers_json_would_change_is_refused(number: float) -> None:
    # msgspec would write null, and a margin of None means that nobody else is enrolled.
    with pytest.raises(ValueError, match="seconds is not finite"):
        encode_body(LockedOut(5, number))
    with pytest.raises(ValueError, match="finite times"):
        encode_event(Recorded(1, "boot", Now(number, 0.0, 0, trusted=True), DENIED))
    with pytest.raises(ValueError, match="finite times"):
        encode_event(Recorded(1, "boot", Now(0.0, number, 0, trusted=True), DENIED))


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (LockedOut(2**63, 30.0), "out of range"),
        (FaultRaised(Part.CAMERA, "a\0b"), "NUL"),
        (FaultRaised(Part.CAMERA, "\ud800"), "surrogates not allowed"),
        (FaultRaised(Part.CAMERA, "x" * MAX_PAYLOAD), "longer than"),
    ],
)
def test_an_event_that_could_not_be_read_back_is_not_written(event: Event, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encode_body(event)


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
        encode_body(biometric)
    with pytest.raises(ValueError, match="unsupported"):
        encode_body(Revoked(biometric))


# --- what is not read


def test_an_unknown_kind_of_event_is_refused() -> None:
    with pytest.raises(ValueError, match="no event 'opened'"):
        decode_body("opened", b"{}")


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
        b'{"v": 2, "seq": 7}',
        b'{"v": true, "seq": 7}',
        b'{"seq": 7}',
        b"7",
    ],
)
def test_an_acknowledgement_that_is_not_exactly_as_agreed_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_ack(payload)


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
    assert parse_ack(ack.ljust(MAX_PAYLOAD)) == 7
    with pytest.raises(ValueError, match="more than 16384"):
        parse_ack(ack.ljust(MAX_PAYLOAD + 1))


@pytest.mark.parametrize(
    ("parser", "payload"),
    [
        (parse_ack, b'{"v": 1, "seq": 7, "seq": 8}'),
        (parse_ack, b'{"v": 1, "seq": 7, "\\u0073eq": 8}'),
        (parse_fault, b'{"part": "camera", "part": "store", "reason": ""}'),
        (parse_fault, b'{"part": "camera", "reason": "", "more": {"a": 1, "a": 2}}'),
        (
            read_envelope,
            encode_event(Recorded(4, "b", NOW, DENIED)).replace(b'"v":1', b'"v":1,"v":1'),
        ),
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
        decode_body("locked_out", b'{"refusals": 9223372036854775808, "seconds": 30}')


@given(st.sampled_from(PARSERS), st.binary(max_size=200))
@example(parse_ack, b'{"v":1,"seq":"\xff"}')
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


@given(
    st.sampled_from([b'{"v": 1, "seq": 7}', encode_event(Recorded(4, "b", NOW, DENIED))]), st.data()
)
def test_a_message_with_one_byte_changed_never_breaks_the_parser(
    message: bytes, data: st.DataObject
) -> None:
    payload = bytearray(message)
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    for parser in PARSERS:
        try:
            parser(bytes(payload))
        except ValueError as error:
            assert type(error) is ValueError  # noqa: PT017
