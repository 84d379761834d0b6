"""Doors as the agent runs them: the real core, codec and store, and a release that takes notes."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.store import SqliteStore
from agent.core.controller import Controller
from agent.core.effects import (
    Answer,
    Append,
    Change,
    Distrust,
    Drop,
    Effect,
    Energise,
    SendChallenge,
    Trust,
)
from agent.core.events import ControllerRemoved, ControllerTrusted, Event, Part
from agent.core.inputs import Faulted, Input, Recovered, StoreLoaded, Tick
from agent.core.orders import (
    ControllerId,
    Operation,
    Order,
    RemoteUnlock,
    TrustedController,
)
from agent.core.rules import Outside, Rules
from agent.core.types import Now, SubjectId
from agent.errors import DeviceError, StoreError
from agent.wire.commands import controller_id, encode_order, read_command
from tests.core.people import CALIBRATION, NOTICE
from tests.residents import NOW, new_store

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
"""Where a file system lies in memory: what is committed here need not outlast the computer."""


@contextmanager
def short_lived_folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Key:
    """A controller's key pair."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def id(self) -> ControllerId:
        return controller_id(self.public)

    def encode(self, order: Order) -> bytes:
        return encode_order(order, self.private.sign)

    def sign(self, body: bytes, domain: bytes = b"doorward command v1\n") -> bytes:
        """Sign what the codec of the agent would not write."""
        return self.private.sign(domain + body) + body


@cache
def key_of(name: str) -> Key:
    """Give somebody's key, which is always the same one."""
    return Key(name, Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def trust(store: SqliteStore, name: str, rights: frozenset[str], counter: int = 0) -> None:
    key = key_of(name)
    operations = frozenset(map(Operation, rights))
    controller = TrustedController(key.id, name, key.public, operations, counter)
    store.append(ControllerTrusted(key.id), NOW, Trust(controller))


def distrust(store: SqliteStore, name: str) -> None:
    store.append(ControllerRemoved(key_of(name).id), NOW, Distrust(key_of(name).id))


class PowerCutError(Exception):
    """The agent is no more."""


@dataclass(frozen=True)
class Release:
    """That the door was released. after: what was committed before, of the same step."""

    effect: Energise
    after: tuple[Event, ...]


_numbers = count(1)


def _new_challenge() -> str:
    return hashlib.sha256(b"challenge %d" % next(_numbers)).hexdigest()[:32]


class Door:
    """Does what agent/runtime.py does with inputs and effects, until the power fails.

    now: the time there is anywhere. heard: is told each challenge. read: is told what the store
    holds each time that it is read. disk_full, stuck: whether the store or the release fails.
    cut_before: the kind of effect that the power fails just before, if it does.
    """

    def __init__(
        self,
        name: str,
        mode: str,
        folder: Path,
        now: Callable[[], Now],
        heard: Callable[[str], None],
        read: Callable[[StoreLoaded], None],
    ) -> None:
        self.name = name
        self.disk_full = False
        self.stuck = False
        self.cut_before: type[Effect] | None = None
        self.broken: set[Part] = set()
        self.released: list[Release] = []
        self.answers: list[Answer] = []
        self.committed: list[Event] = []
        self.booted_at = 0.0
        self._rules = Rules(door=name, remote_unlock=RemoteUnlock(mode), notice=NOTICE)
        self._folder = folder
        self._now = now
        self._heard = heard
        self._read = read
        self._boots = 0
        self.start()

    def start(self, *, reboot: bool = True) -> None:
        """Start the agent, on the database that is there; do not load it yet."""
        if reboot:
            self._boots += 1
            self.booted_at = self._now().monotonic
        self.broken, self.cut_before = set(), None
        self.store = new_store(self._folder / "doorward.db", f"boot-{self._boots}")
        outside = Outside(
            read_command, lambda: SubjectId("s-" + "0" * 16), _new_challenge, lambda _: 0
        )
        self.controller = Controller(self._rules, CALIBRATION, outside)

    def load(self) -> None:
        loaded = self.store.load(CALIBRATION.model)
        self._read(loaded)
        self.handle(loaded)

    def stop(self) -> None:
        self.store.close()

    def cut_power(self) -> None:
        """Go on with the files as they are at this moment, and with nothing else."""
        left = self._folder.with_name(f"{self._folder.name}'")
        shutil.copytree(self._folder, left)
        self.store.close()
        shutil.rmtree(self._folder)
        self._folder = left

    @contextmanager
    def another_process(self) -> Iterator[SqliteStore]:
        """Give a store of somebody else on the same file, such as the administrator's."""
        store = new_store(self._folder / "doorward.db", f"boot-{self._boots}")
        try:
            yield store
        finally:
            store.close()

    @property
    def now(self) -> Now:
        now = self._now()
        return Now(now.monotonic - self.booted_at, now.wall, now.week_minute, now.trusted)

    def mend(self) -> None:
        """Try whether what was broken works again, as the agent does now and then."""
        if Part.STORE in self.broken and not self.disk_full:
            self.store.check()
            self.load()
            self._recovered(Part.STORE)
        if Part.RELEASE in self.broken and not self.stuck:
            self._recovered(Part.RELEASE)

    def tick(self) -> None:
        self.handle(Tick())

    def handle(self, happened: Input) -> None:
        now = self.now
        self._record(self.controller.handle(happened, now), now)

    def _record(self, effects: Sequence[Effect], now: Now) -> None:
        committed: list[Event] = []
        try:
            for effect in effects:
                if self.cut_before is not None and isinstance(effect, self.cut_before):
                    raise PowerCutError
                if isinstance(effect, Append):
                    self._append(effect.event, now, effect.change)
                    committed.append(effect.event)
                    self.committed.append(effect.event)
                else:
                    self._do(effect, committed)
        except StoreError:
            self._fault(Part.STORE)
        except DeviceError:
            self._fault(Part.RELEASE)

    def _append(self, event: Event, now: Now, change: Change | None) -> None:
        if self.disk_full:
            raise StoreError("no space left on the device")
        self.store.append(event, now, change)

    def _do(self, effect: Effect, committed: list[Event]) -> None:
        match effect:
            case Energise():
                if self.stuck:
                    raise DeviceError("the relay does not move")
                self.released.append(Release(effect, tuple(committed)))
            case Drop():
                if self.stuck:
                    self._fault(Part.RELEASE)
            case SendChallenge():
                self._heard(effect.challenge)
            case Answer():
                self.answers.append(effect)
            case _:
                pass

    def _fault(self, part: Part) -> None:
        if part not in self.broken:
            self.broken.add(part)
            self.handle(Faulted(part, "broken"))

    def _recovered(self, part: Part) -> None:
        self.broken.remove(part)
        self.handle(Recovered(part))
