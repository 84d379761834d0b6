"""The configuration: TOML text to a frozen Config. Unknown keys and wrong types are refused."""

import tomllib
from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.inspect import DataclassType, NoneType, StructType, Type, UnionType, type_info

from agent.core.decision import Recognition
from agent.core.enrolment import Enrolment
from agent.core.orders import RemoteUnlock
from agent.core.policy import Lockout
from agent.errors import ConfigError

Line = Annotated[int, Meta(ge=0, le=27)]
NAME = r"\A[a-z0-9][a-z0-9-]{0,31}\Z"
"""What a door, or a controller, may be called."""
NAME_RULE = "lower-case letters, digits and hyphens, at most 32, not a hyphen first"
NONE = "none"
"""Stands in a file for no value at all, which TOML has no word for."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every table of the file has in common: frozen, and strict about its keys."""


class Door(Section, frozen=True):
    """The door itself."""

    name: Annotated[str, Meta(pattern=NAME)] = "front"
    """Names the door on MQTT: lower-case letters, digits and hyphens, at most 32."""
    release_seconds: Annotated[float, Meta(ge=1, le=30)] = 5.0
    """How long one grant releases the door, in seconds."""
    held_open_seconds: Annotated[float, Meta(ge=5, le=3600)] = 60.0
    """How long the door may stand open until an event tells of it, in seconds."""


class Camera(Section, frozen=True):
    """The camera and its stream."""

    width: Annotated[int, Meta(ge=320, le=4096)] = 1280
    """Frame width in pixels."""
    height: Annotated[int, Meta(ge=240, le=4096)] = 720
    """Frame height in pixels."""
    fps: Annotated[float, Meta(ge=1, le=60)] = 10.0
    """Frames looked at per second."""
    rotation: Annotated[int, Meta(ge=0, le=270, multiple_of=90)] = 0
    """Degrees by which the mounted camera is turned clockwise: 0, 90, 180 or 270."""


class Quality(Section, frozen=True):
    """What a face must fulfil to be compared."""

    min_eye_distance: Annotated[float, Meta(ge=8)] = 22.0
    """Pixels between the eyes: less is too far away."""
    min_sharpness: Annotated[float, Meta(ge=0)] = 20.0
    """Variance of the Laplacian of the aligned face: less is blurred."""
    min_exposure: Annotated[float, Meta(ge=0, le=255)] = 25.0
    """Mean luma of the aligned face: less is too dark."""
    max_exposure: Annotated[float, Meta(ge=0, le=255)] = 225.0
    """Mean luma of the aligned face: more is too bright."""
    max_yaw: Annotated[float, Meta(gt=0, le=1)] = 0.6
    """Turned to the side, as a proxy from 0 (straight) to 1 (profile): more is turned away."""
    max_pitch: Annotated[float, Meta(gt=0, le=1)] = 0.6
    """Tilted up or down, as a proxy from 0 to 1: more is turned away."""
    min_eyes_open: Annotated[float, Meta(ge=0, le=1)] = 0.12
    """Mean eye aspect ratio: less counts as closed."""

    def __post_init__(self) -> None:
        if not self.min_exposure < self.max_exposure:
            message = "min_exposure must be below max_exposure"
            raise ValueError(message)


class Mqtt(Section, frozen=True):
    """The broker. Without a host nothing is sent, and events wait in the outbox."""

    host: str | None = None
    """Name or address of the broker."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    """TCP port of the broker."""
    username: str | None = None
    """User name, where the broker wants one."""
    password_file: str | None = None
    """File whose first line is the password."""
    ca_file: str | None = None
    """Certificate authority of the broker, PEM; the system's own where there is none."""
    cert_file: str | None = None
    """The door's client certificate, PEM."""
    key_file: str | None = None
    """The key of that certificate, PEM."""
    allow_plaintext: bool = False
    """Permits a connection without TLS to another machine; to loopback it always is."""
    tls: bool = True
    """Whether the connection is encrypted."""
    remote_unlock: RemoteUnlock = RemoteUnlock.SIGNED
    """Who may open the door from afar: off (nobody), signed (trusted keys) or broker (anybody whom
    the broker lets, such as Home Assistant)."""
    discovery: Literal["device", "legacy", "off"] = "device"
    """How Home Assistant finds the door by itself: device (2024.12 or newer), legacy or off."""
    discovery_prefix: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")] = "homeassistant"
    """Topic below which Home Assistant looks for devices."""

    def __post_init__(self) -> None:
        if not (self.tls or self.allow_plaintext or self.host in {None, *LOOPBACK}):
            message = f"without tls, {self.host} needs allow_plaintext = true"
            raise ValueError(message)
        if (self.cert_file is None) != (self.key_file is None):
            message = "cert_file and key_file go together"
            raise ValueError(message)


class Retention(Section, frozen=True):
    """How long what the door keeps is kept. Nothing goes while the clock is not set."""

    unused_days: Annotated[int, Meta(ge=1, le=3650)] | None = 365
    """Days after which a resident who was not admitted once is erased; none: never."""
    event_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    """Days after which events are taken out of the log."""


class Gpio(Section, frozen=True):
    """BCM numbers of the lines; None where nothing is connected."""

    relay: Line = 17
    """The release."""
    relay_active_high: bool = True
    """Whether the relay pulls on a high level."""
    enrol_button: Line | None = 27
    """Button to ground, pulled up."""
    led_red: Line | None = 5
    """Red LED."""
    led_green: Line | None = 6
    """Green LED."""
    led_blue: Line | None = 13
    """Blue LED."""
    buzzer: Line | None = 19
    """Active buzzer."""

    def __post_init__(self) -> None:
        lines = (self.relay, self.enrol_button, self.led_red, self.led_green, self.led_blue)
        used = [line for line in (*lines, self.buzzer) if line is not None]
        if not len(set(used)) == len(used):
            message = "one line is given to two things"
            raise ValueError(message)


class Config(Section, frozen=True):
    """The whole file."""

    door: Door = Door()
    camera: Camera = Camera()
    quality: Quality = Quality()
    recognition: Recognition = Recognition()
    lockout: Lockout = Lockout()
    enrolment: Enrolment = Enrolment()
    retention: Retention = Retention()
    mqtt: Mqtt = Mqtt()
    gpio: Gpio = Gpio()
    state_directory: str | None = None
    """Folder of the database; None takes the service's own, or ~/.local/state/doorward."""
    notice_file: str | None = None
    """The privacy notice that enrolees are given; None takes the one that came with the program."""
    models_directory: str | None = None
    """Folder of the models; None takes those that came with the program."""


def parse_config(text: str, source: str) -> Config:
    """Read a configuration. source names it in errors. Raises ConfigError."""
    try:
        document = tomllib.loads(text, parse_float=_finite)
        _take_none(document, type_info(Config))
        config = msgspec.convert(document, Config)
    except (tomllib.TOMLDecodeError, _NotFiniteError) as error:
        message = f"{source}: not valid TOML: {error}: mend that line"
        raise ConfigError(message) from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").lstrip(".") or "top level"
        raise _refusal(source, key, what) from None
    for name in ("recognition", "lockout", "enrolment"):
        # msgspec is strict about the keys of its own Structs only; the core has plain dataclasses.
        known = {field.name for field in fields(getattr(config, name))}
        for key in document.get(name, {}).keys() - known:
            raise _refusal(source, name, f"unknown field `{key}`")
    return config


def _take_none(table: dict[str, Any], shape: Type) -> None:
    """Make NONE what it stands for, at each key that may be without a value."""
    if not isinstance(shape, StructType | DataclassType):
        return
    for field in shape.fields:
        given = table.get(field.name)
        kinds = field.type.types if isinstance(field.type, UnionType) else (field.type,)
        if given == NONE and any(isinstance(kind, NoneType) for kind in kinds):
            table[field.name] = None
        elif isinstance(given, dict):
            for kind in kinds:
                _take_none(given, kind)


class _NotFiniteError(ValueError):
    """A number that no setting can mean."""


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NotFiniteError(f"{text} is no number that a setting can have")
    return number


def _refusal(source: str, key: str, what: str) -> ConfigError:
    return ConfigError(
        f"{source}: {key}: {what}: mend or remove it (docs/configuration.md lists all keys)"
    )
