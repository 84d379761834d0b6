"""docs/mqtt.md and the code say the same."""

import json
import re
from dataclasses import fields
from inspect import getmembers
from pathlib import Path

import pytest

from agent.adapters.link import KEEPALIVE, PACKET
from agent.core.guard import FRESH, LONGEST_EXPIRY, ROTATION
from agent.core.orders import MAX_PAYLOAD, Button, Operation, Rejection
from agent.reporting import WINDOW
from agent.wire.commands import DOMAIN, SHAPES, SIGNATURE_BYTES, LeaveRequest, Signed
from agent.wire.events import EVENTS, Envelope
from agent.wire.states import PAGE, Entry, Held, Reply, State
from agent.wire.topics import Topics
from tests.schemas import KINDS, schemas
from tests.wire.validating import objections

PAGE_OF_MQTT = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text(encoding="utf-8")
SECTIONS = {
    title: rest
    for title, _, rest in (each.partition("\n") for each in PAGE_OF_MQTT.split("\n## ")[1:])
}
# ```json and the kind of message that it is an example of
BLOCKS = re.findall(r"^```json *(.*?)\n(.*?)^```$", PAGE_OF_MQTT, re.DOTALL | re.MULTILINE)
SCHEMAS = schemas()
COMMON = set(Signed.__struct_fields__) | {"op"}


def table(section: str, first: str) -> dict[str, str]:
    """The table whose first column has this head: what is named there to the rest of its row."""
    _, head, rest = SECTIONS[section].partition(f"\n| {first} |")
    assert head, f"no table in {section!r} begins with {first!r}"
    rows = rest.split("\n\n")[0].splitlines()[2:]
    found = (re.fullmatch(r"\| (`.*?`) \|(.*)\|", row) for row in rows)
    return {
        name: row[2]
        for row in found
        if row is not None
        for name in re.findall(r"`(.*?)`", row[1].partition(" |")[0])
    }


def named(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


# --- topics


def test_the_table_of_topics_has_every_topic_and_no_other() -> None:
    topics = Topics("front")
    spoken = {name for name, _ in getmembers(Topics, lambda each: isinstance(each, property))}
    commands = ("<operation>", "broker/lock", "broker/enrol", "broker/identify", "leave")
    assert {each for each in table("Topics", "topic") if each.startswith("doorward/")} == {
        *(getattr(topics, name) for name in spoken),
        *map(topics.command, commands),
        topics.reply("<id>"),
    }
    # Home Assistant's lock has one topic for both.
    assert set(commands) >= {f"broker/{each}" for each in set(Button) - {Button.UNLOCK}}


# --- events


def test_the_table_of_kinds_has_every_kind_of_event_and_no_other() -> None:
    assert set(table("Events", "kind")) == set(EVENTS)


@pytest.mark.parametrize("kind", EVENTS)
def test_a_kind_of_event_is_documented_with_each_of_its_fields(kind: str) -> None:
    has = {each.name for each in fields(EVENTS[kind])}
    row = table("Events", "kind")[kind]
    assert has <= named(row)
    assert bool(has) or row.strip().startswith("none")


def test_what_every_event_comes_with_is_documented() -> None:
    assert set(table("Events", "field")) == set(Envelope.__struct_fields__) - {"v"}


# --- commands


def test_the_table_of_operations_has_every_operation_and_no_other() -> None:
    assert set(table("Signed commands", "operation")) == set(Operation)


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_is_documented_with_each_of_its_fields(operation: Operation) -> None:
    has = set(SHAPES[operation].__struct_fields__) - COMMON
    further = table("Signed commands", "operation")[operation].partition(" | ")[0]
    assert has <= named(further)
    assert bool(has) or further.strip() == "none"


def test_what_every_signed_command_has_is_documented() -> None:
    assert set(table("Signed commands", "field")) == COMMON
    said = DOMAIN.decode().removesuffix("\n")
    assert f"`{said}`, a line feed" in SECTIONS["Signed commands"].replace("\n", " ")


def test_what_a_wish_to_leave_has_is_documented() -> None:
    (example,) = (json.loads(content) for kind, content in BLOCKS if kind == "cmd-leave")
    assert set(example) == set(LeaveRequest.__struct_fields__)
    assert set(example) - {"v", "id"} <= named(SECTIONS["Leaving"])


def test_every_reason_to_refuse_a_message_is_documented_and_no_other() -> None:
    assert set(table("Refusals", "reason")) == set(Rejection)


# --- what the door says


def test_every_field_of_a_reply_is_documented() -> None:
    rows = set(table("Replies", "field"))
    assert rows == set(Reply.__struct_fields__) - {"v", "id"}
    inside = {*Entry.__struct_fields__, *Held.__struct_fields__}
    assert inside <= named(SECTIONS["Replies"])


def test_every_field_of_the_state_is_documented() -> None:
    assert set(table("State", "field")) == set(State.__struct_fields__) - {"v"}


# --- examples and numbers


def test_there_is_an_example_of_every_kind_of_message() -> None:
    shown = {kind for kind, _ in BLOCKS}
    ordered = {f"cmd-{operation}" for operation in Operation}
    # The signed commands have most of their fields in common.
    assert shown >= {"event", *KINDS} - ordered
    assert shown & ordered


@pytest.mark.parametrize(
    ("kind", "content"), BLOCKS, ids=[f"{at}-{kind}" for at, (kind, _) in enumerate(BLOCKS)]
)
def test_an_example_is_what_it_claims_to_be(kind: str, content: str) -> None:
    assert kind in SCHEMAS, f"```json {kind}: name the schema after the word json"
    assert objections(SCHEMAS[kind], json.loads(content)) == []


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("Refusals", f"longer than {MAX_PAYLOAD:,} bytes"),
        ("Refusals", f"the last {FRESH:.0f} seconds"),
        ("Refusals", f"more than {LONGEST_EXPIRY:.0f} seconds"),
        ("Signed commands", f"every {ROTATION:.0f} seconds"),
        ("Signed commands", f"takes it for {FRESH:.0f}"),
        ("Signed commands", f"{SIGNATURE_BYTES} bytes of an Ed25519 signature"),
        ("Signed commands", f"{PAGE} at a time"),
        ("Unsigned commands", f"at most {LONGEST_EXPIRY:.0f} seconds"),
        ("Missing no event", f"more than {WINDOW} ahead"),
        ("The connection", f"above {PACKET // 1024} KB"),
        ("The connection", f"within some {2 * KEEPALIVE} seconds"),
        ("Topics", f"after some {1.5 * KEEPALIVE:.0f} seconds"),
    ],
)
def test_the_numbers_are_those_of_the_code(section: str, words: str) -> None:
    assert words in SECTIONS[section].replace("\n", " ")
