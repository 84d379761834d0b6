"""The roll: everybody enrolled, of whom only those are matched whose consent stands."""

from collections.abc import Mapping
from hmac import compare_digest
from itertools import islice

import numpy as np

from agent.core.events import (
    Append,
    ConsentSuspended,
    Effect,
    Erase,
    Erased,
    StoreLoaded,
    SuspendConsent,
)
from agent.core.matching import only
from agent.core.policy import consent_objection
from agent.core.types import Gallery, Notice, Now, Subject, SubjectId, Suspension

SUSPENDED_AT_ONCE = 20
"""Suspensions recorded with one input, at most: the deciding thread waits for each commit."""


class Roll:
    """Who is enrolled, and who of them may be matched. notice: the one in force.

    model: as in Embedding, of the gallery before the store is loaded.
    """

    gallery: Gallery
    """The templates of those whose consent stands; to everybody else the door is blind."""
    standing: Mapping[SubjectId, Subject]
    """Everybody whose consent stands."""

    def __init__(self, notice: Notice, model: str) -> None:
        self._notice = notice
        self._everybody: dict[SubjectId, Subject] = {}
        self._unrecorded: dict[SubjectId, Suspension] = {}
        self._lapses_at = float("inf")
        self.standing = {}
        self.gallery = Gallery(np.empty((0, 0), np.float32), (), np.empty(0, np.intp), model)

    def load(self, loaded: StoreLoaded, now: Now) -> None:
        """Take the store's content, and suspend whose consent does not stand now."""
        self._everybody = dict(loaded.subjects)
        self._unrecorded = {}
        self.standing, self.gallery = self._everybody, loaded.gallery
        self._sift(now)

    def lapse(self, now: Now) -> bool:
        """Take out whose consent has expired; say whether that may have changed the gallery."""
        # So that an ordinary input costs one comparison, however many are enrolled.
        if not now.trusted or now.wall < self._lapses_at:
            return False
        self._sift(now)
        return True

    def suspend(self) -> list[Effect]:
        """Have recorded, once for each load, who was suspended; what is too much follows later."""
        due = list(islice(self._unrecorded.items(), SUSPENDED_AT_ONCE))
        for subject, _ in due:
            del self._unrecorded[subject]
        return [
            Append(ConsentSuspended(subject, reason), SuspendConsent(subject, reason))
            for subject, reason in due
        ]

    def leave(self, subject: SubjectId, code: str) -> list[Effect]:
        """Erase a subject, once, where the code is its own; nothing tells a wrong one from none."""
        known = self._everybody.get(subject)
        if known is None or not known.leave_code:
            return []
        if not compare_digest(known.leave_code.encode(), code.encode()):
            return []
        self.strike(subject)
        return [Append(Erased(subject), Erase(subject))]

    def strike(self, subject: SubjectId) -> bool:
        """Take out somebody who is being erased; say whether the subject was still there."""
        known = self._everybody.pop(subject, None) is not None
        self._unrecorded.pop(subject, None)
        self.standing = {each: self.standing[each] for each in self.standing if each != subject}
        self.gallery = only(self.gallery, self.standing)
        return known

    def _sift(self, now: Now) -> None:
        standing: dict[SubjectId, Subject] = {}
        expiries: list[float] = []
        for subject in self.standing.values():
            objection = consent_objection(subject, self._notice, now)
            if objection is not None:
                if subject.suspended is None:
                    self._unrecorded[subject.id] = objection
                continue
            standing[subject.id] = subject
            if subject.consent is not None and subject.consent.expires is not None:
                expiries.append(subject.consent.expires)
        self.standing = standing
        self.gallery = only(self.gallery, standing)
        # Of numbers of which one is none, numpy's least is none too, and so passes for reached.
        self._lapses_at = float(np.min(expiries, initial=np.inf))
