"""The composition root: the only place that names the concrete classes behind the ports."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent import __version__
from agent.adapters.camera import open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.database import open_for_owner, translated
from agent.adapters.gpio import GpioInputs, GpioRelease, open_gpio
from agent.adapters.indicator import GpioIndicator
from agent.adapters.mqtt import MqttReporter
from agent.adapters.simulated import SimulatedDoor
from agent.adapters.store import SqliteStore
from agent.adapters.systemd import NotifySocket
from agent.config import Config, parse_config
from agent.core.controller import Controller, Rules
from agent.core.events import Started
from agent.core.matching import Calibration
from agent.core.types import SubjectId
from agent.errors import ConfigError, StoreError
from agent.ports import Camera, Clock, Reporter, Store, Vision
from agent.runtime import Door, Runtime
from agent.vision.calibration import load_calibration
from agent.vision.pipeline import load_pipeline

SYSTEM_CONFIG = Path("/etc/doorward/doorward.toml")
SERVICE_STATE = Path("/var/lib/doorward")


def load_config(path: Path | None) -> Config:
    """Read a configuration file; without a path, the system's, or the defaults where it has none.

    Raises ConfigError.
    """
    chosen = path or SYSTEM_CONFIG
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path is None:
            return Config()
        raise ConfigError(f"{chosen}: there is no such file: name another with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"{chosen}: cannot be read: {reason}: name another with --config"
        raise ConfigError(message) from None
    return parse_config(text, str(chosen))


def state_directory(config: Config) -> Path:
    """Give the folder of the database: the configured one, the service's, or one of the user's."""
    given = config.state_directory or os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given)
    # The service manager names it to the agent only, yet every command must find the same one.
    return SERVICE_STATE if SERVICE_STATE.is_dir() else Path.home() / ".local/state/doorward"


def models_directory(config: Config) -> Path:
    """Give the folder of the models: the configured one, or that beside the package."""
    given = config.models_directory
    return Path(given) if given else Path(__file__).resolve().parent.parent / "models"


def new_subject() -> SubjectId:
    """Make a random pseudonym."""
    return SubjectId(f"s-{secrets.token_hex(8)}")


def open_store(config: Config, clock: Clock) -> Store:
    """Open the database, and make it where there is none. Raises StoreError."""
    return SqliteStore(state_directory(config) / "doorward.db", clock.boot_id)


@contextmanager
def opened_store(config: Config) -> Iterator[Store]:
    """Open the database for a while. Raises StoreError."""
    store = open_store(config, SystemClock())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def sole_agent(config: Config) -> Iterator[None]:
    """Hold the right to be the one agent of this state folder. Raises StoreError."""
    directory = state_directory(config)
    with translated(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.fdopen(open_for_owner(directory / "agent.lock"), "w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"{directory}: an agent is running on it: stop that one first"
            raise StoreError(message) from None
        yield


def agent_is_running(config: Config) -> bool:
    """Say whether an agent holds the state folder."""
    try:
        with (state_directory(config) / "agent.lock").open("r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def load_vision(config: Config) -> tuple[Vision, Calibration]:
    """Load the models, and what they were measured to do. Raises ModelError."""
    directory = models_directory(config)
    pipeline = load_pipeline(directory, config.quality)
    return pipeline, load_calibration(directory, pipeline.model)


def hardware(config: Config, camera: Camera) -> Door:
    """Attach the real door. Raises DeviceError."""
    gpio = open_gpio()
    return Door(
        camera=camera,
        release=GpioRelease(gpio, config.gpio),
        inputs=GpioInputs(gpio, config.gpio, config.enrolment.hold_seconds, new_subject),
        indicator=GpioIndicator(gpio, config.gpio),
    )


def simulation(camera: Camera, door: SimulatedDoor) -> Door:
    """Attach a simulated door."""
    return Door(camera=camera, release=door, inputs=door, indicator=door)


def assemble(  # noqa: PLR0913 - each is a part that the caller alone can choose
    config: Config,
    vision: Vision,
    calibration: Calibration,
    door: Door,
    store: Store,
    reporters: Sequence[Reporter],
    clock: Clock,
    *,
    simulated: bool,
) -> Runtime:
    """Put the agent together."""
    rules = Rules(
        recognition=config.recognition,
        lockout=config.lockout,
        enrolment=config.enrolment,
        release_seconds=config.door.release_seconds,
    )
    return Runtime(
        controller=Controller(rules, calibration),
        vision=vision,
        door=door,
        store=store,
        reporters=reporters,
        service=NotifySocket(os.environ.get("NOTIFY_SOCKET")),
        clock=clock,
        model=calibration.model,
        started=Started(__version__, simulated),
    )


def broker(config: Config) -> list[Reporter]:
    """Give the reporter to the configured broker; none where there is no broker."""
    if config.mqtt.host is None:
        return []
    return [MqttReporter(config.mqtt, config.door.name, new_subject)]


@contextmanager
def agent(
    config: Config, camera: str, reporters: Sequence[Reporter], *, simulate: bool
) -> Iterator[Runtime]:
    """Make ready the agent that `doorward run` runs, as the only one of its state folder.

    Raises DoorwardError.
    """
    clock = SystemClock()
    with sole_agent(config):
        vision, calibration = load_vision(config)
        source = open_camera(camera, config.camera, clock)
        if simulate:
            door = simulation(source, SimulatedDoor(clock, new_subject))
        else:
            door = hardware(config, source)
        store = open_store(config, clock)
        told = [*reporters, *broker(config)]
        yield assemble(config, vision, calibration, door, store, told, clock, simulated=simulate)
