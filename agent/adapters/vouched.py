"""The rows that decide who enters, and what they add up to.

All of them together add up to a number that the event log vouches for (`Vault.row_mac`), so that
none can be altered, taken out, put in or put back behind its back.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeAlias

from sqlite_utils import Database

from agent.adapters.vault import Vault

STATE_BYTES = 32
MODULUS = 1 << (8 * STATE_BYTES)

OF_SUBJECT = {
    "subjects": ("id", "SELECT id, seen_on, sealed FROM subjects"),
    "keys": (
        "keys.subject",
        "SELECT subject, epoch, wrapped FROM keys JOIN subjects ON subjects.id = subject",
    ),
    "consents": ("subject", "SELECT subject, sealed FROM consents"),
    "credentials": ("subject", "SELECT subject, sealed FROM credentials"),
    "references": ("subject", 'SELECT id, subject, epoch, made_by, sealed FROM "references"'),
}
"""By table: which column names the subject, and what is vouched for. Reserved keys are not."""
_VOUCHED = OF_SUBJECT | {
    "tombstones": ("subject", "SELECT subject, proof, certificate FROM tombstones"),
    "controllers": ("id", "SELECT id, sealed FROM controllers"),
    "visitors": ("id", "SELECT id, sealed FROM visitors"),
    "attempts": ("boot_id", "SELECT boot_id, sealed FROM attempts"),
}

Everything: TypeAlias = dict[str, list[tuple[Any, ...]]]
"""By table: its rows, as `_VOUCHED` has them."""


class VouchedRows:
    """These rows of one database of any sealed schema, within the caller's transactions."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._db = database
        self._vault = vault

    @cached_property
    def tables(self) -> list[str]:
        """The tables there are: a backup may be of a schema that had fewer."""
        made = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [table for table in _VOUCHED if (table,) in made]

    def everything(self) -> Everything:
        """Give all rows of all tables."""
        return {table: self.of(table) for table in self.tables}

    def of(self, table: str, name: str | None = None) -> list[tuple[Any, ...]]:
        """Give the rows of a table, or those of one name only; none where there is no table."""
        column, query = _VOUCHED[table]
        if table not in self.tables:
            return []
        if name is None:
            return self._db.execute(query).fetchall()
        return self._db.execute(f"{query} WHERE {column} = ?", [name]).fetchall()

    def total(self, names: Iterable[str], whole: frozenset[str] = frozenset()) -> int:
        """Add up the rows of these names, and of the tables in `whole` those of everybody."""
        found = {
            table: self.of(table)
            if table in whole
            else [row for name in names for row in self.of(table, name)]
            for table in self.tables
        }
        return self._sum(found)

    def state(self) -> bytes:
        """Give what all rows add up to, 32 bytes."""
        return self._sum(self.everything()).to_bytes(STATE_BYTES)

    def require(self, everything: Everything, vouched: bytes | None) -> None:
        """Raise ValueError unless these rows add up to what the log vouches for."""
        if not self._sum(everything) == int.from_bytes(vouched or b""):
            raise ValueError("the residents' rows are not those that the log vouches for")

    def _sum(self, found: Everything) -> int:
        macs = (self._vault.row_mac(table, row) for table in found for row in found[table])
        return sum(macs) % MODULUS
