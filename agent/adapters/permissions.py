"""Who may read and write what the door keeps, and which devices its account may use."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.errors import DeviceError

ETC = Path("/etc")
FIELDS = 4
"""Of a line of passwd or group, those that count here."""
UNITS = (
    Path("/etc/systemd/system/doorward.service"),
    Path("/usr/lib/systemd/system/doorward.service"),
    Path("/lib/systemd/system/doorward.service"),
)
"""Where the service's unit may be: it gives the agent groups that its account is not in."""


def permissions(
    state: Path, own: Iterable[Path], config_file: Path | None, secrets: Iterable[Path]
) -> str:
    """Say that nobody else may read or write what is to be kept from others.

    own: files of keys in the state folder, for its owner alone. config_file: named, not secret, but
    for the owner alone to write. secrets: files that it names, which a group may read. Files that
    are not there are no matter of this. Raises DeviceError with every complaint.
    """
    complaints = list(_complaints(state, own, config_file, list(secrets)))
    if complaints:
        raise DeviceError("; ".join(complaints))
    return f"{state} and its keys are its owner's alone"


def _complaints(
    state: Path, own: Iterable[Path], config_file: Path | None, secrets: list[Path]
) -> Iterator[str]:
    folder = _status(state)
    if folder is not None and folder.st_mode & 0o077:
        yield f"{state}: is open to others: chmod 700 {state}"
    for path in own:
        found = _status(path)
        if found is None or folder is None:
            continue
        if found.st_mode & 0o177:
            yield f"{path}: is open to others: chmod 600 {path}"
        if found.st_uid != folder.st_uid:
            yield f"{path}: is not its folder's owner's: chown --reference={state} {path}"
    for path in secrets:
        found = _status(path)
        if found is not None and found.st_mode & 0o027:
            yield f"{path}: others may read it, or write to it: chmod g-w,o= {path}"
    found = _status(config_file) if config_file is not None else None
    if found is not None and found.st_mode & 0o022:
        yield f"{config_file}: others may write to it: chmod go-w {config_file}"
    if found is not None and secrets and found.st_mode & 0o004:
        yield f"{config_file}: names secrets, and all may read it: chmod o= {config_file}"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DeviceError(f"{path}: {error.strerror}: run as root") from error


def owner(folder: Path) -> int:
    """Give the account that the agent runs as: its state folder's owner, or before that, us."""
    found = _status(folder)
    return os.geteuid() if found is None or not stat.S_ISDIR(found.st_mode) else found.st_uid


def memberships(
    account: int, needed: Iterable[str], etc: Path = ETC, units: Iterable[Path] = UNITS
) -> str:
    """Say that an account is in the groups whose devices it needs; those that exist here.

    account: user id. etc: where passwd and group are. Raises DeviceError.
    """
    name, primary = _account(account, etc)
    if account == 0:
        return "root may use all devices"
    given = _given_by_unit(name, units)
    member = {
        group: group in given or number == primary or name in members.split(",")
        for group, _, number, members in _records(etc / "group")
    }
    missing = [group for group in needed if not member.get(group, True)]
    if missing:
        mend = ", ".join(f"sudo gpasswd --add {name} {group}" for group in missing)
        raise DeviceError(
            f"groups: {name} is not in {', '.join(missing)}: {mend}, and log in or start it again"
        )
    has = ", ".join(group for group in needed if group in member)
    return f"{name} is in {has or 'none that this machine has'}"


def _account(number: int, etc: Path) -> tuple[str, str]:
    """Give an account's name and primary group."""
    for name, _, uid, gid in _records(etc / "passwd"):
        if uid == str(number):
            return name, gid
    return f"uid {number}", ""


def _given_by_unit(name: str, units: Iterable[Path]) -> set[str]:
    for unit in units:
        if unit.is_file():
            text = unit.read_text(encoding="utf-8", errors="replace")
            if re.search(rf"(?m)^User={re.escape(name)}$", text):
                return set(" ".join(re.findall(r"(?m)^SupplementaryGroups=(.*)$", text)).split())
    return set()


def _records(path: Path) -> Iterator[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DeviceError(f"{path}: {error.strerror}: run as root") from error
    for line in lines:
        record = line.split(":")
        if len(record) >= FIELDS:
            yield record[:FIELDS]
