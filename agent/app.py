"""The composition root: the only place that names the concrete classes behind the ports."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from agent import __version__
from agent.adapters import driven
from agent.adapters.camera import open_camera
from agent.adapters.clock import SystemClock
from agent.adapters.database import translated
from agent.adapters.evdev import CardReader, Keypad
from agent.adapters.gpio import GpioInputs, GpioRelease, open_gpio
from agent.adapters.indicator import GpioIndicator
from agent.adapters.mqtt import MqttReporter
from agent.adapters.simulated import SimulatedDoor
from agent.adapters.systemd import NotifySocket
from agent.config import Config, Readers
from agent.core.access import Access, Hours
from agent.core.consent import Roll
from agent.core.controller import Controller
from agent.core.decision import Judge
from agent.core.events import Started
from agent.core.examination import ANSWERS, CODES
from agent.core.inputs import StoreLoaded
from agent.core.matching import Calibration
from agent.core.pad import PadLevel
from agent.core.policy import parse_schedule
from agent.core.rules import Outside, Rules
from agent.core.types import Now, SubjectId
from agent.errors import ConfigError, DeviceError, StoreError
from agent.housekeeping import Housekeeping
from agent.installation import (
    checked_store,
    code_digest,
    load_config,
    load_notice,
    models_directory,
    sole_agent,
    state_directory,
)
from agent.ports import Camera, Clock, Inputs, Pad, Reporter, Store, Vision
from agent.presentations import Examine, Seen
from agent.runtime import Door, Runtime
from agent.vision.calibration import load_calibration
from agent.vision.pad import FlashPad, field_of_view
from agent.vision.pipeline import Pipeline, load_pipeline
from agent.wire.commands import read_command

SETTLED = 5
"""Frames after which the exposure has followed a change."""


def new_subject() -> SubjectId:
    """Make a random pseudonym."""
    return SubjectId(f"s-{secrets.token_hex(8)}")


def new_challenge() -> str:
    """Make what signed commands must carry: 32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


OUTSIDE = Outside(read_command, new_subject, new_challenge, secrets.randbelow)
"""What the core is lent."""


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
