"""The secret of the key epoch: a file beside the database, and in no copy of it.

Every subject's key is wrapped under it, and every erasure takes a new one: then no older copy of
the database opens any more. The new secret is written beside the old one before the database is
committed, and takes its place afterwards; whichever belongs to the database's epoch counts, so that
a power cut at any point leaves one that does.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from agent.adapters.files import open_for_owner, sync
from agent.errors import StoreError

SECRET_BYTES = 32


class EpochSecret:
    """Reads and rotates the secret in `folder`.

    Whoever changes it holds the database's write lock. Raises OSError where the disk fails.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "epoch"
        self._next = folder / "epoch.next"
        self._known: tuple[int, bytes] | None = None

    def secret(self, epoch: int) -> bytes:
        """Give the secret of the database's epoch, 32 bytes. Raises StoreError without one."""
        if self._known is None or self._known[0] != epoch:
            # The first once more, since another process may just have put the second in its place.
            places = (self.path, self._next, self.path)
            found = [kept for kept in map(_read, places) if kept is not None]
            self._known = next((kept for kept in found if kept[0] == epoch), None)
        if self._known is None:
            raise StoreError(
                f"the secret of its key epoch, {epoch}, is not in {self.path}: put that file back, "
                "unless an erasure has destroyed the secret since"
            )
        return self._known[1]

    @property
    def unsettled(self) -> bool:
        """Whether there are two secrets, of which one is to go."""
        return self._next.exists()

    def prepare(self, epoch: int) -> bytes:
        """Write the secret of the next epoch beside the present one, durably, and give it."""
        secret = secrets.token_bytes(SECRET_BYTES)
        with suppress(FileNotFoundError):
            self._next.unlink()
        _write(self._next, f"{epoch} {secret.hex()}\n".encode())
        return secret

    def settle(self, epoch: int) -> None:
        """Keep the secret of this epoch alone; what is overwritten first is the older one."""
        present, coming = _read(self.path), _read(self._next)
        if coming is not None and coming[0] == epoch:
            with suppress(FileNotFoundError):
                _overwrite(self.path)
            self._next.replace(self.path)
        elif present is not None and present[0] == epoch:
            if not self._next.exists():
                return
            _overwrite(self._next)
            self._next.unlink()
        else:
            return
        sync(self.path.parent)


def _read(path: Path) -> tuple[int, bytes] | None:
    try:
        epoch, secret = path.read_text(encoding="ascii").split()
        kept = int(epoch), bytes.fromhex(secret)
    except (FileNotFoundError, ValueError):
        return None
    return kept if len(kept[1]) == SECRET_BYTES else None


def _write(path: Path, content: bytes) -> None:
    file = open_for_owner(path, os.O_EXCL)
    try:
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    sync(path.parent)


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(bytes(path.stat().st_size))
        os.fsync(file.fileno())
