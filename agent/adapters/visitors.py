"""The visitors' codes that were not used: digest, label and time, sealed under the device key.

The event log vouches for these rows as for the residents', so that none can be put in or put back.
"""

from sqlite_utils import Database

from agent.adapters import rows
from agent.adapters.vault import Vault
from agent.core.credentials import VisitorId
from agent.core.effects import Invite
from agent.errors import StoreError


class Visitors:
    """The visitors' rows of one database, within the caller's transactions.

    Every method raises ValueError for a row that does not open.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._db = database
        self._vault = vault

    def invited(self) -> list[Invite]:
        """Give all of them, by when they may come."""
        found = self._db.execute("SELECT id, sealed FROM visitors").fetchall()
        opened = [
            rows.read_visitor(VisitorId(visitor), self._vault.open_row(sealed, "visitors", visitor))
            for visitor, sealed in found
        ]
        return sorted(opened, key=lambda each: (each.visitor.not_before, each.visitor.id))

    def invite(self, invited: Invite) -> None:
        """Keep a visitor's code. Raises sqlite3.IntegrityError where the id is taken."""
        visitor = invited.visitor
        content = rows.visitor_bytes(visitor, invited.label)
        sealed = self._vault.seal_row(content, "visitors", visitor.id)
        self._db.table("visitors").insert({"id": visitor.id, "sealed": sealed})

    def forget(self, visitor: VisitorId) -> None:
        """Delete a visitor's row. Raises StoreError where it was used or taken back before."""
        if not self._db.execute("DELETE FROM visitors WHERE id = ?", [visitor]).rowcount:
            raise StoreError(
                f"no visitor {visitor}, or not any more: `doorward visitor list` shows them"
            )
