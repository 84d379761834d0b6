"""The event log: gapless numbers, a hash chain, and a signature of the device on every head.

An event is sealed under the device's key; what it says about subjects is sealed under their own
keys first. When those are destroyed the event still stands, still counts for the chain, and says
no more than what kind of event it was.
"""

import hashlib
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
from sqlite_utils import Database

from agent.adapters.vault import Vault, derive, marks
from agent.core.events import Event, Forgotten
from agent.core.types import Now, SubjectId
from agent.errors import StoreError
from agent.ports import Recorded
from agent.wire.events import decode_body, encode_body, event_kind

HASH_BYTES = 32
GENESIS = bytes(HASH_BYTES)
"""The hash that the first event's follows."""
CHECKPOINT = 100
"""Events between two signatures that `verify` checks; that of the last event always is."""

Keys: TypeAlias = Mapping[SubjectId, bytes]
"""The subjects that have a key, and it."""
_Row: TypeAlias = tuple[Any, ...]
_Owners: TypeAlias = dict[tuple[int, int], SubjectId]
"""Number of an event and a mark on it, to whose mark it is."""

_COLUMNS = "seq, boot_id, monotonic, wall, week_minute, time_trusted, sealed, hash"


@dataclass(frozen=True, slots=True)
class Head:
    """The log up to an event. seq: its number, 0 for none. hash: 32 bytes of the chain."""

    seq: int
    hash: bytes

    def text(self, origin: str) -> str:
        """Give what is signed: the log's origin, the number, and the hash in base64."""
        return f"{origin}\n{self.seq}\n{b64encode(self.hash).decode()}\n"

    @classmethod
    def read(cls, text: str, origin: str) -> "Head":
        """Read what `text` gave. Raises ValueError for the head of another log, or none."""
        lines = text.splitlines()
        if not (len(lines) == 3 and lines[0] == origin and lines[1].isdecimal()):  # noqa: PLR2004
            raise ValueError(f"is no head of the log of {origin}")
        head = cls(int(lines[1]), b64decode(lines[2], validate=True))
        if not head.text(origin) == text:
            raise ValueError(f"is no head of the log of {origin}")
        return head


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What the device's key opens: the kind, the body, and the marks of those whose keys hold it.

    The first mark's owner holds the innermost layer. state: what all other rows add up to.
    """

    kind: str
    marks: tuple[int, ...]
    body: bytes
    state: bytes


class EventLog:
    """The events of one database. What SQLite raises is not translated here."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._db = database
        self._vault = vault
        self._origin = vault.signer.verifier.name

    def head(self) -> Head:
        """Give the head as of the last event, or where everything was pruned, as of the anchor."""
        return self._head("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1") or self.anchor()

    def anchor(self) -> Head:
        """Give the head as of the last event that was pruned."""
        anchored = self._head("SELECT seq, hash FROM anchor")
        if anchored is None:
            raise ValueError("the log has no anchor")
        return anchored

    def state(self) -> bytes | None:
        """Give what the last event vouches for, 32 bytes; None where there is no event."""
        query = "SELECT seq, sealed FROM events ORDER BY seq DESC LIMIT 1"
        found = self._db.execute(query).fetchone()
        return None if found is None else self._opened(found[1], found[0]).state

    def append(self, boot_id: str, now: Now, event: Event, keys: Keys, state: bytes) -> Recorded:
        """Add an event within the caller's transaction, sealed under the keys of whom it names.

        state: what all other rows add up to, 32 bytes. Raises ValueError as `encode_body` does.
        """
        before = self.head()
        seq = before.seq + 1
        sealed = self._vault.seal_log(self._enclose(event, seq, keys, state), seq)
        row = (seq, boot_id, now.monotonic, now.wall, now.week_minute, now.trusted, sealed)
        head = Head(seq, _link(before.hash, row))
        text = head.text(self._origin)
        signature = self._vault.signer.sign(text)
        self._db.execute(
            f"INSERT INTO events ({_COLUMNS}, signature) VALUES ({'?, ' * 8}?)",  # noqa: S608
            [*row, head.hash, signature],
        )
        note = self._vault.signer.verifier.seal(text, signature)
        return Recorded(seq, boot_id, now, event, note)

    def read(self, keys: Callable[[], Keys], *, after: int, limit: int) -> Sequence[Recorded]:
        """Give up to `limit` events with seq > after, oldest first. Raises ValueError."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, signature FROM events "  # noqa: S608
            "WHERE seq > ? ORDER BY seq LIMIT ?",
            [after, limit],
        ).fetchall()
        contents = [self._opened(row[6], row[0]) for row in rows]
        marked = [
            (row[0], mark)
            for row, content in zip(rows, contents, strict=True)
            for mark in content.marks
        ]
        known = keys() if marked else {}
        owners = _owners(marked, known)
        return [
            self._recorded(row, self._disclose(row[0], content, owners, known))
            for row, content in zip(rows, contents, strict=True)
        ]

    def verify(self, heads: Iterable[Head] = ()) -> Head:
        """Check numbers, chain and signatures, and that these heads were this log's.

        heads: as signed by this device, kept elsewhere. Gives the head of the log. Raises
        ValueError that names the first event that is not as it was committed, and StoreError where
        all these heads are of events that were pruned.
        """
        published: dict[int, set[bytes]] = {}
        for head in heads:
            published.setdefault(head.seq, set()).add(head.hash)
        last = self.anchor()
        if last.seq:
            [(signature,)] = self._db.execute("SELECT signature FROM anchor").fetchall()
            self._require_signed(last, _anchored(last, self._origin), signature)
        _require_published(last, published)
        pruned = last.seq
        rows = self._db.execute(f"SELECT {_COLUMNS}, signature FROM events ORDER BY seq")  # noqa: S608
        for row in rows:
            if row[0] != last.seq + 1:
                raise ValueError(f"event {last.seq + 1} is missing")
            if row[7] != _link(last.hash, row[:7]):
                raise ValueError(f"event {row[0]} is not as it was committed, or out of order")
            last = Head(row[0], row[7])
            if row[0] % CHECKPOINT == 0:
                self._require_signed(last, last.text(self._origin), row[8])
            _require_published(last, published)
        if last.seq > pruned:
            self._require_signed(last, last.text(self._origin), row[8])
        _require_within(published, pruned, last.seq)
        return last

    def prune(self, before: float, limit: int) -> int | None:
        """Take out events of before this wall time, oldest first, at most `limit` at once.

        Gives the number of the last one taken out, None where there is none. The last event of all
        stays, since it vouches for the other rows.
        """
        # An event that came while the clock was not set goes with the next one that tells its age.
        old = self._db.execute(
            "SELECT MAX(seq) FROM events WHERE time_trusted AND wall < ?1 AND seq < "
            "COALESCE((SELECT MIN(seq) FROM events WHERE time_trusted AND NOT wall < ?1), "
            "(SELECT MAX(seq) FROM events))",
            [before],
        ).fetchone()[0]
        anchor = self.anchor()
        up_to = min(old or 0, anchor.seq + limit)
        if not up_to > anchor.seq:
            return None
        query = "SELECT hash FROM events WHERE seq = ?"
        anchored = Head(up_to, self._db.execute(query, [up_to]).fetchone()[0])
        # Under a text of its own: the head of an event is signed as well, and public.
        signature = self._vault.signer.sign(_anchored(anchored, self._origin))
        self._db.execute(
            "UPDATE anchor SET seq = ?, hash = ?, signature = ?", [up_to, anchored.hash, signature]
        )
        self._db.execute("DELETE FROM events WHERE seq <= ?", [up_to])
        return up_to

    def _head(self, query: str) -> Head | None:
        found = self._db.execute(query).fetchone()
        return Head(*found) if found else None

    def _opened(self, sealed: bytes, seq: int) -> _Sealed:
        return msgspec.msgpack.decode(self._vault.open_log(sealed, seq), type=_Sealed)

    def _require_signed(self, head: Head, text: str, signature: bytes) -> None:
        if not self._vault.signer.verifier.signed(text, signature):
            raise ValueError(f"event {head.seq} is not signed by this device")

    def _enclose(self, event: Event, seq: int, keys: Keys, state: bytes) -> bytes:
        body = encode_body(event)
        marked: list[int] = []
        for subject in named(event):
            if subject in keys:
                key = keys[subject]
                place = ("events", seq, len(marked))
                body = self._vault.seal(derive(key, "events"), body, *place)
                marked.append(int(marks(key, seq, 1)[0]))
        return msgspec.msgpack.encode(_Sealed(event_kind(event), tuple(marked), body, state))

    def _disclose(self, seq: int, content: _Sealed, owners: _Owners, keys: Keys) -> Event:
        body = content.body
        for layer, mark in reversed(list(enumerate(content.marks))):
            owner = owners.get((seq, mark))
            if owner is None:
                return Forgotten(content.kind)
            body = self._vault.open(derive(keys[owner], "events"), body, "events", seq, layer)
        return decode_body(content.kind, body)

    def _recorded(self, row: _Row, event: Event) -> Recorded:
        seq, boot_id, monotonic, wall, week_minute, trusted = row[:6]
        text = Head(seq, row[7]).text(self._origin)
        note = self._vault.signer.verifier.seal(text, row[8])
        now = Now(monotonic, wall, week_minute, bool(trusted))
        return Recorded(seq, boot_id, now, event, note)


def _anchored(head: Head, origin: str) -> str:
    return head.text(f"{origin}/anchor")


def _require_published(head: Head, published: Mapping[int, set[bytes]]) -> None:
    if not published.get(head.seq, {head.hash}) == {head.hash}:
        raise ValueError(f"event {head.seq} is not the one whose head was published")


def _require_within(published: Collection[int], pruned: int, last: int) -> None:
    newest = max(published, default=last)
    if newest > last:
        raise ValueError(f"the log ends with event {last}, and once had event {newest}")
    if newest < pruned:
        message = f"the head of event {newest} says nothing, for the log begins later: name another"
        raise StoreError(message)


def _link(before: bytes, row: _Row) -> bytes:
    seq, boot_id, monotonic, wall, week_minute, trusted, sealed = row
    boot = boot_id.encode()
    times = struct.pack(
        ">qddq?QQ", seq, monotonic, wall, week_minute, trusted, len(boot), len(sealed)
    )
    return hashlib.sha256(b"".join((before, times, boot, sealed))).digest()


def named(event: Event) -> list[SubjectId]:
    """Give the subjects that an event is about."""
    named = [getattr(event, "subject", None), getattr(event, "collision", None)]
    return [subject for subject in named if subject is not None]


def _owners(marked: Sequence[tuple[int, int]], keys: Keys) -> _Owners:
    """Give who owns these marks, each given with the number of its event, in rising order."""
    owners: _Owners = {}
    if not marked:
        return owners
    first, last = marked[0][0], marked[-1][0]
    offsets = np.array([seq - first for seq, _ in marked])
    wanted = np.array([mark for _, mark in marked], np.uint64)
    for subject, key in keys.items():
        theirs = marks(key, first, last - first + 1)[offsets] == wanted
        for index in np.flatnonzero(theirs):
            owners[marked[int(index)]] = subject
    return owners
