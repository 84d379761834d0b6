"""The schemas in docs/schema/ say what the code reads and writes."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.core.effects import Answer
from agent.core.events import Event
from agent.core.orders import Order
from agent.core.rules import Condition
from agent.ports import Recorded, SubjectRow
from agent.wire.commands import SIGNATURE_BYTES, encode_order
from agent.wire.events import EVENTS, encode_ack, encode_event
from agent.wire.format import decode
from agent.wire.states import (
    encode_answer,
    encode_challenge,
    encode_held,
    encode_list,
    encode_state,
)
from tests.residents import NOW
from tests.schemas import DIALECT, FOLDER, KINDS, files, schemas
from tests.wire.samples import (
    CONTROLLER,
    HEXADECIMAL,
    PRIVATE,
    answers,
    conditions,
    digits,
    events,
    json_values,
    orders,
    rows,
)
from tests.wire.validating import objections

SCHEMAS = schemas()
NAMES = sorted(SCHEMAS)
SUBJECT = "s-0123456789abcdef"
ORDER = {
    "v": 1,
    "door": "front",
    "controller": CONTROLLER,
    "challenge": "ab" * 16,
    "counter": 1,
    "id": "r-1",
}
ABOUT: dict[str, dict[str, Any]] = {
    "enrol": {"action": "start", "household": "flat 1", "not_before": 1.5, "schedule": ""},
    "policy": {"subject": SUBJECT, "not_after": None, "schedule": "mon 08:00-18:00"},
    "list": {"after": SUBJECT},
    **{operation: {"subject": SUBJECT} for operation in ("revoke", "erase", "export")},
}
SAMPLES: dict[str, dict[str, Any]] = {
    "ack": {"v": 1, "seq": 7},
    "challenge": {"v": 1, "challenge": "ab" * 16},
    "reply": {"v": 1, "id": "r-1", "result": "refused", "reason": "stale"},
    "state": {
        "v": 1,
        "residents": 3,
        "fpir": 0.0001,
        "fpir_met": True,
        "sureness": "with 3 compared",
        "last_decision_ms": None,
        "tamper": False,
        "faults": ["camera"],
        "refused": {"forged": 2},
        "log_begins": 1,
        "pad": "flash",
    },
    "event": {
        "v": 1,
        "seq": 42,
        "boot_id": "boot",
        "monotonic": 12.5,
        "wall": 1_795_000_000.25,
        "time_trusted": True,
        "kind": "locked_out",
        "event": {"refusals": 5, "seconds": 30.0},
    },
    "duress": {"v": 1, "subject": SUBJECT, "seq": 43, "wall": None},
    "cmd-broker-lock": {"v": 1, "action": "OPEN", "expires": 1_795_000_000},
    "cmd-broker-button": {"v": 1, "expires": 1_795_000_000},
    "cmd-leave": {"v": 1, "id": "r-1", "subject": SUBJECT, "code": "5f3a9c0b71d2e84610aa"},
    **{
        name: ORDER | {"op": name.removeprefix("cmd-")} | ABOUT.get(name.removeprefix("cmd-"), {})
        for name in KINDS
        if name.startswith("cmd-") and name != "cmd-leave" and "broker" not in name
    },
}
# What readers may meet more of later, and what must be exactly as agreed.
OPEN = {"event", "reply", "state", "duress"}


def valid(name: str, payload: bytes) -> bool:
    return objections(SCHEMAS[name], json.loads(payload)) == []


# --- the files


def test_the_files_are_what_the_code_generates() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")}
    assert there == files(), "docs/schema/ is not what the code says: run `make schemas`"


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_in_the_words_of_json_and_of_every_validator(name: str) -> None:
    schema = SCHEMAS[name]
    assert list(schema)[:3] == ["$schema", "title", "description"]
    assert schema["$schema"] == DIALECT
    text = json.dumps(schema)
    assert r"\\A" not in text
    assert r"\\Z" not in text
    assert "None" not in text
    patterns = re.findall(r'"pattern": "(.*?)"', text)
    assert all(pattern.startswith("^") and pattern.endswith("$") for pattern in patterns)
    named = set(re.findall(r'"#/\$defs/(\w+)"', text))
    assert named == set(schema.get("$defs", {}))


def test_every_kind_of_event_is_bound_to_its_own_fields() -> None:
    bound = {
        each["properties"]["kind"]["const"]: each["properties"]["event"]["$ref"]
        for each in SCHEMAS["event"]["oneOf"]
    }
    assert bound == {kind: f"#/$defs/{shape.__name__}" for kind, shape in EVENTS.items()}


# --- what the code writes is valid


@given(events, st.integers(1, 2**63 - 1))
def test_every_event_that_is_written_is_valid(event: Event, seq: int) -> None:
    assert valid("event", encode_event(Recorded(seq, "boot", NOW, event)))


@given(orders)
def test_every_order_that_is_signed_is_valid(order: Order) -> None:
    payload = encode_order(order, PRIVATE.sign)
    assert valid(f"cmd-{order.operation}", payload[SIGNATURE_BYTES:])


@given(conditions)
def test_every_condition_that_is_told_is_valid(condition: Condition) -> None:
    assert valid("state", encode_state(condition, 1))


@given(answers, st.lists(rows, max_size=3), rows)
def test_every_answer_is_valid(
    answer: Answer, residents: list[SubjectRow], resident: SubjectRow
) -> None:
    assert valid("reply", encode_answer(answer))
    assert valid("reply", encode_list(answer, residents, more=True))
    assert valid("reply", encode_held(answer, resident))


@given(st.integers(0, 2**63 - 1), digits(HEXADECIMAL, 32))
def test_every_acknowledgement_and_challenge_is_valid(seq: int, challenge: str) -> None:
    assert valid("ack", encode_ack(seq))
    assert valid("challenge", encode_challenge(challenge))


# --- what the code does not read is not valid


def test_there_is_a_sample_of_everything() -> None:
    assert set(SAMPLES) == set(SCHEMAS)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_message_is_not_valid(name: str) -> None:
    schema, sample = SCHEMAS[name], SAMPLES[name]
    assert objections(schema, sample) == []
    required = schema["required"]
    assert required
    for key in required:
        assert objections(schema, {each: sample[each] for each in sample if each != key}), key
    for key in sample:
        assert objections(schema, sample | {key: [[]]}), key
    for version in (0, 2, True, "1", None):
        assert objections(schema, sample | {"v": version})
    for nothing in (None, [], "", 1, [sample]):
        assert objections(schema, nothing)
    assert bool(objections(schema, sample | {"yet_to_come": 1})) is (name not in OPEN)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "opened"},
        {"kind": "granted"},
        {"event": {}},
        {"event": {"refusals": 5}},
        {"event": {"refusals": 5.5, "seconds": 30}},
        {"event": {"refusals": "5", "seconds": 30}},
        {"seq": 0},
        {"seq": 2**63},
        {"wall": None},
        {"time_trusted": 1},
    ],
)
def test_an_event_of_another_kind_than_it_says_is_not_valid(change: dict[str, Any]) -> None:
    assert objections(SCHEMAS["event"], SAMPLES["event"] | change)


@pytest.mark.parametrize(
    "change",
    [
        {"fpir": 1.5},
        {"residents": -1},
        {"sureness": None},
        {"residents": 2.5},
        {"faults": [1]},
        {"faults": "camera"},
        {"refused": {"forged": "2"}},
    ],
)
def test_a_state_of_other_types_is_not_valid(change: dict[str, Any]) -> None:
    assert objections(SCHEMAS["state"], SAMPLES["state"] | change)


@pytest.mark.parametrize("change", [{"faults": ["moon"]}, {"refused": {"tired": 1}}])
def test_a_word_of_a_later_version_is_valid(change: dict[str, Any]) -> None:
    assert objections(SCHEMAS["state"], SAMPLES["state"] | change) == []


def test_a_word_that_no_door_reads_is_not_valid() -> None:
    assert objections(SCHEMAS["cmd-enrol"], SAMPLES["cmd-enrol"] | {"action": "wait"})


def readable(shape: type, value: object) -> bool:
    try:
        decode(json.dumps(value).encode(), shape)
    except ValueError:
        return False
    return True


@given(st.sampled_from(sorted(set(KINDS) - OPEN)), st.data())
def test_a_message_is_valid_exactly_where_the_code_reads_it(name: str, data: st.DataObject) -> None:
    value = dict(SAMPLES[name])
    change = st.sampled_from(sorted(value)) | st.just("more")
    value[data.draw(change)] = data.draw(json_values)
    assert (objections(SCHEMAS[name], value) == []) == readable(KINDS[name], value)


def test_the_validator_of_these_tests_knows_what_it_is_asked() -> None:
    # It would raise KeyError for a keyword that it does not know, were one ever used.
    with pytest.raises(KeyError):
        objections({"multipleOf": 2}, 1)
    assert objections({"type": "integer"}, True)
    assert objections({"enum": [1]}, True)
    assert objections({"pattern": "^a$"}, "a\n")
    assert objections({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1)
    assert objections({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1.5) == []
