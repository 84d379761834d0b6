"""The subjects' keys: random, and wrapped under the key of the present epoch."""

from secrets import token_bytes
from typing import Any

from sqlite_utils import Database

from agent.adapters.epoch import EpochSecret
from agent.adapters.log import Keys
from agent.adapters.vault import KEY_BYTES, Vault
from agent.core.types import SubjectId


class Keyring:
    """The keys in one database, within the caller's transactions.

    Every method raises ValueError for what does not open, and StoreError without the epoch's key.
    """

    def __init__(self, database: Database, vault: Vault, secret: EpochSecret) -> None:
        self._db = database
        self._vault = vault
        self._secret = secret
        self._unwrapped: dict[bytes, bytes] = {}

    def epoch(self) -> int:
        """Give the number of the key epoch."""
        return int(self._db.execute("SELECT epoch FROM vault").fetchone()[0])

    def keys(self) -> Keys:
        """Give everybody's key."""
        return self.unwrap(self._db.execute("SELECT subject, epoch, wrapped FROM keys").fetchall())

    def unwrap(self, found: list[tuple[Any, ...]]) -> Keys:
        """Give the keys of these rows: subject, epoch and what is wrapped."""
        # That of the rows: another process may begin a new epoch between two statements.
        wrapping = {
            epoch: self._vault.opener(self._vault.wrapping_key(self._secret.secret(epoch)))
            for epoch in {epoch for _, epoch, _ in found}
        }
        kept = self._unwrapped
        self._unwrapped = {
            wrapped: kept.get(wrapped) or wrapping[epoch](wrapped, "keys", subject, epoch)
            for subject, epoch, wrapped in found
        }
        return {subject: self._unwrapped[wrapped] for subject, _, wrapped in found}

    def key(self, subject: SubjectId) -> bytes | None:
        """Give a subject's key; None where there is none."""
        found = self._db.execute(
            "SELECT epoch, wrapped FROM keys WHERE subject = ?", [subject]
        ).fetchone()
        if found is None:
            return None
        wrapping = self._vault.wrapping_key(self._secret.secret(found[0]))
        return self._vault.open(wrapping, found[1], "keys", subject, found[0])

    def make(self, subject: SubjectId) -> bytes:
        """Make and keep a key for a subject who has none."""
        key, epoch = token_bytes(KEY_BYTES), self.epoch()
        wrapping = self._vault.wrapping_key(self._secret.secret(epoch))
        self._db.table("keys").insert(self._wrapped(wrapping, subject, key, epoch))
        return key

    def reserve(self, subject: SubjectId) -> None:
        """Have a key for who is about to be enrolled, in place of any other that was reserved."""
        self._db.execute("DELETE FROM keys WHERE subject NOT IN (SELECT id FROM subjects)")
        self.make(subject)

    def renew(self) -> int:
        """Begin a new key epoch, wrap all keys anew, and give its number.

        Raises OSError where the new epoch's secret cannot be written.
        """
        keys = self.keys()
        epoch = self.epoch() + 1
        self._secret.settle(epoch - 1)
        wrapping = self._vault.wrapping_key(self._secret.prepare(epoch))
        self._db.conn.executemany(
            "UPDATE keys SET epoch = :epoch, wrapped = :wrapped WHERE subject = :subject",
            [self._wrapped(wrapping, each, key, epoch) for each, key in keys.items()],
        )
        self.begin_epoch(wrapping, epoch)
        return epoch

    def begin_epoch(self, wrapping: bytes, epoch: int) -> None:
        """Keep which epoch it is, and a proof of its key."""
        proof = self._vault.seal(wrapping, b"", "vault", self._vault.device, epoch)
        self._db.execute("UPDATE vault SET epoch = ?, proof = ?", [epoch, proof])

    def _wrapped(
        self, wrapping: bytes, subject: SubjectId, key: bytes, epoch: int
    ) -> dict[str, object]:
        wrapped = self._vault.seal(wrapping, key, "keys", subject, epoch)
        return {"subject": subject, "epoch": epoch, "wrapped": wrapped}
