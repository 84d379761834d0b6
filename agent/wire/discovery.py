"""A door as Home Assistant sees it: how it announces itself there, and what it says for it alone.

The field names are those of Home Assistant's MQTT documentation. An access event goes to it live
and is never retained; what was missed is on the topic of the events.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from agent.ports import Recorded
from agent.wire.events import event_kind
from agent.wire.topics import Topics

PATIENCE = 10
"""Seconds for which a command of Home Assistant counts, by its own clock."""
ACCESS = (
    "granted",
    "admitted",
    "visitor_admitted",
    "denied",
    "code_denied",
    "locked_out",
    "codes_locked_out",
    "commanded",
    "attack_presented",
    "exit_requested",
    "forced_open",
    "held_open",
    "tampered",
    "enrolled",
    "enrolment_failed",
    "revoked",
    "erased",
)
"""The kinds of event that the access entity tells of."""

_Config: TypeAlias = dict[str, object]

_RING = "ring"  # a doorbell's only event type that Home Assistant knows
_DECISIONS = dict.fromkeys(("granted", "admitted", "visitor_admitted"), "granted") | dict.fromkeys(
    ("denied", "code_denied", "attack_presented"), "denied"
)
# Named one by one, because an event may have fields some day that are none of a broker's business.
_ALWAYS = ("subject", "method", "reason", "score")
_WHERE_KNOWN = ("operation", "controller", "seconds", "active", "visitor", "reader")
_LOCK = "lock"


class Discovery(StrEnum):
    """How a door announces itself to Home Assistant."""

    DEVICE = "device"
    """In one message, which takes Home Assistant 2024.12 or newer."""
    LEGACY = "legacy"
    """In one message per entity."""
    OFF = "off"
    """Not at all."""


def messages(
    door: str, version: str, form: Discovery, *, opens: bool, prefix: str = "homeassistant"
) -> dict[str, bytes]:
    """Give what announces a door, topic to payload, all of it to be retained.

    opens: whether the door obeys Home Assistant's lock; else that shows the state, and the door
    refuses and counts what it asks for. What the other form has left behind stays, see `removal`.
    """
    entities = _entities(door)
    if not opens:
        # Home Assistant always offers to unlock; to open it then does not.
        del entities[_LOCK]["payload_open"]
    device: _Config = {
        "identifiers": [f"doorward-{door}"],
        "name": f"Doorward {door}",
        "manufacturer": "Doorward",
        "model": "Access control by face",
        "sw_version": version,
    }
    origin: _Config = {"name": "Doorward", "sw_version": version}
    match form:
        case Discovery.DEVICE:
            announcement = {"device": device, "origin": origin, "components": entities}
            topic = _config_topic(prefix, "device", door)
            return {topic: msgspec.json.encode(announcement)}
        case Discovery.LEGACY:
            told = {}
            for key, entity in entities.items():
                topic = _config_topic(prefix, entity.pop("platform"), door, key)
                whole = {**entity, "device": device, "origin": origin}
                told[topic] = msgspec.json.encode(whole)
            return told
        case Discovery.OFF:
            return {}


def removal(door: str, prefix: str = "homeassistant") -> dict[str, bytes]:
    """Give what makes Home Assistant forget the door, whichever form announced it.

    Each payload is empty, and is to be retained: so the broker forgets what it kept.
    """
    entities = _entities(door).items()
    each = (_config_topic(prefix, entity["platform"], door, key) for key, entity in entities)
    return dict.fromkeys((_config_topic(prefix, "device", door), *each), b"")


def birth_topic(prefix: str) -> str:
    """Name the topic on which Home Assistant says `online` once it has started."""
    return f"{prefix}/status"


def access(recorded: Recorded) -> bytes | None:
    """Write an event for doorward/<door>/access; None where it is no access event.

    Raises ValueError for anything that is no event.
    """
    event = recorded.event
    kind = event_kind(event)
    if kind not in ACCESS:
        return None
    return msgspec.json.encode(
        {
            "event_type": kind,
            "decision": _DECISIONS.get(kind),
            **{name: getattr(event, name, None) for name in _ALWAYS},
            **{name: getattr(event, name) for name in _WHERE_KNOWN if hasattr(event, name)},
            **_when(recorded),
        }
    )


def ring(recorded: Recorded) -> bytes | None:
    """Write an event for doorward/<door>/doorbell; None where nobody rang.

    Raises ValueError for anything that is no event.
    """
    if event_kind(recorded.event) != "doorbell_rang":
        return None
    return msgspec.json.encode({"event_type": _RING, **_when(recorded)})


def _when(recorded: Recorded) -> _Config:
    now = recorded.now
    return {"seq": recorded.seq, "wall": now.wall if now.trusted else None}


def _config_topic(prefix: str, platform: object, door: str, *key: str) -> str:
    return "/".join((prefix, str(platform), f"doorward-{door}", *key, "config"))


def _entities(door: str) -> dict[str, _Config]:
    """Describe every entity there can be. One with a class and no name has that of its class."""
    topics = Topics(door)
    state, lock = topics.state, topics.lock_state
    entities: dict[str, _Config] = {
        _LOCK: {
            "platform": "lock",
            "name": None,  # the device's own: it is what the device is for
            "state_topic": lock,
            **_commands(topics.command("broker/lock"), '"action": "{{ value }}", '),
            "payload_open": "OPEN",
            "optimistic": False,
        },
        "contact": {
            "platform": "binary_sensor",
            "device_class": "door",
            "state_topic": topics.contact,
            "payload_on": "OPEN",
            "payload_off": "CLOSED",
        },
        "access": {
            "platform": "event",
            "name": "Access",
            "icon": "mdi:account-key",
            "state_topic": topics.access,
            "event_types": ACCESS,
        },
        "doorbell": {
            "platform": "event",
            "device_class": "doorbell",
            "state_topic": topics.doorbell,
            "event_types": [_RING],
        },
        "tamper": {
            **_read("binary_sensor", state, "'ON' if value_json.tamper else 'OFF'"),
            "device_class": "tamper",
        },
        "problem": {
            **_read("binary_sensor", state, "'ON' if value_json.faults else 'OFF'"),
            **_attributes(state, "{'faults': value_json.faults}"),
            "device_class": "problem",
            "entity_category": "diagnostic",
        },
        "connectivity": {
            "platform": "binary_sensor",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.status,
            "payload_on": "online",
            "payload_off": "offline",
        },
        "residents": {
            **_read("sensor", state, "value_json.residents"),
            "name": "Residents",
            "icon": "mdi:account-group",
            "state_class": "measurement",
        },
        "fpir": {
            # All digits, because 1e-05 would be shown as such.
            **_read("sensor", state, "'%.6f' % (value_json.fpir * 100)"),
            **_attributes(
                state,
                "{'target_met': value_json.fpir_met, 'in_words': value_json.sureness, "
                "'pad': value_json.pad}",
            ),
            "name": "False admission rate",
            "icon": "mdi:account-question",
            "entity_category": "diagnostic",
            "unit_of_measurement": "%",
            "suggested_display_precision": 4,
        },
        "last_decision": {
            # A null is rendered None, which Home Assistant takes for unknown.
            **_read("sensor", state, "value_json.last_decision_ms"),
            "name": "Last decision",
            "device_class": "duration",
            "entity_category": "diagnostic",
            "unit_of_measurement": "ms",
            "state_class": "measurement",
            "suggested_display_precision": 0,
        },
        "refused": {
            **_read("sensor", state, "value_json.refused.values() | sum"),
            **_attributes(state, "value_json.refused"),
            "name": "Refused commands",
            "icon": "mdi:shield-alert",
            "entity_category": "diagnostic",
            "state_class": "total_increasing",
        },
        "enrol": {
            "platform": "button",
            "name": "Enrol",
            "icon": "mdi:account-plus",
            "entity_category": "config",  # so that no voice assistant has it by itself
            **_commands(topics.command("broker/enrol")),
        },
        "identify": {
            "platform": "button",
            "device_class": "identify",
            "entity_category": "diagnostic",
            **_commands(topics.command("broker/identify")),
        },
    }
    for key, entity in entities.items():
        entity["unique_id"] = f"doorward_{door}_{key}"
        # Spelled as Home Assistant would; else it would depend on the language set there.
        name = f"doorward_{door.replace('-', '_')}" + ("" if key == _LOCK else f"_{key}")
        entity["default_entity_id"] = f"{entity['platform']}.{name}"
        entity["qos"] = 1
        if key != "connectivity":  # it says off where the others are unavailable
            entity["availability_topic"] = topics.status
    return entities


def _read(platform: str, topic: str, expression: str) -> _Config:
    template = f"{{{{ {expression} }}}}"
    return {"platform": platform, "state_topic": topic, "value_template": template}


def _attributes(topic: str, expression: str) -> _Config:
    template = f"{{{{ {expression} | tojson }}}}"
    return {"json_attributes_topic": topic, "json_attributes_template": template}


def _commands(topic: str, more: str = "") -> _Config:
    # The last space keeps the object's own brace apart from the template's.
    expires = f"{{{{ (as_timestamp(now()) + {PATIENCE}) | int }}}}"
    template = f'{{"v": 1, {more}"expires": {expires} }}'
    return {"command_topic": topic, "command_template": template, "retain": False}
