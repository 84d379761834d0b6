"""What Home Assistant takes for a discovery message, written down from its documentation.

Page names are those of https://www.home-assistant.io/integrations/. What Home Assistant would
ignore or warn about is refused here: unknown keys, abbreviations (which are allowed), and
`object_id`, which gave way to `default_entity_id` in 2025.10 and does nothing since 2026.4.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

Slug = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]+\Z")]
Icon = Annotated[str, Meta(pattern=r"\Amdi:[a-z0-9-]+\Z")]
Topic = Annotated[str, Meta(pattern=r"\A[^+#\0]+\Z")]
Template = Annotated[str, Meta(pattern=r"\{\{.*\}\}")]
Qos = Literal[0, 1, 2]

# developers.home-assistant.io, Core, Entity: entity_category. A sensor and a binary_sensor refuse
# `config`; it is for what changes a setting.
Diagnostic = Literal["diagnostic"]
Category = Literal["config", "diagnostic"]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nothing else may be in it."""


class Device(Strict, frozen=True, kw_only=True):
    """mqtt, "Discovery payload", and `device` on every platform's page."""

    name: str
    identifiers: list[str] | str | msgspec.UnsetType = msgspec.UNSET
    connections: list[tuple[str, str]] | msgspec.UnsetType = msgspec.UNSET
    configuration_url: str | None = None
    hw_version: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    model_id: str | None = None
    serial_number: str | None = None
    suggested_area: str | None = None
    sw_version: str | None = None
    via_device: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where nothing identifies the device."""
        if not (self.identifiers or self.connections):
            raise ValueError("a device needs identifiers or connections")


class Origin(Strict, frozen=True, kw_only=True):
    """mqtt, "Adding information about the origin of a discovery message"."""

    name: str
    sw_version: str | None = None
    support_url: Annotated[str, Meta(pattern=r"\Ahttps?://")] | None = None


class Availability(Strict, frozen=True, kw_only=True):
    """mqtt, "Using availability topics"."""

    topic: Topic
    payload_available: str = "online"
    payload_not_available: str = "offline"
    value_template: Template | None = None


class Entity(Strict, frozen=True, kw_only=True):
    """What every platform's page has. Device discovery requires `unique_id` ("mqtt")."""

    unique_id: str
    platform: str | None = None
    device: Device | None = None
    origin: Origin | None = None
    # Left out, it is that of the device class, or "MQTT Lock" and the like; null: the device's.
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    availability: list[Availability] | msgspec.UnsetType = msgspec.UNSET
    availability_mode: Literal["all", "any", "latest"] = "latest"
    availability_template: Template | None = None
    availability_topic: Topic | msgspec.UnsetType = msgspec.UNSET
    payload_available: str = "online"
    payload_not_available: str = "offline"
    default_entity_id: Annotated[str, Meta(pattern=r"\A[a-z_]+\.[a-z0-9_]+\Z")] | None = None
    enabled_by_default: bool = True
    encoding: str = "utf-8"
    entity_picture: str | None = None
    icon: Icon | None = None
    json_attributes_template: Template | None = None
    json_attributes_topic: Topic | None = None
    qos: Qos = 0

    def __post_init__(self) -> None:
        """Raise ValueError for keys that exclude or need each other."""
        if self.availability is not msgspec.UNSET and self.availability_topic is not msgspec.UNSET:
            raise ValueError("availability and availability_topic exclude each other")
        if self.json_attributes_template and not self.json_attributes_topic:
            raise ValueError("a template for attributes needs their topic")


class LockEntity(Entity, frozen=True, kw_only=True):
    """lock.mqtt. `payload_open` is what makes a lock able to open."""

    platform: Literal["lock"] | None = None
    command_topic: Topic
    entity_category: Category | None = None
    code_format: str | None = None
    command_template: Template | None = None
    optimistic: bool = False
    payload_lock: str = "LOCK"
    payload_open: str | None = None
    payload_reset: str = "None"
    payload_unlock: str = "UNLOCK"
    retain: bool = False
    state_jammed: str = "JAMMED"
    state_locked: str = "LOCKED"
    state_locking: str = "LOCKING"
    state_open: str = "OPEN"
    state_opening: str = "OPENING"
    state_topic: Topic | None = None
    state_unlocked: str = "UNLOCKED"
    state_unlocking: str = "UNLOCKING"
    value_template: Template | None = None


class EventEntity(Entity, frozen=True, kw_only=True):
    """event.mqtt, and "event" for the classes. A doorbell has to be able to `ring`."""

    platform: Literal["event"] | None = None
    state_topic: Topic
    event_types: Annotated[list[str], Meta(min_length=1)]
    device_class: Literal["button", "doorbell", "motion"] | None = None
    entity_category: Category | None = None
    value_template: Template | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a doorbell that cannot ring."""
        super().__post_init__()
        if self.device_class == "doorbell" and "ring" not in self.event_types:
            raise ValueError("a doorbell needs the event type ring")


class BinarySensor(Entity, frozen=True, kw_only=True):
    """binary_sensor.mqtt, and "binary_sensor" for the classes: only those a door may need."""

    platform: Literal["binary_sensor"] | None = None
    state_topic: Topic
    device_class: Literal["connectivity", "door", "lock", "problem", "tamper"] | None = None
    entity_category: Diagnostic | None = None
    expire_after: int | None = None
    force_update: bool = False
    off_delay: int | None = None
    payload_off: str = "OFF"
    payload_on: str = "ON"
    value_template: Template | None = None


class ButtonEntity(Entity, frozen=True, kw_only=True):
    """button.mqtt, and "button" for the classes."""

    platform: Literal["button"] | None = None
    command_topic: Topic
    command_template: Template | None = None
    device_class: Literal["identify", "restart", "update"] | None = None
    entity_category: Category | None = None
    payload_press: str = "PRESS"
    retain: bool = False


class Sensor(Entity, frozen=True, kw_only=True):
    """sensor.mqtt, and "sensor" for the classes and their units: only those a door may need."""

    platform: Literal["sensor"] | None = None
    state_topic: Topic
    device_class: Literal["duration"] | None = None
    entity_category: Diagnostic | None = None
    expire_after: int | None = None
    force_update: bool = False
    last_reset_value_template: Template | None = None
    options: list[str] | None = None
    state_class: Literal["measurement", "total", "total_increasing"] | None = None
    suggested_display_precision: Annotated[int, Meta(ge=0)] | None = None
    unit_of_measurement: str | None = None
    value_template: Template | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a unit that the class does not have."""
        super().__post_init__()
        units = {"d", "h", "min", "s", "ms", "μs"}
        if self.device_class == "duration" and self.unit_of_measurement not in units:
            raise ValueError(f"a duration is not in {self.unit_of_measurement}")


Component: TypeAlias = LockEntity | EventEntity | BinarySensor | ButtonEntity | Sensor
PLATFORMS: dict[str, type[Component]] = {
    "lock": LockEntity,
    "event": EventEntity,
    "binary_sensor": BinarySensor,
    "button": ButtonEntity,
    "sensor": Sensor,
}


class DeviceMessage(Strict, frozen=True, kw_only=True):
    """mqtt, "Device discovery payload".

    The page lets `availability*`, `command_topic`, `state_topic`, `qos` and `encoding` be shared
    by all components; the door shares none of them, so they are not here.
    """

    device: Device
    origin: Origin
    components: Annotated[dict[Slug, dict[str, Any]], Meta(min_length=1)]


def read_device(topic: str, payload: bytes) -> tuple[DeviceMessage, dict[str, Component | None]]:
    """Read a message of <prefix>/device/<id>/config; a component that is taken away is None.

    Raises ValueError. "mqtt", "Discovery topic" and "Device discovery payload".
    """
    _, platform, _ = _parts(topic, 4)
    if platform != "device":
        raise ValueError(f"{platform} is no device")
    message = msgspec.json.decode(payload, type=DeviceMessage)
    components: dict[str, Component | None] = {}
    for key, config in message.components.items():
        shape = PLATFORMS[config["platform"]]
        taken_away = config.keys() == {"platform"}
        components[key] = None if taken_away else msgspec.convert(config, shape)
        # The device and its origin are for all of them, and no component may have its own.
        if "device" in config or "origin" in config:
            raise ValueError(f"{key} has a device of its own")
    return message, components


def read_component(topic: str, payload: bytes) -> tuple[str, Component | None]:
    """Read a message of <prefix>/<platform>/<node>/<object>/config: which object, and what it is.

    None: it is taken away. Raises ValueError. "mqtt", "Discovery topic" and "Single component
    discovery payload".
    """
    _, platform, key = _parts(topic, 5)
    if not payload:
        return key, None
    component = msgspec.json.decode(payload, type=PLATFORMS[platform])
    if component.platform is not None:
        raise ValueError("the platform is in the topic")
    if component.device is None:
        raise ValueError(f"{key} belongs to no device")
    return key, component


def _parts(topic: str, length: int) -> tuple[str, str, str]:
    parts = topic.split("/")
    if len(parts) != length or parts[-1] != "config":
        raise ValueError(f"{topic} is no discovery topic")
    for part in parts[1:-1]:
        msgspec.convert(part, Slug)
    return parts[0], parts[1], parts[-2]
