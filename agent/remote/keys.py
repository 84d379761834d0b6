"""What a controller keeps on an administrator's computer: its key, its counter, and who is who.

Beside `controller.key` lie `controller.counter` and `controller.labels`, each for its owner alone.
"""

import os
import stat
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from re import fullmatch
from secrets import token_bytes

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.files import lock, open_for_owner, sync
from agent.adapters.note import ED25519, Signer, Verifier
from agent.config import NAME, NAME_RULE
from agent.core.orders import ControllerId
from agent.errors import ConfigError
from agent.wire.commands import MAX_COUNTER, controller_id

SEED_BYTES = 32
PATIENCE = 2.0
"""Seconds to wait for another terminal that takes a counter or keeps a label."""
_PREFIX = "PRIVATE+KEY+"
_BESIDE = (".counter", ".labels", ".lock")
"""How the files end that lie beside a key, with the rest of its name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A controller's key. seed: 32 secret bytes. path: of the file that holds it."""

    path: Path
    name: str
    seed: bytes = field(repr=False)

    @property
    def verifier(self) -> Verifier:
        """The public key, under the controller's name."""
        return Signer(self.name, self.seed).verifier

    @property
    def to_trust(self) -> str:
        """What has a door take all commands of this key, when typed there."""
        return f"doorward controller add {self.verifier} --right all"

    @property
    def id(self) -> ControllerId:
        """What doors call this key."""
        return controller_id(self.verifier.key)

    def sign(self, message: bytes) -> bytes:
        """Give the Ed25519 signature, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)

    def next_counter(self, wall: float) -> int:
        """Take a counter that no command of this key has had, and none ever will again.

        wall: seconds since the Unix epoch. Its milliseconds are the least that is given, so that a
        key which was copied or restored without its counter works on. Raises ConfigError.
        """
        path = self.path.with_suffix(".counter")
        with _alone(self.path):
            counter = max(_last_counter(path) + 1, int(wall * 1000))
            if not counter <= MAX_COUNTER:
                raise ConfigError(f"{path}: has counted to the end: {_NEW_KEY}")
            # Kept before it is used: after a power cut one may be left out, but none comes twice.
            _keep(path, f"{counter}\n")
        return counter


_NEW_KEY = "make another key with `doorward remote --key FILE key NAME`"


def make_key(path: Path, name: str) -> Identity:
    """Make a controller's key in a file (mode 0600) that must not exist. Raises ConfigError."""
    if not fullmatch(NAME, name):
        raise ConfigError(f"{name!r}: is no name for a controller: {NAME_RULE}")
    _require_apart(path)
    made = Identity(path, name, token_bytes(SEED_BYTES))
    encoded = b64encode(ED25519 + made.seed).decode()
    content = f"{_PREFIX}{name}+{made.verifier.key_id.hex()}+{encoded}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_for_owner(path, os.O_EXCL)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        sync(path.parent)
    except FileExistsError:
        mend = "name another file with --key; doors that trust this key would miss it"
        raise ConfigError(f"{path}: exists already: {mend}") from None
    except OSError as error:
        raise _unusable(path, error, "name a file that can be written with --key") from None
    return made


def read_key(path: Path) -> Identity:
    """Read a controller's key. Raises ConfigError where it is missing, altered or not private."""
    _require_apart(path)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1024)
    except FileNotFoundError:
        mend = "`doorward remote key NAME` makes one"
        raise ConfigError(f"{path}: there is no such key: {mend}") from None
    except OSError as error:
        raise _unusable(path, error, "have it readable for whoever types this") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: others can get at this key: chmod 600 {path}")
    parts = content.decode("ascii", "replace").strip().removeprefix(_PREFIX).split("+", 2)
    try:
        name, key_id, encoded = parts
        blob = b64decode(encoded, validate=True)
        found = Identity(path, name, blob[1:])
        if blob[:1] == ED25519 and found.verifier.key_id.hex() == key_id:
            return found
    except ValueError:
        pass
    raise ConfigError(f"{path}: is no controller's key: put it back, or {_NEW_KEY}")


class Labels:
    """Who is who, by door and pseudonym. Names are here and in the door's store, never on MQTT.

    key: the file of the controller's key. Making one and all methods raise ConfigError.
    """

    def __init__(self, key: Path) -> None:
        _require_apart(key)
        self._key = key
        self._path = key.with_suffix(".labels")

    def of(self, door: str) -> dict[str, str]:
        """Give the labels of a door's subjects."""
        return self._read().get(door, {})

    def keep(self, door: str, subject: str, label: str) -> None:
        """Keep a subject's label, in place of what was kept."""
        with _alone(self._key):
            kept = self._read()
            kept.setdefault(door, {})[subject] = label
            _keep(self._path, msgspec.json.encode(kept).decode())

    def forget(self, door: str, subject: str) -> None:
        """Forget a subject's label, if there is one."""
        with _alone(self._key):
            kept = self._read()
            if kept.get(door, {}).pop(subject, None) is not None:
                _keep(self._path, msgspec.json.encode(kept).decode())

    def _read(self) -> dict[str, dict[str, str]]:
        content = _content(self._path)
        if content is None:
            return {}
        try:
            return msgspec.json.decode(content, type=dict[str, dict[str, str]])
        except ValueError:
            raise ConfigError(f"{self._path}: holds no labels: put it back or remove it") from None


def _require_apart(key: Path) -> None:
    """Raise ConfigError for a key whose file would be that of its own counter, labels or lock."""
    if not key.name or key.suffix in _BESIDE:
        raise ConfigError(f"{key}: cannot be a key's file: name one that ends in .key with --key")


def _last_counter(path: Path) -> int:
    content = _content(path)
    if content is None:
        return 0
    if not fullmatch(rb"[0-9]{1,16}\n", content):
        mend = "remove it: counting goes on from the clock"
        raise ConfigError(f"{path}: holds no counter: {mend}")
    return int(content)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error, "have it readable for whoever types this") from None


@contextmanager
def _alone(key: Path) -> Iterator[None]:
    """Keep other terminals off what lies beside a key."""
    path = key.with_suffix(".lock")
    end = time.monotonic() + PATIENCE
    held = None
    while held is None:
        try:
            held = lock(path, alone=True)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise _unusable(path, error, "another doorward has it: try again") from None
            time.sleep(0.01)
        except OSError as error:
            raise _unusable(path, error, "have its folder writable") from None
    with held:
        yield


def _keep(path: Path, content: str) -> None:
    """Put content in the place of a file's, durably: after a power cut there is one of the two."""
    coming = path.with_name(f"{path.name}.next")
    try:
        with os.fdopen(open_for_owner(coming, os.O_TRUNC), "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        coming.replace(path)
        sync(path.parent)
    except OSError as error:
        raise _unusable(path, error, "have its folder writable, with room on the disk") from None


def _unusable(path: Path, error: OSError, mend: str) -> ConfigError:
    return ConfigError(f"{path}: {(error.strerror or str(error)).lower()}: {mend}")
