"""How many wrong PINs, cards and codes there were: one row, sealed, that a restart finds again.

The event log vouches for it as for the residents' rows, so that none from before is put back.
"""

from sqlite_utils import Database

from agent.adapters import rows
from agent.adapters.vault import Vault
from agent.core.credentials import NO_ATTEMPTS, Attempts


class KeptAttempts:
    """The row of one database, within the caller's transactions. boot_id: the present boot's."""

    def __init__(self, database: Database, vault: Vault, boot_id: str) -> None:
        self._db = database
        self._vault = vault
        self._boot_id = boot_id

    def keep(self, attempts: Attempts) -> None:
        """Keep them, as of this boot, in place of what was kept."""
        sealed = self._vault.seal_row(rows.attempts_bytes(attempts), "attempts", self._boot_id)
        self._db.execute("DELETE FROM attempts")
        self._db.table("attempts").insert({"boot_id": self._boot_id, "sealed": sealed})

    def kept(self) -> tuple[Attempts, bool]:
        """Give them, and whether their times count from this boot.

        Raises ValueError for a row that does not open.
        """
        found = self._db.execute("SELECT boot_id, sealed FROM attempts").fetchall()
        if not found:
            return NO_ATTEMPTS, True
        [(boot, sealed)] = found
        attempts = rows.read_attempts(self._vault.open_row(sealed, "attempts", boot))
        return attempts, boot == self._boot_id
