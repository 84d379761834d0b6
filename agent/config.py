"""The configuration: TOML text to a frozen Config. Unknown keys and wrong types are refused."""

import tomllib
from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.inspect import DataclassType, NoneType, StructType, Type, UnionType, type_info

from agent.core.access import Mode
from agent.core.decision import Recognition
from agent.core.enrolment import Enrolment
from agent.core.orders import RemoteUnlock
from agent.core.pad import PadLevel
from agent.core.policy import Lockout, parse_schedule
from agent.core.throttle import Codes
from agent.errors import ConfigError

Line = Annotated[int, Meta(ge=0, le=27)]
Share = Annotated[float, Meta(ge=0, le=1)]
SMALLEST_SHARE = 0.1
"""Of a picture's width and height: in less no face is seen whole."""
InputPath = Annotated[str, Meta(pattern=r"\A/dev/input/(?!.*\.\.)[!-~]{1,200}\Z")]
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
    accessible_seconds: Annotated[float, Meta(ge=1, le=30)] = 15.0
    """Likewise, for residents who need more time (`--accessible`); at least release_seconds."""
    held_open_seconds: Annotated[float, Meta(ge=5, le=3600)] = 60.0
    """How long the door may stand open until an event tells of it, in seconds."""


class Hours(Section, frozen=True):
    """A mode for some of the week."""

    when: str
    """Local hours such as "mon-fri 22:00-06:00, sat 09:00-12:00"."""
    mode: Mode
    """What the door asks for then."""
    pad: Literal["same", "basic", "flash", "flash+challenge"] = "same"
    """Level of presentation-attack detection then; same: that of `[pad] level`."""

    @property
    def level(self) -> PadLevel | None:
        """The level of its own, if any."""
        return None if self.pad == "same" else PadLevel(self.pad)

    def __post_init__(self) -> None:
        if not parse_schedule(self.when):
            raise ValueError("when must name hours, like 'mon-fri 08:00-18:00'")


class Access(Section, frozen=True):
    """What opens the door: a face, a PIN or a card, each alone or two together."""

    mode: Mode = Mode.ANY
    """any (a face, a PIN or a card), face (a PIN or card only of who has no face here), face+pin
    (the PIN, and the face or a card), card or pin."""
    hours: tuple[Hours, ...] = ()
    """Other modes at other hours: `[[access.hours]]` with `when` and `mode`; the first that it is
    time for counts. While the clock is not set, each of all these modes must be met."""


class Pad(Section, frozen=True):
    """How much is asked of a face before it counts as there in the flesh (docs/pad.md)."""

    level: Literal["auto", "basic", "flash", "flash+challenge"] = "auto"
    """basic (quality, distance, one face), flash (the light answers for the face too),
    flash+challenge (and the head turns as it is asked to) or auto: the highest that light and
    camera allow. While the clock is not set, the strictest of all hours counts."""
    light_lux: Annotated[float, Meta(ge=10, le=100_000)] | None = None
    """What the light alone gives half a metre before it, in lux by the camera's own estimate; none:
    not known."""


class Camera(Section, frozen=True):
    """The camera and its stream."""

    source: Annotated[str, Meta(pattern=r"\A(picamera2|usb(:/dev/.+)?)\Z")] = "picamera2"
    """Which camera: picamera2 (of the Pi), usb (the first there is) or usb:/dev/... (that one)."""
    width: Annotated[int, Meta(ge=320, le=4096)] = 1280
    """Frame width in pixels."""
    height: Annotated[int, Meta(ge=240, le=4096)] = 720
    """Frame height in pixels."""
    fps: Annotated[float, Meta(ge=1, le=60)] = 10.0
    """Frames looked at per second."""
    rotation: Annotated[int, Meta(ge=0, le=270, multiple_of=90)] = 0
    """Degrees by which the mounted camera is turned clockwise: 0, 90, 180 or 270."""
    exposure_value: Annotated[float, Meta(ge=-4, le=4)] = 0.5
    """Stops by which the Pi's camera exposes brighter than it would; more for faces against the
    light."""
    roi: tuple[Share, Share, Share, Share] | None = None
    """Where faces are looked for: x, y, width and height as shares of the upright picture, 0 to 1;
    none: everywhere."""

    def __post_init__(self) -> None:
        if self.roi is None:
            return
        x, y, width, height = self.roi
        if not (width >= SMALLEST_SHARE and height >= SMALLEST_SHARE):
            message = f"roi must be at least {SMALLEST_SHARE:g} wide and high"
            raise ValueError(message)
        if not (x + width <= 1 and y + height <= 1):
            message = "roi must lie inside the picture: x + width and y + height at most 1"
            raise ValueError(message)


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


class Switch(Section, frozen=True):
    """A button on one line. By default it connects the line to ground while it is pushed."""

    line: Line
    """BCM number of the line."""
    pull: Literal["up", "down", "off"] = "up"
    """Where the Pi pulls an open line: up, down, or off where a resistor outside does it."""
    active: Literal["low", "high"] = "low"
    """Level of the line that means something: pushed, open, tampered with."""
    debounce_ms: Annotated[int, Meta(ge=0, le=1000)] = 40
    """How long a level must last until it counts, in milliseconds: contacts bounce for less."""

    @property
    def active_when_cut(self) -> bool:
        """Whether a wire that is cut looks like something happening."""
        return (self.pull, self.active) in {("up", "high"), ("down", "low")}


class Loop(Switch, frozen=True):
    """A circuit to ground that is closed at rest: opened, or cut, it lets its line go high."""

    active: Literal["low", "high"] = "high"


class Gpio(Section, frozen=True):
    """BCM numbers of the lines; None where nothing is connected.

    A button or loop that is wired in another way takes a table instead of a number.
    """

    relay: Line = 17
    """The release."""
    relay_active_high: bool = True
    """Whether the relay pulls on a high level."""
    enrol_button: Line | Switch | None = 27
    """Button at the door, to be held for an enrolment."""
    exit_button: Line | Switch | None = None
    """Button inside that releases the door: request to exit."""
    doorbell: Line | Switch | None = None
    """Button that rings."""
    contact: Line | Loop | None = None
    """Contact of the door, a circuit that is closed while the door is."""
    tamper: Line | Loop | None = None
    """Switch or loop that is closed while the case is."""
    led_red: Line | None = 5
    """Red LED."""
    led_green: Line | None = 6
    """Green LED."""
    led_blue: Line | None = 13
    """Blue LED."""
    buzzer: Line | None = 19
    """Active buzzer."""
    light: Line | None = None
    """Light at the door, for when it is too dark; on at a high level."""

    def __post_init__(self) -> None:
        outputs = (self.relay, self.led_red, self.led_green, self.led_blue, self.buzzer, self.light)
        inputs = (switch.line for switch in self.switches.values())
        used = [line for line in (*outputs, *inputs) if line is not None]
        if not len(set(used)) == len(used):
            message = "one line is given to two things"
            raise ValueError(message)
        exit_button = self.switches.get("exit_button")
        if exit_button is not None and (exit_button.active_when_cut or exit_button.pull == "off"):
            message = (
                "exit_button: a cut wire would open the door: "
                "pull must be up or down, and active the level that it does not give"
            )
            raise ValueError(message)

    @property
    def switches(self) -> dict[str, Switch]:
        """What is connected of buttons and loops, by key, a plain number as what it stands for."""
        buttons = {
            "enrol_button": self.enrol_button,
            "exit_button": self.exit_button,
            "doorbell": self.doorbell,
        }
        loops = {"contact": self.contact, "tamper": self.tamper}
        given = [(key, wired, Switch) for key, wired in buttons.items()]
        given += [(key, wired, Loop) for key, wired in loops.items()]
        return {
            key: wired if isinstance(wired, Switch) else kind(line=wired)
            for key, wired, kind in given
            if wired is not None
        }


class Readers(Section, frozen=True):
    """The keypad and the card reader, as paths of input devices; None where there is none."""

    keypad: InputPath | None = None
    """Where PINs and visitors' codes are typed: a path below /dev/input/by-id (docs/readers.md)."""
    card_reader: InputPath | None = None
    """Where cards are held to: a reader that types their numbers, below /dev/input/by-id."""

    def __post_init__(self) -> None:
        if self.keypad is not None and self.keypad == self.card_reader:
            message = "keypad and card_reader are the same device"
            raise ValueError(message)


class Config(Section, frozen=True):
    """The whole file."""

    door: Door = Door()
    access: Access = Access()
    pad: Pad = Pad()
    codes: Codes = Codes()
    camera: Camera = Camera()
    quality: Quality = Quality()
    recognition: Recognition = Recognition()
    lockout: Lockout = Lockout()
    enrolment: Enrolment = Enrolment()
    retention: Retention = Retention()
    mqtt: Mqtt = Mqtt()
    gpio: Gpio = Gpio()
    readers: Readers = Readers()
    large_gallery: bool = False
    """Whether faiss looks up faces, for more than 100,000 residents (docs/gallery.md)."""
    state_directory: str | None = None
    """Folder of the database; None takes the service's own, or ~/.local/state/doorward."""
    notice_file: str | None = None
    """The privacy notice that enrolees are given; None takes the one that came with the program."""
    models_directory: str | None = None
    """Folder of the models; None takes those that came with the program."""

    def __post_init__(self) -> None:
        asked = {self.pad_level, *(hours.level for hours in self.access.hours)}
        beyond = sorted(level for level in asked if level not in {None, PadLevel.BASIC})
        if beyond and self._highest is PadLevel.BASIC:
            message = (
                f"pad level {beyond[0]} needs [gpio] light, [pad] light_lux "
                f"and the camera picamera2, not {self.camera.source}"
            )
            raise ValueError(message)

    @property
    def pad_level(self) -> PadLevel:
        """The level outside all hours."""
        return self._highest if self.pad.level == "auto" else PadLevel(self.pad.level)

    @property
    def _highest(self) -> PadLevel:
        lit = self.gpio.light is not None and self.pad.light_lux is not None
        able = lit and self.camera.source == "picamera2"
        return PadLevel.FLASH_AND_CHALLENGE if able else PadLevel.BASIC


def parse_config(text: str, source: str) -> Config:
    """Read a configuration. source names it in errors. Raises ConfigError."""
    try:
        document = tomllib.loads(text, parse_float=_finite)
        _take_none(document, type_info(Config))
        config = msgspec.convert(document, Config)
    except (tomllib.TOMLDecodeError, _NotFiniteError, RecursionError) as error:
        message = f"{source}: not valid TOML: {error}: mend that line"
        raise ConfigError(message) from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").lstrip(".") or "top level"
        raise _refusal(source, key, what) from None
    for name in ("recognition", "lockout", "enrolment", "codes"):
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
