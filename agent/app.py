"""The composition root: the only place that names the concrete classes behind the ports."""

import fcntl
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from agent import __version__
from agent.adapters import backup, driven
from agent.adapters.camera import open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.database import hold, is_outdated, is_sealed, translated
from agent.adapters.devicekey import KeyFile, find_key
from agent.adapters.digest import CodeDigest
from agent.adapters.documents import Verified, verify
from agent.adapters.epoch import EpochSecret
from agent.adapters.evdev import CardReader, Keypad
from agent.adapters.files import lock
from agent.adapters.gpio import GpioInputs, GpioRelease, open_gpio
from agent.adapters.indicator import GpioIndicator
from agent.adapters.mqtt import MqttReporter
from agent.adapters.note import Verifier, parse_verifier
from agent.adapters.shortlist import require_faiss, shortlist_of
from agent.adapters.simulated import SimulatedDoor
from agent.adapters.store import SqliteStore
from agent.adapters.systemd import NotifySocket
from agent.adapters.vault import Vault
from agent.config import Config, Readers, parse_config
from agent.core.access import Access, Hours
from agent.core.consent import Roll
from agent.core.controller import Controller
from agent.core.decision import Judge
from agent.core.events import Restored, Started
from agent.core.examination import ANSWERS, CODES
from agent.core.inputs import StoreLoaded
from agent.core.matching import Calibration
from agent.core.pad import PadLevel
from agent.core.policy import parse_schedule
from agent.core.rules import Outside, Rules
from agent.core.types import Notice, Now, SubjectId
from agent.errors import ConfigError, DamagedStoreError, DeviceError, StoreError
from agent.housekeeping import Housekeeping
from agent.ports import Camera, Clock, DeviceKey, Inputs, Pad, Recorded, Reporter, Store, Vision
from agent.presentations import Examine, Seen
from agent.runtime import Door, Runtime
from agent.vision.calibration import load_calibration
from agent.vision.pad import FlashPad, field_of_view
from agent.vision.pipeline import Pipeline, load_pipeline
from agent.wire.commands import read_command

SYSTEM_CONFIG = Path("/etc/doorward/doorward.toml")
SERVICE_STATE = Path("/var/lib/doorward")
DATABASE = "doorward.db"
SETTLED = 5
"""Frames after which the exposure has followed a change."""
NOTICES = Path(__file__).resolve().parent / "notices"


def load_config(path: Path | None) -> Config:
    """Read a configuration file; without a path, the system's, or the defaults where it has none.

    Raises ConfigError.
    """
    file, text = read_config(path)
    return parse_config(text, str(file))


def read_config(path: Path | None) -> tuple[Path | None, str]:
    """Give the file of the configuration, None where the system has none, and its text.

    Raises ConfigError.
    """
    chosen = path or SYSTEM_CONFIG
    try:
        return chosen, chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path is None:
            return None, ""
        raise ConfigError(f"{chosen}: there is no such file: name another with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"{chosen}: cannot be read: {reason}: name another with --config"
        raise ConfigError(message) from None


def state_directory(config: Config) -> Path:
    """Give the folder of the database: the configured one, the service's, or one of the user's."""
    given = config.state_directory or os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given)
    # The service manager names it to the agent only, yet every command must find the same one.
    return SERVICE_STATE if SERVICE_STATE.is_dir() else Path.home() / ".local/state/doorward"


def models_directory(config: Config) -> Path:
    """Give the folder of the models: the configured, the installed, or that beside the package."""
    if config.models_directory:
        return Path(config.models_directory)
    installed = Path(sys.prefix) / "models"
    return installed if installed.is_dir() else Path(__file__).resolve().parent.parent / "models"


def new_subject() -> SubjectId:
    """Make a random pseudonym."""
    return SubjectId(f"s-{secrets.token_hex(8)}")


def new_challenge() -> str:
    """Make what signed commands must carry: 32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


OUTSIDE = Outside(read_command, new_subject, new_challenge, secrets.randbelow)
"""What the core is lent."""


def load_notice(config: Config) -> Notice:
    """Read the privacy notice in force. Raises ConfigError."""
    version = config.enrolment.notice
    path = Path(config.notice_file) if config.notice_file else NOTICES / f"{version}.md"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: privacy notice {version!r} cannot be read: {error.strerror}: "
            "set notice_file to its text, or [enrolment] notice to the version that there is"
        ) from None
    return Notice(version, hashlib.sha256(text).hexdigest())


def device_key(config: Config) -> DeviceKey:
    """Read the device key; a device that has none and never had a database makes a key file.

    Raises StoreError.
    """
    directory = state_directory(config)
    source = find_key(directory)
    with translated(directory):
        fresh = not EpochSecret(directory).path.exists() and not is_sealed(database(config))
    if isinstance(source, KeyFile) and fresh:
        source.make()
    return source.read()


def code_digest(config: Config) -> CodeDigest:
    """Give what makes digests of codes and cards with the device key. Raises StoreError."""
    return CodeDigest(device_key(config))


def database(config: Config) -> Path:
    """Give the file of the database."""
    return state_directory(config) / DATABASE


def open_store(config: Config, clock: Clock) -> Store:
    """Open the database, and make it where there never was one. Raises StoreError."""
    # An agent of the version before would find what this one writes damaged.
    if is_outdated(database(config)) and agent_is_running(config):
        raise StoreError(
            f"{database(config)}: an agent of an earlier version is running on it: "
            "restart it first, then try again"
        )
    return _opened(config, clock)


def _opened(config: Config, clock: Clock) -> Store:
    if config.large_gallery:
        require_faiss()
    index = shortlist_of if config.large_gallery else None
    return SqliteStore(database(config), clock, device_key(config), index)


def checked_store(config: Config, clock: Clock) -> Store:
    """Open the database and check all of it; what is damaged is set aside. Raises StoreError."""
    path = database(config)
    try:
        store = _opened(config, clock)
        try:
            store.verify()
        except StoreError:
            store.close()
            raise
    except DamagedStoreError as error:
        try:
            with closing(hold(path, alone=True)), translated(path):
                aside = backup.set_aside(path)
        except StoreError as held:
            raise StoreError(f"{error} ({held})") from error
        raise StoreError(f"{error}; it is kept as {aside}") from error
    return store


def restore_backup(config: Config, file: Path, *, older: bool) -> Recorded:
    """Put a backup in the place of the database, with no agent running. Raises StoreError."""
    with sole_agent(config):
        vault = Vault(find_key(state_directory(config)).read())
        seq = backup.restore(database(config), file, vault, older=older)
        clock = SystemClock()
        with opened_store(config) as store:
            return store.append(Restored(seq), clock.now())


def make_backup(config: Config) -> Path:
    """Copy the database into the folder of backups. Raises StoreError."""
    with opened_store(config):
        return backup.make_backup(database(config))


def check_document(config: Config, note: str, key: str | None) -> Verified:
    """Check a signed note with a verifier key, or without one, with this device's own.

    Raises StoreError, and ValueError for a note that does not hold.
    """
    if key is None:
        return verify(note, _own_verifier(config))
    try:
        verifier = parse_verifier(key)
    except ValueError as error:
        raise StoreError(f"--key: {error}: `doorward status` shows it") from None
    return verify(note, verifier)


def _own_verifier(config: Config) -> Verifier:
    try:
        return Vault(find_key(state_directory(config)).read()).signer.verifier
    except StoreError as error:
        raise StoreError(f"{error}; or name the key of another device with --key") from error


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
        try:
            held = lock(directory / "agent.lock", alone=True)
        except BlockingIOError:
            message = f"{directory}: an agent is running on it: stop that one first"
            raise StoreError(message) from None
    with held:
        yield


def agent_is_running(config: Config) -> bool:
    """Say whether an agent holds the state folder."""
    try:
        with (state_directory(config) / "agent.lock").open("r", encoding="ascii") as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def load_vision(config: Config) -> tuple[Pipeline, Calibration]:
    """Load the models, and what they were measured to do. Raises ModelError."""
    directory = models_directory(config)
    pipeline = load_pipeline(directory, config.quality)
    return pipeline, load_calibration(directory, pipeline.model)


def as_the_agent(
    config: Config, calibration: Calibration, loaded: StoreLoaded, now: Now
) -> tuple[Roll, Judge]:
    """Give who is compared, and how sure the door must be of them, as an agent would have it.

    Raises ConfigError.
    """
    roll = Roll(load_notice(config), calibration.model)
    roll.load(loaded, now)
    return roll, Judge(config.recognition, calibration, roll.gallery)


def load_pad(config: Config, pipeline: Pipeline) -> Pad:
    """Give what examines faces by the light. Raises ConfigError where that is not measured."""
    light, camera = config.pad.light_lux, config.camera
    if light is None:
        raise ConfigError("pad: how bright the light is is not known: set [pad] light_lux")
    if camera.roi is None:
        return FlashPad(pipeline, light, field_of_view(1.0))
    sides = (camera.width, camera.height)
    if camera.rotation % 180:
        sides = sides[::-1]
    longer = max(share * side for share, side in zip(camera.roi[2:], sides, strict=True))
    return FlashPad(pipeline, light, field_of_view(longer / max(sides)))


@contextmanager
def examiner(config: Config) -> Iterator[Examine]:
    """Hold the door's camera and light, and give what examines a presentation by them.

    Raises ConfigError where no light examines faces, StoreError while the agent runs, DeviceError.
    """
    if access(config).strictest is PadLevel.BASIC:
        raise ConfigError(
            "pad bench: no light examines faces here: set [gpio] light and [pad] light_lux, with "
            "the Pi's camera"
        )
    clock = SystemClock()
    with sole_agent(config), ExitStack() as held:
        pipeline, _ = load_vision(config)
        pad = load_pad(config, pipeline)
        door = hardware(config, opened_camera(config, config.camera.source, clock))
        for close in (
            door.release.close,
            *(inputs.close for inputs in door.inputs),
            door.indicator.close,
            door.camera.close,
        ):
            held.callback(close)
        frames = door.camera.frames()

        def examine() -> Seen:
            # Whoever is presented may have changed the light: the exposure follows in some frames.
            for _ in range(SETTLED):
                if next(frames, None) is None:
                    raise DeviceError("camera: it has ended: try again")
            try:
                series = door.camera.series(
                    secrets.choice(CODES),
                    lambda on: door.indicator.flash(on=on),
                    clock.now().monotonic + ANSWERS,
                )
            finally:
                door.indicator.flash(on=None)
            if series is None:
                raise DeviceError("camera: too few frames in time: try again")
            return pad(series), series.ambient

        yield examine


def opened_camera(config: Config, camera: str, clock: Clock) -> Camera:
    """Open a camera, with room in its exposure for the light. Raises ConfigError, DeviceError."""
    return open_camera(camera, config.camera, clock, config.pad.light_lux or 0.0)


def hardware(config: Config, camera: Camera) -> Door:
    """Attach the real door. Raises DeviceError, StoreError."""
    gpio = open_gpio()
    with translated(state_directory(config)):
        driven.keep(state_directory(config), config.gpio)
    return Door(
        camera=camera,
        release=GpioRelease(gpio, config.gpio),
        inputs=[
            GpioInputs(gpio, config.gpio, config.enrolment.hold_seconds, new_subject),
            *readers(config),
        ],
        indicator=GpioIndicator(gpio, config.gpio),
    )


def readers(config: Config) -> list[Inputs]:
    """Attach the keypad and the card reader, if any. Raises DeviceError, StoreError."""
    if config.readers == Readers():
        return []
    digest = code_digest(config)
    keypad, card_reader = config.readers.keypad, config.readers.card_reader
    attached: list[Inputs] = [] if keypad is None else [Keypad(keypad, digest.pin)]
    return attached if card_reader is None else [*attached, CardReader(card_reader, digest.card)]


def lock_release(config_file: Path | None) -> int:
    """Put the relay's line to rest in place of an agent that could not, and give the line.

    It is the line that the last agent drove, even where the configuration was changed since, or
    cannot be read any more. Raises DeviceError, and touches nothing, while an agent runs, whose
    line it is; ConfigError where nothing says which line it was.
    """
    try:
        config = load_config(config_file)
    except ConfigError:
        config = Config()
        if driven.last(state_directory(config)) is None:
            raise
    try:
        with sole_agent(config):
            lines = driven.last(state_directory(config)) or config.gpio
            GpioRelease(open_gpio(), lines).close()
    except StoreError:
        raise DeviceError(
            "lock: an agent is running, which locks the door itself; nothing was touched: "
            "`doorward remote lock` asks it to, `sudo systemctl stop doorward` ends it"
        ) from None
    return lines.relay


def simulation(camera: Camera, door: SimulatedDoor) -> Door:
    """Attach a simulated door."""
    return Door(camera=camera, release=door, inputs=[door], indicator=door)


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
    pad: Pad | None = None,
) -> Runtime:
    """Put the agent together; without `pad` faces count at level basic."""
    rules = Rules(
        recognition=config.recognition,
        lockout=config.lockout,
        access=at_basic(config) if pad is None else access(config),
        codes=config.codes,
        enrolment=config.enrolment,
        release_seconds=config.door.release_seconds,
        accessible_seconds=max(config.door.accessible_seconds, config.door.release_seconds),
        held_open_seconds=config.door.held_open_seconds,
        door=config.door.name,
        remote_unlock=config.mqtt.remote_unlock,
        notice=load_notice(config),
    )
    return Runtime(
        controller=Controller(rules, calibration, OUTSIDE),
        vision=vision,
        door=door,
        store=store,
        reporters=reporters,
        service=NotifySocket(os.environ.get("NOTIFY_SOCKET")),
        clock=clock,
        model=calibration.model,
        started=Started(__version__, simulated),
        housekeeping=Housekeeping(store, config.retention),
        pad=pad,
    )


def access(config: Config) -> Access:
    """Give what opens the door when."""
    hours = (
        Hours(parse_schedule(each.when), each.mode, each.level) for each in config.access.hours
    )
    return Access(config.access.mode, tuple(hours), config.pad_level)


def at_basic(config: Config) -> Access:
    """Give the same of a door at which no light examines a face."""
    asked = access(config)
    hours = tuple(replace(each, pad=None) for each in asked.hours)
    return replace(asked, hours=hours, pad=PadLevel.BASIC)


def broker(config: Config) -> list[Reporter]:
    """Give the reporter to the configured broker; none where there is no broker."""
    if config.mqtt.host is None:
        return []
    return [MqttReporter(config.mqtt, config.door.name, __version__)]


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
        source = opened_camera(config, camera, clock)
        pad = None
        if simulate:
            door = simulation(source, SimulatedDoor(clock, new_subject))
        else:
            config = with_camera(config, camera)
            if access(config).strictest is not PadLevel.BASIC:
                pad = load_pad(config, vision)
            door = hardware(config, source)
        store = checked_store(config, clock)
        told = [*reporters, *broker(config)]
        yield assemble(
            config, vision, calibration, door, store, told, clock, simulated=simulate, pad=pad
        )


def with_camera(config: Config, camera: str) -> Config:
    """Give the configuration with another camera. Raises ConfigError where that does not go."""
    settings = msgspec.structs.replace(config.camera, source=camera)
    try:
        return msgspec.structs.replace(config, camera=settings)
    except ValueError as error:
        raise ConfigError(f"{error}: set [pad] level and those of the hours to basic") from None
