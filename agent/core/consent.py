"""The roll: everybody enrolled, of whom only those are matched whose consent stands."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from hmac import compare_digest
from itertools import islice

import numpy as np

from agent.core.effects import Append, Effect, Erase, SuspendConsent
from agent.core.events import ConsentRenewed, ConsentSuspended, Erased
from agent.core.inputs import StoreLoaded
from agent.core.matching import only
from agent.core.policy import consent_objection
from agent.core.types import Gallery, Notice, Now, Subject, SubjectId, Suspension

SUSPENDED_AT_ONCE = 20
"""Suspensions begun or ended with one input: the deciding thread waits for each commit."""


class Roll:
    """Who is enrolled, and who of them may be matched. notice: the one in force.

    model: as in Embedding, of the gallery before the store is loaded.
    """

    gallery: Gallery
    """The templates of those whose consent stands; to everybody else the door is blind."""
    standing: Mapping[SubjectId, Subject]
    """Everybody whose consent stands, and of whom nothing else is recorded."""

    def __init__(self, notice: Notice, model: str) -> None:
        self._notice = notice
        self._everybody: dict[SubjectId, Subject] = {}
        self._unrecorded: dict[SubjectId, Suspension | None] = {}
        self._leaving: list[SubjectId] = []
        self._unerased: list[SubjectId] = []
        self._lapses_at = float("inf")
        self.standing = {}
        nobody = np.empty(0, np.intp)
        self.gallery = Gallery(np.empty((0, 0), np.float32), (), nobody, nobody, model)

    def load(self, loaded: StoreLoaded, now: Now) -> None:
        """Take the store's content, but for those who asked to leave and are in it still."""
        self._everybody = dict(loaded.subjects)
        self._leaving = [each for each in self._leaving if each in self._everybody]
        self._unerased = list(self._leaving)
        for each in self._leaving:
            del self._everybody[each]
        self.gallery = loaded.gallery
        self._sift(now)

    @property
    def due(self) -> bool:
        """Whether an erasure or a suspension waits to be recorded."""
        return bool(self._unerased or self._unrecorded)

    def lapse(self, now: Now) -> bool:
        """Take out whose consent has expired; say whether that may have changed the gallery."""
        # So that an ordinary input costs one comparison, however many are enrolled.
        if not now.trusted or now.wall < self._lapses_at:
            return False
        self._sift(now)
        return True

    def suspend(self) -> list[Effect]:
        """Have recorded, once for each load, whose suspension began or ended; the rest later."""
        due = list(islice(self._unrecorded.items(), SUSPENDED_AT_ONCE))
        for subject, objection in due:
            del self._unrecorded[subject]
            self._everybody[subject] = replace(self._everybody[subject], suspended=objection)
        return [_recorded(subject, objection) for subject, objection in due]

    def leave(self, subject: SubjectId, code: str) -> bool:
        """Take out who gives the own leave code, for good; nothing tells a wrong one from none."""
        known = self._everybody.get(subject)
        if known is None or not known.leave_code:
            return False
        if not compare_digest(known.leave_code.encode(), code.encode()):
            return False
        self.expel(subject)
        return True

    def expel(self, subject: SubjectId) -> None:
        """Take out one who is enrolled, for good."""
        self._leaving.append(subject)
        self._unerased.append(subject)
        del self._everybody[subject]
        self._unrecorded.pop(subject, None)
        self.standing = {each: self.standing[each] for each in self.standing if each != subject}
        self.gallery = only(self.gallery, self.standing)

    @property
    def everybody(self) -> Collection[Subject]:
        """All who are enrolled, whether their faces are matched or not, and not about to leave."""
        return self._everybody.values()

    def find(self, subject: SubjectId) -> Subject | None:
        """Give one of them."""
        return self._everybody.get(subject)

    def knows(self, subject: SubjectId | None) -> bool:
        """Say whether somebody is enrolled, and not about to be erased."""
        return subject in self._everybody

    def erase(self) -> list[Effect]:
        """Have those who leave erased, once for each load that has them still: one at a time."""
        # The deciding thread waits for each, and it takes longer than any other commit.
        due, self._unerased = self._unerased[:1], self._unerased[1:]
        return [Append(Erased(subject), Erase(subject)) for subject in due]

    def _sift(self, now: Now) -> None:
        standing: dict[SubjectId, Subject] = {}
        lapses: list[float] = []
        self._unrecorded = {}
        for subject in self._everybody.values():
            objection = consent_objection(subject, self._notice, now)
            # Where nobody consented, there is nothing in the store to suspend.
            if objection is not subject.suspended and subject.consent is not None:
                self._unrecorded[subject.id] = objection
            if subject.suspended is Suspension.EXPIRED and not now.trusted:
                # Whether that is so still is to be seen as soon as the clock is set.
                lapses.append(float("-inf"))
            # Who was suspended is matched once the store has it that this is over, and says so.
            if objection is None and subject.suspended is None:
                standing[subject.id] = subject
            if objection is None and subject.consent and subject.consent.expires is not None:
                lapses.append(subject.consent.expires)
        self.standing = standing
        self.gallery = only(self.gallery, standing)
        # Of numbers of which one is none, numpy's least is none too, and so passes for reached.
        self._lapses_at = float(np.min(lapses, initial=np.inf))


def _recorded(subject: SubjectId, objection: Suspension | None) -> Effect:
    told = ConsentRenewed(subject) if objection is None else ConsentSuspended(subject, objection)
    return Append(told, SuspendConsent(subject, objection))
