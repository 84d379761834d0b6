"""What a device holds: its configuration, and in the state folder its key and database."""

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agent.adapters import backup
from agent.adapters.clock import SystemClock
from agent.adapters.database import hold, is_outdated, is_sealed, translated
from agent.adapters.devicekey import KeyFile, find_key
from agent.adapters.digest import CodeDigest
from agent.adapters.documents import Verified, verify
from agent.adapters.epoch import EpochSecret
from agent.adapters.files import lock
from agent.adapters.note import Verifier, parse_verifier
from agent.adapters.shortlist import require_faiss, shortlist_of
from agent.adapters.store import SqliteStore
from agent.adapters.vault import Vault
from agent.config import Config, parse_config
from agent.core.events import Restored
from agent.core.types import Notice
from agent.errors import ConfigError, DamagedStoreError, StoreError
from agent.ports import Clock, DeviceKey, Recorded, Store

SYSTEM_CONFIG = Path("/etc/doorward/doorward.toml")
SERVICE_STATE = Path("/var/lib/doorward")
DATABASE = "doorward.db"
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
