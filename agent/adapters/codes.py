"""The one-time codes that authorise enrolments: sealed, and good in the boot they were made in."""

from sqlite_utils import Database

from agent.adapters import rows
from agent.adapters.vault import Vault
from agent.core.types import EnrolmentCode


class Codes:
    """The codes of one database, within the caller's transactions. boot_id: the present boot's."""

    def __init__(self, database: Database, vault: Vault, boot_id: str) -> None:
        self._db = database
        self._vault = vault
        self._boot_id = boot_id

    def issue(self, code: EnrolmentCode) -> None:
        """Keep a code in place of every earlier one. Raises ValueError for one of no sense."""
        self.spend()
        sealed = self._vault.seal_row(rows.code_bytes(code), "codes", self._boot_id)
        self._db.table("codes").insert({"boot_id": self._boot_id, "sealed": sealed})

    def spend(self) -> None:
        """Forget every code."""
        self._db.execute("DELETE FROM codes")

    def live(self) -> tuple[EnrolmentCode, ...]:
        """Give the codes of this boot. Raises ValueError for one that does not open."""
        query = "SELECT sealed FROM codes WHERE boot_id = ?"
        found = self._db.execute(query, [self._boot_id]).fetchall()
        opened = (self._vault.open_row(sealed, "codes", self._boot_id) for (sealed,) in found)
        return tuple(map(rows.read_code, opened))

    def stale(self) -> bool:
        """Say whether there are codes of other boots.

        Their times mean nothing in this one, and their terms hold the label of an enrolee.
        """
        query = "SELECT 1 FROM codes WHERE boot_id != ?"
        return bool(self._db.execute(query, [self._boot_id]).fetchall())

    def forget_stale(self) -> None:
        """Forget the codes of other boots."""
        self._db.execute("DELETE FROM codes WHERE boot_id != ?", [self._boot_id])
