import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, example, given, strategies as st

from agent.core.orders import (
    MAX_PAYLOAD,
    Button,
    ControllerId,
    Delivered,
    Leave,
    Operation,
    Order,
    Press,
    RejectedError,
    Rejection,
)
from agent.core.types import Span, SubjectId, Terms, Validity
from agent.wire.commands import (
    DOMAIN,
    MAX_COUNTER,
    SHAPES,
    SIGNATURE_BYTES,
    controller_id,
    encode_order,
    read_command,
)
from tests.wire.samples import (
    CONTROLLER,
    NONSENSE,
    PRIVATE,
    PUBLIC,
    json_values,
    orders,
    trusted,
)

SUBJECT = SubjectId("s-0123456789abcdef")
CODE = "5f3a9c0b71d2e84610aa"
UNLOCK = Order(Operation.UNLOCK, "front", CONTROLLER, "ab" * 16, 1, "r-1")
ENROL = replace(
    UNLOCK,
    operation=Operation.ENROL,
    terms=Terms("", "flat 1", True, Validity(1.5, 2.5, (Span(480, 1080),))),
)
BODY: dict[str, Any] = {
    "op": "unlock",
    "v": 1,
    "door": "front",
    "controller": CONTROLLER,
    "challenge": "ab" * 16,
    "counter": 1,
    "id": "r-1",
}
OF_SUBJECT = BODY | {"subject": SUBJECT}
STARTS = BODY | {"op": "enrol", "action": "start"}
POLICY = OF_SUBJECT | {"op": "policy"}
LOCK_PRESS = {"v": 1, "action": "OPEN", "expires": 1_795_000_000}
BUTTON_PRESS = {"v": 1, "expires": 1_795_000_000}
LEAVE = {"v": 1, "id": "r-1", "subject": SUBJECT, "code": CODE}

Refused = tuple[Rejection, str | None]


def signed(body: bytes, sign: Callable[[bytes], bytes] = PRIVATE.sign) -> bytes:
    return sign(DOMAIN + body) + body


def ordered(body: dict[str, Any]) -> bytes:
    return signed(json.dumps(body).encode())


def refusal(topic: str, payload: bytes) -> Refused | None:
    """Why a command is refused, and the name for it; None where it is read."""
    try:
        read_command(Delivered(topic, payload), trusted)
    except RejectedError as error:
        return error.reason, error.request
    return None


MALFORMED = (Rejection.MALFORMED, None)
FORGED = (Rejection.FORGED, None)
UNKNOWN = (Rejection.UNKNOWN_CONTROLLER, None)
MALFORMED_BUT_SIGNED = (Rejection.MALFORMED, "r-1")


# --- signed commands


@given(orders)
@example(UNLOCK)
@example(ENROL)
@example(replace(ENROL, terms=None))
def test_every_order_comes_back_as_it_was_written(order: Order) -> None:
    delivered = Delivered(order.operation.value, encode_order(order, PRIVATE.sign))
    assert read_command(delivered, trusted) == order


def test_a_signed_command_is_a_signature_and_json() -> None:
    payload = encode_order(UNLOCK, PRIVATE.sign)
    signature, body = payload[:SIGNATURE_BYTES], payload[SIGNATURE_BYTES:]
    assert SIGNATURE_BYTES == 64
    assert json.loads(body) == BODY
    # Written out: a controller of another make signs these very bytes.
    PRIVATE.public_key().verify(signature, b"doorward command v1\n" + body)


def test_every_operation_has_its_own_shape() -> None:
    assert list(SHAPES) == list(Operation)
    assert {shape.__struct_config__.tag for shape in SHAPES.values()} == set(Operation)


@pytest.mark.parametrize("order", [UNLOCK, ENROL], ids=["unlock", "enrol"])
def test_with_a_single_bit_changed_anywhere_it_is_refused(order: Order) -> None:
    payload = encode_order(order, PRIVATE.sign)
    for bit in range(8 * len(payload)):
        changed = bytearray(payload)
        changed[bit // 8] ^= 1 << bit % 8
        found = refusal(order.operation, bytes(changed))
        assert found in {FORGED, MALFORMED, UNKNOWN}, bit
        assert found == FORGED or bit >= 8 * SIGNATURE_BYTES


@given(orders, st.data())
def test_of_every_order_a_single_changed_bit_leaves_nothing(
    order: Order, data: st.DataObject
) -> None:
    changed = bytearray(encode_order(order, PRIVATE.sign))
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    assert refusal(order.operation, bytes(changed)) in {FORGED, MALFORMED, UNKNOWN}


@given(orders, st.data())
def test_what_is_cut_off_or_goes_on_is_refused(order: Order, data: st.DataObject) -> None:
    payload = encode_order(order, PRIVATE.sign)
    shorter = payload[: data.draw(st.integers(0, len(payload) - 1))]
    assert refusal(order.operation, shorter) in {FORGED, MALFORMED}
    assert refusal(order.operation, payload + b" ") == FORGED


OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.mark.parametrize(
    "sign",
    [
        OTHER.sign,
        lambda message: PRIVATE.sign(message.removeprefix(DOMAIN)),
        lambda message: PRIVATE.sign(message.replace(b"v1", b"v2", 1)),
        lambda message: PRIVATE.sign(hashlib.sha512(message).digest()),
        lambda _: bytes(SIGNATURE_BYTES),
    ],
    ids=["another key", "no domain", "another domain", "a digest", "nothing"],
)
def test_a_signature_that_is_not_over_the_domain_and_the_command_is_forged(
    sign: Callable[[bytes], bytes],
) -> None:
    assert refusal("unlock", signed(json.dumps(BODY).encode(), sign)) == FORGED


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), b"\xff" * 32])
def test_with_a_key_that_is_none_everything_is_forged(key: bytes) -> None:
    delivered = Delivered("unlock", ordered(BODY))
    with pytest.raises(RejectedError) as caught:
        read_command(delivered, lambda _: key)
    assert (caught.value.reason, caught.value.request) == FORGED


def test_of_a_controller_that_nobody_trusts_nothing_is_believed() -> None:
    assert refusal("unlock", ordered(BODY | {"controller": "0" * 16})) == UNKNOWN
    # Not even that it is malformed: its key is asked for first.
    assert refusal("unlock", ordered({"op": "", "controller": "0" * 16, "id": "r"})) == UNKNOWN


@pytest.mark.parametrize("named", [each for each in Operation if each is not Operation.UNLOCK])
def test_a_command_on_the_topic_of_another_is_malformed(named: Operation) -> None:
    assert refusal(named, ordered(BODY)) == MALFORMED_BUT_SIGNED
    assert refusal("unlock", ordered(BODY | {"op": named})) == MALFORMED_BUT_SIGNED


@given(orders, st.sampled_from(Operation))
def test_no_order_is_read_on_a_topic_that_is_not_its_own(order: Order, topic: Operation) -> None:
    assume(topic is not order.operation)
    payload = encode_order(order, PRIVATE.sign)
    assert refusal(topic, payload) == (Rejection.MALFORMED, order.request)
    assert refusal("leave", payload) == MALFORMED


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("unlock", BODY | {"v": 2}),
    ("unlock", BODY | {"v": True}),
    ("unlock", BODY | {"v": "1"}),
    ("unlock", BODY | {"door": ""}),
    ("unlock", BODY | {"door": "x" * 33}),
    ("unlock", BODY | {"door": None}),
    ("unlock", BODY | {"challenge": "ab" * 15}),
    ("unlock", BODY | {"challenge": "AB" * 16}),
    ("unlock", BODY | {"challenge": "ab" * 16 + "\n"}),
    ("unlock", BODY | {"counter": 0}),
    ("unlock", BODY | {"counter": MAX_COUNTER + 1}),
    ("unlock", BODY | {"counter": 1.5}),
    ("unlock", BODY | {"counter": True}),
    ("unlock", BODY | {"counter": "1"}),
    ("unlock", BODY | {"op": "UNLOCK"}),
    ("unlock", BODY | {"seconds": 30}),
    ("unlock", OF_SUBJECT),
    *(
        ("unlock", {key: BODY[key] for key in BODY if key != gone})
        for gone in BODY
        if gone not in {"op", "controller", "id"}
    ),
    ("revoke", BODY | {"op": "revoke"}),
    ("revoke", OF_SUBJECT | {"op": "revoke", "subject": None}),
    ("revoke", OF_SUBJECT | {"op": "revoke", "subject": "s-1"}),
    ("erase", OF_SUBJECT | {"op": "erase", "subject": SUBJECT.upper()}),
    ("erase", OF_SUBJECT | {"op": "erase", "subject": SUBJECT + "\n"}),
    ("export", OF_SUBJECT | {"op": "export", "subject": "x" + SUBJECT[1:]}),
    ("list", OF_SUBJECT | {"op": "list"}),
    ("list", BODY | {"op": "list", "after": ""}),
    ("enrol", BODY | {"op": "enrol"}),
    ("enrol", STARTS | {"action": "stop"}),
    ("enrol", STARTS | {"household": ""}),
    ("enrol", STARTS | {"household": "x" * 65}),
    ("enrol", STARTS | {"administrator": 1}),
    ("enrol", STARTS | {"administrator": None}),
    ("enrol", STARTS | {"not_before": -1}),
    ("enrol", STARTS | {"not_after": 253_402_300_800}),
    ("enrol", STARTS | {"not_after": "tomorrow"}),
    ("enrol", STARTS | {"schedule": "always"}),
    ("enrol", STARTS | {"schedule": "mon 08:00-18:00," * 200}),
    ("enrol", STARTS | {"schedule": None}),
    ("enrol", STARTS | {"label": "Flat 1"}),
    ("policy", BODY | {"op": "policy"}),
    ("policy", POLICY | {"schedule": "mon 8-18-20"}),
    # Short as it comes, and long once it is spelled out day by day.
    ("policy", POLICY | {"schedule": ",".join(["mon-sun 0:0-0:1"] * 40)}),
    ("enrol", STARTS | {"schedule": ",".join(["mon-sun 0:0-0:1"] * 40)}),
    ("policy", POLICY | {"not_before": True}),
]


@pytest.mark.parametrize(("topic", "body"), WRONG)
def test_a_signed_command_that_is_not_exactly_as_agreed_is_refused_by_name(
    topic: str, body: dict[str, Any]
) -> None:
    assert refusal(topic, ordered(body)) == MALFORMED_BUT_SIGNED


@pytest.mark.parametrize(
    "body",
    [
        BODY | {"op": None},
        {key: BODY[key] for key in BODY if key != "op"},
        BODY | {"controller": CONTROLLER.upper()},
        BODY | {"controller": CONTROLLER + "\n"},
        BODY | {"controller": ""},
        BODY | {"controller": None},
        BODY | {"id": ""},
        BODY | {"id": "a/b"},
        BODY | {"id": "+"},
        BODY | {"id": "a\n"},
        BODY | {"id": "x" * 65},
        BODY | {"id": 1},
    ],
)
def test_a_command_that_says_not_what_it_is_or_whose_it_is_is_not_answered(
    body: dict[str, Any],
) -> None:
    assert refusal("unlock", ordered(body)) == MALFORMED


@pytest.mark.parametrize("topic", Operation)
def test_a_command_without_its_operation_is_good_for_none(topic: Operation) -> None:
    # Whoever can publish could otherwise put what was signed for one on the topic of another.
    for body in (BODY, OF_SUBJECT, STARTS, POLICY):
        anonymous = {key: value for key, value in body.items() if key != "op"}
        assert refusal(topic, ordered(anonymous)) == MALFORMED


def test_a_key_that_occurs_twice_is_refused_though_it_is_signed() -> None:
    body = json.dumps(BODY).encode()
    for twice in (b'"id": "r-2", "v"', b'"\\u0069d": "r-1", "v"'):
        assert refusal("unlock", signed(body.replace(b'"v"', twice))) == MALFORMED


NOT_ORDERS = [
    replace(UNLOCK, door=""),
    replace(UNLOCK, door="\ud800"),
    replace(UNLOCK, counter=0),
    replace(UNLOCK, counter=2**63),
    replace(UNLOCK, challenge=""),
    replace(UNLOCK, request="a/b"),
    replace(UNLOCK, controller=ControllerId("")),
    replace(UNLOCK, operation=Operation.REVOKE),
    replace(UNLOCK, operation=Operation.REVOKE, subject=SubjectId("s-1")),
    replace(UNLOCK, operation=Operation.POLICY, subject=SUBJECT, validity=Validity(-1.0)),
    # What the command has no field for would be lost on the way, without a word.
    replace(UNLOCK, subject=SUBJECT),
    replace(UNLOCK, operation=Operation.POLICY, subject=SUBJECT),
    replace(UNLOCK, operation=Operation.POLICY, subject=SUBJECT, validity=Validity(float("nan"))),
    replace(
        UNLOCK,
        operation=Operation.POLICY,
        subject=SUBJECT,
        validity=Validity(not_after=float("inf")),
    ),
    replace(ENROL, terms=Terms("Flat 1")),
    replace(ENROL, terms=Terms(minor=True, guardian="Ada")),
    replace(ENROL, terms=Terms(household="x" * 65)),
    replace(ENROL, terms=Terms(validity=Validity(schedule=(Span(0, 3000),)))),
]


@pytest.mark.parametrize("order", NOT_ORDERS)
def test_an_order_that_no_door_would_read_is_not_signed(order: Order) -> None:
    signatures = []

    def sign(message: bytes) -> bytes:
        signatures.append(message)
        return PRIVATE.sign(message)

    with pytest.raises(ValueError, match=r"."):
        encode_order(order, sign)
    assert signatures == []


def test_a_controller_is_named_after_its_key() -> None:
    assert controller_id(PUBLIC) == CONTROLLER == hashlib.sha256(PUBLIC).hexdigest()[:16]


# --- unsigned commands


@pytest.mark.parametrize(
    ("topic", "body", "meant"),
    [
        ("broker/lock", LOCK_PRESS, Button.UNLOCK),
        ("broker/lock", LOCK_PRESS | {"action": "UNLOCK"}, Button.UNLOCK),
        ("broker/lock", LOCK_PRESS | {"action": "LOCK"}, Button.LOCK),
        ("broker/enrol", BUTTON_PRESS, Button.ENROL),
        ("broker/identify", BUTTON_PRESS, Button.IDENTIFY),
    ],
)
def test_what_home_assistant_sends_is_read(topic: str, body: dict[str, Any], meant: Button) -> None:
    delivered = Delivered(topic, json.dumps(body).encode())
    assert read_command(delivered, trusted) == Press(meant, 1_795_000_000)


def test_a_wish_to_leave_is_read_and_its_code_stays_out_of_logs() -> None:
    wish = read_command(Delivered("leave", json.dumps(LEAVE).encode()), trusted)
    assert wish == Leave("r-1", SUBJECT, CODE)
    assert CODE not in repr(wish)


UNSIGNED: list[tuple[str, dict[str, Any]]] = [
    ("broker/lock", BUTTON_PRESS),
    ("broker/lock", LOCK_PRESS | {"action": "open"}),
    ("broker/lock", LOCK_PRESS | {"action": None}),
    ("broker/lock", LOCK_PRESS | {"code": "1234"}),
    ("broker/enrol", LOCK_PRESS),
    ("broker/identify", LOCK_PRESS),
    *(
        (topic, body | change)
        for topic, body in (("broker/lock", LOCK_PRESS), ("broker/enrol", BUTTON_PRESS))
        for change in (
            {"v": 2},
            {"v": True},
            {"expires": None},
            {"expires": "1795000000"},
            {"expires": -1},
            {"expires": 1e300},
            {"expires": float("nan")},
        )
    ),
    ("broker/enrol", {"v": 1}),
    ("broker/enrol", {"expires": 1_795_000_000}),
    ("leave", BUTTON_PRESS),
    *(
        ("leave", LEAVE | change)
        for change in (
            {"v": 2},
            {"v": True},
            {"id": ""},
            {"id": "a/b"},
            {"id": "x" * 65},
            {"id": None},
            {"action": "erase"},
            {"subject": ""},
            {"subject": "s-0123456789abcde"},
            {"subject": "s-0123456789abcdef0"},
            {"subject": "s-0123456789ABCDEF"},
            {"subject": "s-0123456789abcdef\n"},
            {"subject": "x-0123456789abcdef"},
            {"subject": None},
            {"code": ""},
            {"code": CODE[:-1]},
            {"code": CODE + "b"},
            {"code": CODE.upper()},
            {"code": CODE[:-1] + "g"},
            {"code": CODE + "\n"},
            {"code": None},
        )
    ),
    *(("leave", {key: LEAVE[key] for key in LEAVE if key != gone}) for gone in LEAVE),
]


@pytest.mark.parametrize(("topic", "body"), UNSIGNED)
def test_an_unsigned_command_that_is_not_exactly_as_agreed_is_refused(
    topic: str, body: dict[str, Any]
) -> None:
    payload = json.dumps(body).encode()
    assert refusal(topic, payload) == MALFORMED
    # A signature, where there is to be none, makes it no better.
    assert refusal(topic, signed(payload)) == MALFORMED


def test_a_key_that_occurs_twice_is_refused_in_an_unsigned_command() -> None:
    twice = json.dumps(LEAVE).encode().replace(b'"v"', b'"id": "r-2", "v"')
    assert refusal("leave", twice) == MALFORMED


# --- anything else

TOPICS = [*Operation, "broker/lock", "broker/enrol", "broker/identify", "leave"]


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "open",
        "UNLOCK",
        "unlock/now",
        "broker",
        "broker/",
        "broker/unlock",
        "leave/now",
        "#",
        "é",
    ],
)
def test_on_a_topic_that_means_nothing_nothing_is_read(topic: str) -> None:
    for body in (BODY, LOCK_PRESS, BUTTON_PRESS, LEAVE):
        assert refusal(topic, json.dumps(body).encode()) == MALFORMED
        assert refusal(topic, ordered(body)) == MALFORMED


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("payload", NONSENSE.values(), ids=NONSENSE)
def test_bytes_that_mean_nothing_are_malformed(topic: str, payload: bytes) -> None:
    assert refusal(topic, payload) == MALFORMED
    assert refusal(topic, signed(payload)) == MALFORMED


def test_a_command_is_read_up_to_its_limit_and_not_beyond() -> None:
    body = json.dumps(LEAVE).encode()
    assert refusal("leave", body.ljust(MAX_PAYLOAD)) is None
    assert refusal("leave", body.ljust(MAX_PAYLOAD + 1)) == MALFORMED


@given(st.sampled_from(TOPICS) | st.text(max_size=10), st.binary(max_size=300))
def test_arbitrary_bytes_are_rejected_and_nothing_else(topic: str, payload: bytes) -> None:
    assert refusal(topic, payload) == MALFORMED


SENT: dict[str, dict[str, Any]] = {
    "unlock": BODY,
    "enrol": STARTS,
    "policy": POLICY,
    "leave": LEAVE,
    "broker/lock": LOCK_PRESS,
    "broker/identify": BUTTON_PRESS,
}


@given(st.sampled_from(sorted(SENT)), st.data())
def test_a_command_with_any_field_changed_is_read_or_rejected_and_nothing_else(
    topic: str, data: st.DataObject
) -> None:
    body = dict(SENT[topic])
    body[data.draw(st.sampled_from([*body, "more"]))] = data.draw(json_values)
    payload = json.dumps(body).encode()
    found = refusal(topic, ordered(body) if topic in SHAPES else payload)
    assert found in [None, MALFORMED, UNKNOWN, (Rejection.MALFORMED, body.get("id"))]
