"""`doorward doctor`: what the door needs, whether it is there, and how to mend it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import app
from agent.adapters.broker import explain, read_access, retain
from agent.adapters.camera import open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.devicekey import describe
from agent.adapters.gpio import open_gpio
from agent.config import Config, Mqtt
from agent.core.orders import Operation, RemoteUnlock
from agent.errors import ConfigError, DeviceError, DoorwardError
from agent.wire.discovery import removal

CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. needed: whether the door stays shut without it."""

    part: str
    good: bool
    needed: bool
    finding: str


def examine(config_file: Path | None, *, simulate: bool) -> Iterator[Check]:
    """Check each part in turn; raises nothing for what an operator can mend."""
    try:
        config = app.load_config(config_file)
    except ConfigError as error:
        yield Check("config", good=False, needed=True, finding=str(error))
        return
    yield Check("config", good=True, needed=True, finding=f"door {config.door.name!r}")
    parts = [
        ("models", _models, True),
        ("key", _key, True),
        ("store", _store, True),
        ("broker", _broker, False),
        ("remote", _remote, False),
        ("clock", _clock, False),
    ]
    if not simulate:
        parts[3:3] = [("camera", _camera, True), ("gpio", _gpio, True)]
    for part, look, needed in parts:
        try:
            yield Check(part, good=True, needed=needed, finding=look(config))
        except ConfigError as error:
            # The agent does not even start on it.
            yield Check(part, good=False, needed=True, finding=str(error))
        except DoorwardError as error:
            yield Check(part, good=False, needed=needed, finding=str(error))


def _models(config: Config) -> str:
    _, calibration = app.load_vision(config)
    kind = "provisional calibration" if calibration.provisional else "calibrated"
    return f"digests match, {kind}"


def _store(config: Config) -> str:
    with app.opened_store(config) as store:
        store.check()
        store.verify()
        count = len(store.subjects())
    return f"{app.state_directory(config)}: {count} enrolled; the log is as it was committed"


def _key(config: Config) -> str:
    key = app.device_key(config)
    return f"{key.origin}: protection level {int(key.level)}, {describe(key.level)}"


def _camera(config: Config) -> str:
    if app.agent_is_running(config):
        return "in use by the agent"
    camera = open_camera("picamera2", config.camera, SystemClock())
    try:
        frame = next(camera.frames())
    finally:
        camera.close()
    height, width = frame.pixels.shape[:2]
    return f"gives frames of {width}x{height}"


def _gpio(config: Config) -> str:
    open_gpio()
    return f"there; the release on line {config.gpio.relay} is not tried: it would open the door"


def _broker(config: Config) -> str:
    broker: Mqtt = config.mqtt
    if broker.host is None:
        return "none configured: events wait in the outbox"
    read_access(broker)
    try:
        socket.create_connection((broker.host, broker.port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        message = (
            f"{broker.host}:{broker.port}: {explain(error)}: "
            "start the broker or mend [mqtt]; the door opens without it"
        )
        raise DeviceError(message) from None
    plain = "" if broker.tls else ", without encryption"
    return f"{broker.host}:{broker.port} answers{plain}"


def _remote(config: Config) -> str:
    with app.opened_store(config) as store:
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


def _clock(_: Config) -> str:
    if not SystemClock().now().trusted:
        message = (
            "the wall clock is not known to be set: residents with dates or hours are refused: "
            "sudo timedatectl set-ntp true"
        )
        raise DeviceError(message)
    return "set"
