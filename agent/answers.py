"""What the door answers to commands that ask for something it keeps."""

from dataclasses import replace

from agent.core.effects import Answer
from agent.core.orders import Operation, Rejection
from agent.core.types import SubjectId
from agent.ports import Store
from agent.wire.states import PAGE, encode_answer, encode_held, encode_list

LONGEST = 32 * 1024
"""Bytes of an answer, at most: a broker may take no more than 64 KB."""


class Answers:
    """Puts answers together from the store. No name leaves it: labels and receipts stay."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def give(self, answer: Answer) -> bytes:
        """Give an answer as it goes over the wire. Raises StoreError."""
        match answer.query:
            case Operation.LIST:
                return self._list(answer)
            case Operation.EXPORT if answer.subject is not None:
                return self._export(answer, answer.subject)
            case _:
                return encode_answer(answer)

    def _list(self, answer: Answer) -> bytes:
        rows = sorted(self._store.subjects(), key=lambda row: row.id)
        left = [row for row in rows if answer.after is None or row.id > answer.after]
        size = PAGE
        while True:
            page = encode_list(answer, left[:size], more=len(left) > size)
            if len(page) <= LONGEST or size == 1:
                return page
            size //= 2

    def _export(self, answer: Answer, subject: SubjectId) -> bytes:
        found = [row for row in self._store.subjects() if row.id == subject]
        # Another process may have erased the subject just now.
        gone = replace(answer, refusal=Rejection.NO_SUBJECT)
        return encode_held(answer, found[0]) if found else encode_answer(gone)
