"""`doorward doctor`: what the door needs, whether it is there, and how to mend it."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import msgspec

from agent import app, attacks, installation, manual
from agent.adapters import machine
from agent.adapters.broker import explain, read_access, retain
from agent.adapters.camera import open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.devicekey import KEY_FILE, describe
from agent.adapters.gpio import open_gpio
from agent.adapters.permissions import memberships, owner, permissions
from agent.config import Config, Mqtt, Readers, parse_config
from agent.core.access import pad_level
from agent.core.events import FaultCleared, FaultRaised, Part, Started
from agent.core.orders import Operation, RemoteUnlock
from agent.errors import ConfigError, DeviceError, DoorwardError
from agent.vision.models import RUNTIME
from agent.wire.discovery import removal

CONNECT_SECONDS = 3.0
NO_START = "the agent does not start"
RECENT = 1000
"""Events of the log that are looked at, at most, for what the agent says of its parts."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. needed: whether the door stays shut without it. means: what comes of it if so.

    finding: how it is, and where it is wrong, how to mend it.
    """

    part: str
    good: bool
    needed: bool
    means: str
    finding: str


@dataclass(frozen=True, slots=True)
class _Look:
    """How a part is looked at. look: gives a finding, or raises DoorwardError."""

    part: str
    look: Callable[[Config], str]
    needed: bool
    means: str


def examine(config_file: Path | None, *, simulate: bool) -> Iterator[Check]:
    """Check each part in turn; raises nothing for what an operator can mend."""
    try:
        file, text = installation.read_config(config_file)
        config = parse_config(text, str(file))
    except ConfigError as error:
        yield Check("config", good=False, needed=True, means=NO_START, finding=str(error))
        return
    yield Check(
        "config", good=True, needed=True, means=NO_START, finding=f"door {config.door.name!r}"
    )
    own = _Look(
        "permissions",
        partial(_permissions, file),
        needed=False,
        means="others may read or change it",
    )
    for each in (*_SOFTWARE, own, *(() if simulate else _HARDWARE), *_WORLD):
        yield _checked(each, config)


def _checked(each: _Look, config: Config) -> Check:
    try:
        return Check(
            each.part, good=True, finding=each.look(config), needed=each.needed, means=each.means
        )
    except ConfigError as error:
        return Check(each.part, good=False, finding=str(error), needed=True, means=NO_START)
    except DoorwardError as error:
        return Check(
            each.part, good=False, finding=str(error), needed=each.needed, means=each.means
        )


# --- the software and what it keeps ---------------------------------------------------------------


def _models(config: Config) -> str:
    _, calibration = app.load_vision(config)
    kind = "provisional calibration" if calibration.provisional else "calibrated"
    return f"digests match, {kind}, run by {RUNTIME}"


def _notice(config: Config) -> str:
    return f"privacy notice {installation.load_notice(config).version}"


def _key(config: Config) -> str:
    key = installation.device_key(config)
    return f"{key.origin}: protection level {int(key.level)}, {describe(key.level)}"


def _store(config: Config) -> str:
    with installation.opened_store(config) as store:
        store.check()
        store.verify()
        count = len(store.subjects())
    return (
        f"{installation.state_directory(config)}: {count} enrolled; the log is as it was committed"
    )


def _sureness(config: Config) -> str:
    _, calibration = app.load_vision(config)
    with installation.opened_store(config) as store:
        loaded = store.load(calibration.model)
    _, judge = app.as_the_agent(config, calibration, loaded, SystemClock().now())
    if not judge.threshold.met:
        raise DeviceError(judge.sureness)
    return judge.sureness


def _disk(config: Config) -> str:
    return machine.disk(installation.state_directory(config))


def _card(config: Config) -> str:
    return machine.card(installation.state_directory(config))


def _permissions(config_file: Path | None, config: Config) -> str:
    state = installation.state_directory(config)
    secrets = [Path(path) for path in (config.mqtt.password_file, config.mqtt.key_file) if path]
    return permissions(state, [state / KEY_FILE], config_file, secrets)


_SOFTWARE = (
    _Look(
        "models", _models, needed=True, means="no face is recognised, and the agent does not start"
    ),
    _Look("notice", _notice, needed=True, means=NO_START),
    _Look("key", _key, needed=True, means="nothing kept can be read, and the agent does not start"),
    _Look("store", _store, needed=True, means="nobody is known, and nothing opens"),
    _Look("sureness", _sureness, needed=False, means="strangers are admitted more often"),
    _Look("disk", _disk, needed=True, means="what cannot be logged does not open"),
    _Look("card", _card, needed=False, means="the disk will fail or be full before long"),
)


# --- the hardware ---------------------------------------------------------------------------------


def _groups(config: Config) -> str:
    wanted = ["gpio", "video", *(["input"] if _devices(config, "/dev/input/") else [])]
    return memberships(owner(installation.state_directory(config)), wanted)


def _camera(config: Config) -> str:
    if installation.agent_is_running(config):
        return _in_use(config, Part.CAMERA)
    camera = open_camera(config.camera.source, config.camera, SystemClock())
    try:
        frame = next(camera.frames())
    finally:
        camera.close()
    height, width = frame.pixels.shape[:2]
    return f"gives frames of {width}x{height}"


def _gpio(config: Config) -> str:
    chip = machine.gpio_chip()
    if installation.agent_is_running(config):
        return f"{chip}: {_in_use(config, Part.RELEASE)}"
    open_gpio()
    return f"{chip}; the release on line {config.gpio.relay} is not tried: it would open the door"


def _attacks(config: Config) -> str:
    access = app.access(config)
    told = attacks.in_words(pad_level(access, SystemClock().now()))
    return told if len(access.levels) == 1 else f"{told} (by the hour: {', '.join(access.levels)})"


def _in_use(config: Config, part: Part) -> str:
    """Give what the agent that runs says of a part. Raises DeviceError with its complaint."""
    with installation.opened_store(config) as store:
        for recorded in reversed(store.last_events(RECENT)):
            event = recorded.event
            if isinstance(event, FaultRaised) and event.part is part:
                raise DeviceError(event.reason)
            if isinstance(event, Started | FaultCleared) and getattr(event, "part", part) is part:
                break
    return "in use by the agent, which has no complaint"


def _lines(config: Config) -> str:
    known = manual.keys(manual.tables()).values()
    numbered = {key.name: manual.value(config, key.name) for key in known if key.unit == manual.BCM}
    return machine.second_uses(
        {name: line for name, line in numbered.items() if isinstance(line, int)}
    )


def _named_devices(config: Config) -> str:
    devices = _devices(config, "/dev/")
    if config.readers != Readers() and find_spec("evdev") is None:
        # The agent does not start without it, so neither is the door to be called well.
        raise ConfigError("readers: evdev is not installed: sudo apt install python3-evdev")
    for name, path in devices.items():
        if not path.exists():
            raise DeviceError(
                f"{name}: {path}: there is no such device: plug it in, or mend {name}"
            )
        if not os.access(path, os.R_OK):
            raise DeviceError(f"{name}: {path}: may not be opened: run as root, or see groups")
    return ", ".join(map(str, devices.values())) or "none is named in the configuration"


def _devices(config: Config, below: str) -> dict[str, Path]:
    """Give the device files that the configuration names, by key: whatever the key is for."""
    return {
        f"{section}.{key}": Path(value)
        for section, settings in msgspec.to_builtins(config).items()
        if isinstance(settings, Mapping)
        for key, value in settings.items()
        if isinstance(value, str) and value.startswith(below)
    }


_HARDWARE = (
    _Look("groups", _groups, needed=True, means="the agent may not use the camera or the lines"),
    _Look("camera", _camera, needed=True, means="nobody is seen"),
    _Look("gpio", _gpio, needed=True, means="the release cannot be moved"),
    _Look("attacks", _attacks, needed=False, means="what is shown may pass for a face"),
    _Look("lines", _lines, needed=False, means="two things move one line"),
    _Look("devices", _named_devices, needed=False, means="what is typed or held there is not read"),
)


# --- the world ------------------------------------------------------------------------------------


def _broker(config: Config) -> str:
    broker: Mqtt = config.mqtt
    if broker.host is None:
        return "none configured: events wait in the outbox"
    read_access(broker)
    try:
        socket.create_connection((broker.host, broker.port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        message = f"{broker.host}:{broker.port}: {explain(error)}: start the broker or mend [mqtt]"
        raise DeviceError(message) from None
    plain = "" if broker.tls else ", without encryption"
    return f"{broker.host}:{broker.port} answers{plain}"


def _remote(config: Config) -> str:
    with installation.opened_store(config) as store:
        trusted = store.controllers().values()
    opening = sum(Operation.UNLOCK in each.rights for each in trusted)
    match config.mqtt.remote_unlock:
        case RemoteUnlock.OFF:
            return "nobody opens the door from afar"
        case RemoteUnlock.SIGNED:
            return (
                f"{opening} of {len(trusted)} trusted controllers may open the door, by signature"
            )
        case RemoteUnlock.BROKER:
            return (
                "WHOEVER MAY WRITE TO THE BROKER OPENS THE DOOR, with no signature: "
                f'remote_unlock = "broker"; so may {opening} trusted controllers'
            )


def _clock(_: Config) -> str:
    kept = machine.real_time_clock()
    if not SystemClock().now().trusted:
        message = (
            f"clock: the wall clock is not known to be set, {kept}: "
            "sudo timedatectl set-ntp true, and wait for a time server"
        )
        raise DeviceError(message)
    return f"set, {kept}"


_WORLD = (
    _Look("broker", _broker, needed=False, means="the door opens all the same, and events wait"),
    _Look("remote", _remote, needed=False, means="no command from afar is taken"),
    _Look("clock", _clock, needed=False, means="residents with dates or hours are refused"),
    _Look(
        "temperature",
        lambda _: machine.temperature(),
        needed=False,
        means="faces are judged more slowly",
    ),
    _Look(
        "power",
        lambda _: machine.power(),
        needed=False,
        means="the Pi slows down, or stops at random",
    ),
)


def remove_discovery(config: Config) -> list[str]:
    """Have Home Assistant forget the door; give the topics that were emptied.

    Raises ConfigError, and DeviceError where the broker cannot be reached.
    """
    door, broker = config.door.name, config.mqtt
    emptied = removal(door, broker.discovery_prefix)
    access = read_access(broker)
    try:
        retain(access, f"doorward-{door}-doctor", emptied)
    except (OSError, ValueError) as error:
        message = f"{broker.host}:{broker.port}: {explain(error)}: start the broker or mend [mqtt]"
        raise DeviceError(message) from None
    return list(emptied)
