"""The controllers whose commands are trusted: key, rights and counter, sealed under the device key.

The event log vouches for these rows as for the residents', so that none can be put in or put back.
"""

from dataclasses import replace

import msgspec
from sqlite_utils import Database

from agent.adapters.vault import Vault
from agent.core.orders import ControllerId, Operation, TrustedController
from agent.errors import StoreError


class _Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    key: bytes
    rights: tuple[Operation, ...]
    counter: int


class Controllers:
    """The controllers' rows of one database, within the caller's transactions.

    Every method raises ValueError for a row that does not open.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._db = database
        self._vault = vault

    def trusted(self) -> dict[ControllerId, TrustedController]:
        """Give all of them, by id."""
        found = self._db.execute("SELECT id, sealed FROM controllers ORDER BY id").fetchall()
        return {
            ControllerId(name): self._opened(ControllerId(name), sealed) for name, sealed in found
        }

    def trust(self, controller: TrustedController) -> None:
        """Keep a key and its rights; what the key has counted so far stays."""
        known = self._find(controller.id)
        counter = controller.counter if known is None else max(known.counter, controller.counter)
        self._keep(replace(controller, counter=counter))

    def distrust(self, controller: ControllerId) -> None:
        """Forget a key. Raises StoreError where it is not trusted."""
        self._require(controller)
        self._db.execute("DELETE FROM controllers WHERE id = ?", [controller])

    def spend(self, controller: ControllerId, counter: int) -> None:
        """Keep how far a key has counted. Raises StoreError where it had counted that far before.

        The order may be older than what another process has done since.
        """
        known = self._require(controller)
        if not counter > known.counter:
            raise StoreError(f"controller {controller}: a command came twice: nothing was done")
        self._keep(replace(known, counter=counter))

    def _require(self, controller: ControllerId) -> TrustedController:
        known = self._find(controller)
        if known is None:
            raise StoreError(
                f"no controller {controller}: `doorward controller list` shows who is trusted"
            )
        return known

    def _find(self, controller: ControllerId) -> TrustedController | None:
        query = "SELECT sealed FROM controllers WHERE id = ?"
        found = self._db.execute(query, [controller]).fetchone()
        return None if found is None else self._opened(controller, found[0])

    def _keep(self, controller: TrustedController) -> None:
        rights = tuple(sorted(controller.rights))
        kept = _Kept(controller.name, controller.key, rights, controller.counter)
        sealed = self._vault.seal_row(msgspec.msgpack.encode(kept), "controllers", controller.id)
        row = {"id": controller.id, "sealed": sealed}
        self._db.table("controllers").upsert(row, pk="id")

    def _opened(self, controller: ControllerId, sealed: bytes) -> TrustedController:
        content = self._vault.open_row(sealed, "controllers", controller)
        kept = msgspec.msgpack.decode(content, type=_Kept)
        return TrustedController(
            controller, kept.name, kept.key, frozenset(kept.rights), kept.counter
        )
