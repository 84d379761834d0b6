import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from agent.core.credentials import Reader, VisitorId
from agent.core.events import (
    Admitted,
    AttackPresented,
    CodeDenied,
    CodesLockedOut,
    Commanded,
    Denied,
    DoorbellRang,
    DuressSignalled,
    Enrolled,
    Event,
    FaultRaised,
    HeldOpen,
    Part,
    Revoked,
    Started,
    Tampered,
    VisitorAdmitted,
)
from agent.core.guard import LONGEST_EXPIRY
from agent.core.orders import Button, Delivered, Operation, Press
from agent.core.types import AuthorityKind, LockState, Method, Now, Reason, SubjectId
from agent.ports import Recorded
from agent.wire import events
from agent.wire.commands import read_command
from agent.wire.discovery import (
    ACCESS,
    PATIENCE,
    Discovery,
    access,
    birth_topic,
    messages,
    removal,
    ring,
)
from agent.wire.states import State
from agent.wire.topics import OFFLINE, ONLINE, Topics, encode_contact, encode_lock_state
from tests.residents import GRANTED, NOW
from tests.wire.home_assistant import (
    Component,
    DeviceMessage,
    LockEntity,
    read_component,
    read_device,
)

PAGE = (Path(__file__).parents[2] / "docs" / "home-assistant.md").read_text(encoding="utf-8")
SUBJECT = SubjectId("s-1")
STATE = {
    "v": 1,
    "residents": 12,
    "fpir": 0.0001,
    "fpir_met": True,
    "sureness": "with 12 compared, a stranger is admitted about once in 10,000 attempts",
    "last_decision_ms": 81.5,
    "tamper": False,
    "faults": [],
    "refused": {"forged": 3, "stale": 2},
    "log_begins": 1,
    "pad": "flash",
}
KEYS = [
    "lock",
    "contact",
    "access",
    "doorbell",
    "tamper",
    "problem",
    "connectivity",
    "residents",
    "fpir",
    "last_decision",
    "refused",
    "enrol",
    "identify",
]
BOTH = pytest.mark.parametrize("opens", [True, False], ids=["opens", "only watches"])


def device_form(*, opens: bool, door: str = "front") -> dict[str, Component]:
    ((topic, payload),) = messages(door, "1.2.3", Discovery.DEVICE, opens=opens).items()
    return found(read_device(topic, payload)[1])


def legacy_form(*, opens: bool) -> dict[str, Component]:
    told = messages("front", "1.2.3", Discovery.LEGACY, opens=opens)
    return found(dict(read_component(topic, payload) for topic, payload in told.items()))


def found(components: Mapping[str, Component | None]) -> dict[str, Component]:
    """Give what is announced; nothing may be taken away."""
    kept = {key: each for key, each in components.items() if each is not None}
    assert kept.keys() == components.keys()
    return kept


def entity(key: str) -> Any:  # noqa: ANN401 - whichever platform it is of
    return device_form(opens=True)[key]


def as_objects(value: object) -> object:
    # A template writes value_json.key for what a program would write value_json["key"].
    if not isinstance(value, Mapping):
        return value
    return type("Json", (dict,), {"__getattr__": dict.__getitem__})(
        {key: as_objects(each) for key, each in value.items()}
    )


def render(template: str, **names: object) -> str:
    # The templates use only what Jinja and Python have in common, and filters without arguments.
    filters: dict[str, Callable[[Any], object]]
    filters = {"int": int, "sum": sum, "tojson": json.dumps}

    def evaluate(match: re.Match[str]) -> str:
        expression, _, name = match[1].partition(" | ")
        value = eval(expression, {"__builtins__": {}}, names)  # noqa: S307 - it is our own
        return str(filters[name](value) if name else value)

    return re.sub(r"\{\{ (.*?) \}\}", evaluate, template)


def shown(key: str, state: Mapping[str, object]) -> str:
    return render(entity(key).value_template, value_json=as_objects(state))


def pressed(key: str, value: str) -> Press:
    """Give what the door makes of a command of Home Assistant's."""
    each = entity(key)
    names = {"value": value, "now": lambda: NOW, "as_timestamp": lambda now: now.wall}
    payload = render(each.command_template, **names).encode()
    topic = each.command_topic.removeprefix(Topics("front").command(""))
    command = read_command(Delivered(topic, payload), lambda _: None)
    assert isinstance(command, Press)
    return command


def told(event: Event, now: Now = NOW) -> dict[str, Any]:
    payload = access(Recorded(42, "boot", now, event))
    assert payload is not None
    return cast("dict[str, Any]", json.loads(payload))


# --- the announcement -----------------------------------------------------------------------------


def test_a_door_announces_itself_as_one_device_in_one_message() -> None:
    ((topic, payload),) = messages("front", "1.2.3", Discovery.DEVICE, opens=True).items()
    assert topic == "homeassistant/device/doorward-front/config"
    message, _ = read_device(topic, payload)
    assert message.device.identifiers == ["doorward-front"]
    assert message.device.name == "Doorward front"
    assert message.device.manufacturer == "Doorward"
    assert message.device.sw_version == message.origin.sw_version == "1.2.3"
    assert message.origin.name == "Doorward"


@BOTH
def test_the_legacy_form_announces_the_same_entities_in_a_message_each(*, opens: bool) -> None:
    device = device_form(opens=opens)
    legacy = legacy_form(opens=opens)
    assert legacy.keys() == device.keys()
    for key, each in legacy.items():
        alone = msgspec.structs.replace(each, device=None, origin=None)
        assert alone == msgspec.structs.replace(device[key], platform=None)


def test_the_legacy_form_repeats_the_device_and_the_origin_in_each_message() -> None:
    ((topic, payload),) = messages("front", "1.2.3", Discovery.DEVICE, opens=True).items()
    message: DeviceMessage = read_device(topic, payload)[0]
    for each in legacy_form(opens=True).values():
        assert (each.device, each.origin) == (message.device, message.origin)


def test_a_door_that_is_not_to_be_discovered_says_nothing() -> None:
    assert messages("front", "1.2.3", Discovery.OFF, opens=True) == {}


@BOTH
def test_a_door_has_these_entities_and_no_other(*, opens: bool) -> None:
    assert sorted(device_form(opens=opens)) == sorted(KEYS)


@pytest.mark.parametrize("form", list(Discovery))
def test_another_prefix_changes_the_topics_and_nothing_else(form: Discovery) -> None:
    usual = messages("front", "1.2.3", form, opens=True)
    moved = messages("front", "1.2.3", form, opens=True, prefix="ha")
    assert [topic.replace("homeassistant/", "ha/") for topic in usual] == list(moved)
    assert list(usual.values()) == list(moved.values())
    assert birth_topic("ha") == "ha/status"


def test_no_two_doors_and_no_two_entities_share_an_id() -> None:
    ids = [
        each.unique_id
        for door in ("front", "back-door")
        for each in device_form(opens=True, door=door).values()
    ]
    assert len(set(ids)) == len(ids) == 2 * len(KEYS)
    assert entity("contact").unique_id == "doorward_front_contact"


def test_an_entity_is_named_for_the_door_on_its_own_platform() -> None:
    assert entity("lock").default_entity_id == "lock.doorward_front"
    assert entity("contact").default_entity_id == "binary_sensor.doorward_front_contact"
    for each in device_form(opens=True).values():
        assert str(each.default_entity_id).partition(".")[0] == each.platform
    far = device_form(opens=True, door="back-door")["lock"]
    assert far.default_entity_id == "lock.doorward_back_door"


@pytest.mark.parametrize("key", KEYS)
def test_an_entity_has_a_name_or_that_of_its_class_and_never_the_device_s(key: str) -> None:
    each = entity(key)
    if key == "lock":
        assert each.name is None
    elif each.name is msgspec.UNSET:
        assert each.device_class is not None
    else:
        assert "door" not in each.name.lower()


@pytest.mark.parametrize("key", KEYS)
def test_an_icon_is_chosen_only_where_home_assistant_has_none(key: str) -> None:
    each = entity(key)
    has_own = isinstance(each, LockEntity) or each.device_class is not None
    assert has_own == (each.icon is None)


@pytest.mark.parametrize("key", KEYS)
def test_all_but_the_connection_are_unavailable_while_the_door_is_offline(key: str) -> None:
    expected = msgspec.UNSET if key == "connectivity" else Topics("front").status
    assert entity(key).availability_topic == expected
    assert (entity(key).payload_available, entity(key).payload_not_available) == (
        ONLINE.decode(),
        OFFLINE.decode(),
    )


@pytest.mark.parametrize("key", KEYS)
def test_no_entity_loses_messages_or_commands(key: str) -> None:
    assert entity(key).qos == 1


# --- the lock -------------------------------------------------------------------------------------


def test_home_assistant_can_open_only_where_the_door_obeys_it() -> None:
    for form in (device_form, legacy_form):
        obeyed, watched = form(opens=True), form(opens=False)
        lock, unable = obeyed.pop("lock"), watched.pop("lock")
        assert isinstance(lock, LockEntity)
        assert lock.payload_open == "OPEN"
        assert unable == msgspec.structs.replace(lock, payload_open=None)
        assert obeyed == watched


def test_the_lock_waits_for_the_door_to_say_that_it_moved() -> None:
    lock = entity("lock")
    assert lock.state_topic == Topics("front").lock_state
    assert not lock.optimistic
    assert lock.state_locked == encode_lock_state(LockState.LOCKED).decode()
    assert lock.state_unlocked == encode_lock_state(LockState.UNLOCKED).decode()


@pytest.mark.parametrize(
    ("key", "payload", "button"),
    [
        ("lock", "payload_lock", Button.LOCK),
        ("lock", "payload_unlock", Button.UNLOCK),
        ("lock", "payload_open", Button.UNLOCK),
        ("enrol", "payload_press", Button.ENROL),
        ("identify", "payload_press", Button.IDENTIFY),
    ],
)
def test_the_door_understands_a_command_and_until_when_it_counts(
    key: str, payload: str, button: Button
) -> None:
    expires = int(NOW.wall) + PATIENCE
    assert pressed(key, getattr(entity(key), payload)) == Press(button, expires)


def test_a_command_counts_no_longer_than_the_door_allows() -> None:
    assert 0 < PATIENCE < LONGEST_EXPIRY


@pytest.mark.parametrize("key", ["lock", "enrol", "identify"])
def test_a_command_is_never_retained(key: str) -> None:
    assert not entity(key).retain


# --- what the door is like ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "on", "off", "topic"),
    [
        (
            "contact",
            encode_contact(is_open=True),
            encode_contact(is_open=False),
            Topics("front").contact,
        ),
        ("connectivity", ONLINE, OFFLINE, Topics("front").status),
    ],
)
def test_what_the_door_says_in_a_word_is_taken_by_its_word(
    key: str, on: bytes, off: bytes, topic: str
) -> None:
    sensor = entity(key)
    assert (sensor.payload_on, sensor.payload_off) == (on.decode(), off.decode())
    assert sensor.state_topic == topic


def test_a_sensor_shows_the_figure_of_the_door_s_state() -> None:
    assert shown("residents", STATE) == "12"
    assert shown("last_decision", STATE) == "81.5"
    assert shown("refused", STATE) == "5"
    assert shown("refused", {**STATE, "refused": {}}) == "0"


@pytest.mark.parametrize(
    ("rate", "percent"), [(0.0001, "0.010000"), (0.00000001, "0.000001"), (0.0, "0.000000")]
)
def test_the_false_admission_rate_is_a_percentage_without_an_exponent(
    rate: float, percent: str
) -> None:
    assert shown("fpir", {**STATE, "fpir": rate}) == percent
    assert entity("fpir").unit_of_measurement == "%"


def test_the_time_of_a_decision_is_unknown_before_there_was_one() -> None:
    assert shown("last_decision", {**STATE, "last_decision_ms": None}) == "None"


def test_the_state_that_is_read_here_is_as_the_door_says_it() -> None:
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(STATE, State))) == STATE


def test_the_time_a_decision_took_is_a_duration_in_milliseconds() -> None:
    sensor = entity("last_decision")
    assert (sensor.device_class, sensor.unit_of_measurement) == ("duration", "ms")


@pytest.mark.parametrize(
    ("key", "quiet", "loud"),
    [("problem", {"faults": []}, {"faults": ["camera"]}), ("tamper", {}, {"tamper": True})],
)
def test_a_flag_is_on_when_something_is_wrong(
    key: str, quiet: dict[str, object], loud: dict[str, object]
) -> None:
    assert shown(key, {**STATE, **quiet}) == entity(key).payload_off
    assert shown(key, {**STATE, **loud}) == entity(key).payload_on


@pytest.mark.parametrize(
    ("key", "attributes"),
    [
        ("problem", {"faults": ["camera"]}),
        ("fpir", {"target_met": True, "in_words": STATE["sureness"], "pad": "flash"}),
        ("refused", {"forged": 3, "stale": 2}),
    ],
)
def test_an_entity_has_the_details_as_attributes(key: str, attributes: dict[str, object]) -> None:
    each = entity(key)
    state = as_objects({**STATE, "faults": ["camera"]})
    assert each.json_attributes_topic == "doorward/front/state"
    assert json.loads(render(each.json_attributes_template, value_json=state)) == attributes


def test_all_that_is_read_from_the_door_s_state_is_read_from_its_topic() -> None:
    keys = {key for key, each in device_form(opens=True).items() if "value_json" in str(each)}
    assert keys == {"tamper", "problem", "residents", "fpir", "last_decision", "refused"}
    assert {entity(key).state_topic for key in keys} == {"doorward/front/state"}


# --- taking it back -------------------------------------------------------------------------------


def test_a_removal_empties_every_topic_that_was_ever_set() -> None:
    for prefix in ("homeassistant", "ha"):
        set_before = {
            topic
            for form in Discovery
            for opens in (True, False)
            for topic in messages("front", "1.2.3", form, opens=opens, prefix=prefix)
        }
        gone = removal("front", prefix)
        assert gone.keys() == set_before
        assert set(gone.values()) == {b""}


# --- events ---------------------------------------------------------------------------------------


def test_a_grant_is_told_flat_and_with_a_pseudonym_for_a_name() -> None:
    assert told(GRANTED) == {
        "event_type": "granted",
        "decision": "granted",
        "subject": "s-1",
        "method": "face",
        "reason": None,
        "score": 0.71,
        "seq": 42,
        "wall": NOW.wall,
    }


def test_a_refusal_of_a_stranger_names_nobody() -> None:
    refusal = told(Denied(Reason.NO_MATCH, None, frames=3, faces=1))
    assert (refusal["decision"], refusal["reason"]) == ("denied", "no_match")
    assert refusal["subject"] is None
    assert refusal["score"] is None


def test_an_attack_is_a_refusal() -> None:
    attack = told(AttackPresented("flat", frames=4))
    assert (attack["event_type"], attack["decision"]) == ("attack_presented", "denied")


def test_a_code_or_a_card_is_told_of_as_a_face_is() -> None:
    by_pin = told(Admitted(SUBJECT, Method.PIN))
    assert (by_pin["decision"], by_pin["subject"], by_pin["method"]) == ("granted", "s-1", "pin")
    visit = told(VisitorAdmitted(VisitorId("v-1")))
    assert (visit["decision"], visit["subject"], visit["visitor"]) == ("granted", None, "v-1")
    wrong = told(CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None))
    assert (wrong["decision"], wrong["reason"], wrong["reader"]) == (
        "denied",
        "wrong_code",
        "keypad",
    )
    assert told(CodesLockedOut(None, 60.0))["seconds"] == pytest.approx(60.0)


def test_home_assistant_is_not_told_who_was_forced() -> None:
    assert access(Recorded(1, "boot", NOW, DuressSignalled(SUBJECT))) is None
    ((_, announced),) = messages("front", "1.2.3", Discovery.DEVICE, opens=True).items()
    assert b"duress" not in announced


def test_what_decides_nothing_has_no_decision() -> None:
    assert told(Enrolled(SUBJECT, AuthorityKind.CODE, 5, None))["decision"] is None
    assert told(Revoked(SUBJECT))["decision"] is None


def test_an_event_says_what_else_it_is_about() -> None:
    command = told(Commanded(None, Operation.UNLOCK, "r-1", None))
    assert (command["operation"], command["controller"]) == ("unlock", None)
    assert told(HeldOpen(30.0))["seconds"] == pytest.approx(30.0)
    assert told(Tampered(active=True))["active"] is True


def test_a_time_that_is_not_to_be_trusted_is_not_told() -> None:
    assert told(GRANTED, replace(NOW, trusted=False))["wall"] is None


@pytest.mark.parametrize("event", [Started("1.0", simulated=False), FaultRaised(Part.CAMERA, "?")])
def test_what_has_nothing_to_do_with_access_is_not_told(event: Event) -> None:
    assert access(Recorded(1, "boot", NOW, event)) is None
    assert ring(Recorded(1, "boot", NOW, event)) is None


def test_the_access_entity_knows_every_kind_that_is_told_and_each_kind_exists() -> None:
    assert entity("access").event_types == list(ACCESS)
    assert entity("access").state_topic == "doorward/front/access"
    assert set(ACCESS) <= set(events.EVENTS)


@dataclass(frozen=True, slots=True)
class Talkative:
    """An event of a later day, with what must never leave the door."""

    subject: SubjectId = SUBJECT
    embedding: tuple[float, ...] = (0.1, 0.2)
    picture: bytes = b"\xff\xd8"
    label: str = "Ada"


def test_no_field_is_told_that_was_not_named_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[type, str]", events._KINDS), Talkative, "granted")  # noqa: SLF001
    words = told(cast("Event", Talkative()))
    assert words["subject"] == "s-1"
    assert words.keys() == told(GRANTED).keys()


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="SimpleNamespace"):
        access(Recorded(1, "boot", NOW, cast("Event", SimpleNamespace())))
    with pytest.raises(ValueError, match="SimpleNamespace"):
        ring(Recorded(1, "boot", NOW, cast("Event", SimpleNamespace())))


def test_a_ring_is_told_in_the_only_word_home_assistant_has_for_it() -> None:
    payload = ring(Recorded(43, "boot", NOW, DoorbellRang()))
    assert payload is not None
    assert json.loads(payload) == {"event_type": "ring", "seq": 43, "wall": NOW.wall}
    assert entity("doorbell").event_types == ["ring"]
    assert entity("doorbell").state_topic == "doorward/front/doorbell"
    assert access(Recorded(43, "boot", NOW, DoorbellRang())) is None
    assert ring(Recorded(44, "boot", NOW, GRANTED)) is None


# --- the page -------------------------------------------------------------------------------------


def first_column(heading: str) -> list[str]:
    _, _, rest = PAGE.partition(f"## {heading}\n")
    return re.findall(r"^\| `([^`]+)` \|", rest.partition("\n#")[0], re.MULTILINE)


def test_the_page_has_every_entity_in_its_table() -> None:
    expected = [str(each.default_entity_id) for each in device_form(opens=True).values()]
    assert sorted(first_column("What appears")) == sorted(expected)


def test_the_page_says_what_every_access_event_means() -> None:
    assert first_column("Who came, as an event") == list(ACCESS)


def test_the_page_names_every_attribute_of_an_access_event() -> None:
    attributes = told(GRANTED) | told(HeldOpen(1.0)) | told(Tampered(active=True))
    attributes |= told(Commanded(None, Operation.UNLOCK, "r-1", None))
    attributes |= told(VisitorAdmitted(VisitorId("v-1")))
    attributes |= told(CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None))
    section = PAGE.partition("### Its attributes\n")[2].partition("\n#")[0]
    for name in attributes.keys() - {"event_type"}:
        assert f"`{name}`" in section


def test_the_page_names_every_form_of_discovery() -> None:
    for form in Discovery:
        assert f'`discovery = "{form.value}"`' in PAGE
