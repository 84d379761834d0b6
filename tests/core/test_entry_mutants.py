"""The machine of the readers is trusted because it fails: each of these breaks one promise."""

from collections.abc import Iterator

import pytest

from tests.core.breaking import laboratory, require_found
from tests.mutants import Edit, Laboratory

BESIDE = ["tests/core/entries.py", "tests/core/entry_promises.py"]

ACCESS, ADMISSION, CONTROLLER, ENTRY = "access.py", "admission.py", "controller.py", "entry.py"
POLICY, RECEPTION, SELF_SERVICE = "policy.py", "reception.py", "selfservice.py"
THROTTLE = "throttle.py"

MUTANTS: dict[str, list[Edit]] = {
    "nothing": [],
    # --- wrong entries ----------------------------------------------------------------------------
    "nothing is ever shut": [
        (THROTTLE, "return not (open_again and", "return False and (True and")
    ],
    "a row is not counted": [(THROTTLE, "self._strikes(reader).in_a_row + 1", "1")],
    "a row shuts nothing": [
        (THROTTLE, "open_again = now >= self._strikes(reader).until", "open_again = True")
    ],
    "wrong entries add up to nothing": [
        (THROTTLE, "and self._level(now) <= self._rules.overall - 1", "")
    ],
    "a right entry forgets all wrong ones": [
        (
            THROTTLE,
            "self._keep(reader, Strikes())",
            "self._keep(reader, Strikes()); self.attempts = replace(self.attempts, level=0.0)",
        )
    ],
    "a reader is shut for no longer each time": [(THROTTLE, "2.0**doublings", "1.0")],
    "nothing is drained": [(THROTTLE, "drained = (now -", "drained = 0 * (now -")],
    "the other reader's row ends, too": [
        (
            THROTTLE,
            "self._keep(reader, Strikes())",
            "[self._keep(each, Strikes()) for each in Reader]",
        )
    ],
    "a restart forgets": [(THROTTLE, "self.attempts = kept\n", "pass\n")],
    "a boot opens a reader that was shut": [
        (
            THROTTLE,
            "keypad=self._shut_again(kept.keypad, now)",
            "keypad=replace(kept.keypad, until=0)",
        )
    ],
    "a boot drains": [
        (THROTTLE, "                at=now,\n            )", "level=0.0, at=now,\n            )")
    ],
    "times of another boot are believed": [(THROTTLE, "if not of_this_boot:", "if False:")],
    "what was counted is not kept": [
        (ENTRY, "Append(denied, SetAttempts(self._kept))", "Append(denied)")
    ],
    "a row that ended is not kept as ended": [
        (ENTRY, "if self._throttle.attempts == self._kept:", "if True:")
    ],
    "a code that may not open ends a row": [
        (
            ENTRY,
            "        method_or_reason = decide(",
            "        self._throttle.right(reader)\n        method_or_reason = decide(",
        )
    ],
    "a reader that is shut takes right entries": [
        (ENTRY, "if self._throttle.shut(reader, now.monotonic) else []", "if False else []")
    ],
    "a wrong code is of somebody": [
        (
            ENTRY,
            "CodeDenied(Reason.WRONG_CODE, reader, None)",
            "CodeDenied(Reason.WRONG_CODE, reader, next(iter(self._roll.everybody)).id)",
        )
    ],
    # --- visitors ---------------------------------------------------------------------------------
    "a visitor's code is not spent": [
        (
            ENTRY,
            "VisitorAdmitted(visitor.id), ForgetVisitor(visitor.id)",
            "VisitorAdmitted(visitor.id)",
        )
    ],
    "a visitor's code is spent at an open door": [
        (ENTRY, "if self._door.deadline is not None:", "if False:")
    ],
    "a visitor comes too early": [(ENTRY, "if not now.wall >= visitor.not_before:", "if False:")],
    "a visitor comes too late": [(ENTRY, "if not now.wall < visitor.not_after:", "if False:")],
    "a visitor comes by a clock that is not set": [
        (ENTRY, "if not now.trusted:\n        return Reason", "if False:\n        return Reason")
    ],
    "a visit is forgotten too early": [(ENTRY, "if not now.wall < visitor.not_after and", "if")],
    "a visit is forgotten by a clock that is not set": [
        (ENTRY, "if not now.trusted:\n            return []", "if False:\n            return []")
    ],
    "a visit that is over is forgotten by the agent alone": [
        (
            ENTRY,
            "Append(VisitorForgotten(each), ForgetVisitor(each))",
            "Append(VisitorForgotten(each))",
        )
    ],
    # --- what the door asks for -------------------------------------------------------------------
    "every method opens": [
        (
            ACCESS,
            "return all(_accepts(mode, method, has_face=has_face) for mode in modes)",
            "return True",
        )
    ],
    "by a clock that is not set the mode outside all hours counts": [
        (ACCESS, "{self.mode, *(hours.mode for hours in self.hours)}", "{self.mode}")
    ],
    "a clock that is not set is believed": [
        (
            ACCESS,
            "if not now.trusted:\n        return access.every",
            "if False:\n        return access.every",
        )
    ],
    "there are no hours": [(ACCESS, "if hours.cover(now)", "if False")],
    "hours last for a minute more": [
        (ACCESS, "now.week_minute < span.end", "now.week_minute <= span.end")
    ],
    "everybody is asked for a face": [
        (ADMISSION, "return subject.id in self._roll.gallery.subjects", "return True")
    ],
    "the second factor may be anybody's": [
        (
            ADMISSION,
            "(shown.subject, shown.credentials) == (subject.id, subject.credentials)",
            "True",
        )
    ],
    "a factor outlives the credentials": [
        (
            ADMISSION,
            "(shown.subject, shown.credentials) == (subject.id, subject.credentials)",
            "shown.subject == subject.id",
        )
    ],
    "a face is looked at where it opens nothing": [
        (RECEPTION, "if not self._admission.looks_at_faces(now):", "if False:")
    ],
    "no face is looked at where two factors open": [
        (ADMISSION, "accepts(in_force, together, has_face=True)", "False")
    ],
    "a factor waits for ever": [
        (
            ADMISSION,
            "return same and now.monotonic < shown.until",
            "return same",
        )
    ],
    "a factor is used twice": [(ADMISSION, "        self.spend()\n", "")],
    "a factor outlives a fault": [
        (ADMISSION, "        self._shown.clear()\n        # Whoever", "        # Whoever")
    ],
    "a face counts after its consent fell": [
        (ADMISSION, "            if has_face or other is not Factor.FACE\n", "")
    ],
    "whoever needs more time has none": [
        (ADMISSION, "accessible=subject.accessible", "accessible=False")
    ],
    "a revoked subject is admitted": [(POLICY, "if subject.revoked:", "if False:")],
    "the schedule is ignored": [(POLICY, "if validity.schedule and not", "if False and not")],
    "faults are ignored": [(ENTRY, "if faults & FOR_CODES or not", "if not")],
    "a release at fault is ignored": [
        (ENTRY, "if faults & FOR_CODES or not", "if Part.STORE in faults or not")
    ],
    "what was entered long ago is taken": [(ENTRY, "<= MAX_AGE:", "<= 1e9:")],
    "what is yet to be entered is taken": [
        (ENTRY, "not 0 <= now.monotonic", "not -1e9 <= now.monotonic")
    ],
    "what was entered at no time is taken": [
        (
            ENTRY,
            "not 0 <= now.monotonic - at <= MAX_AGE",
            "(now.monotonic - at < 0 or now.monotonic - at > MAX_AGE)",
        )
    ],
    # --- duress -----------------------------------------------------------------------------------
    "duress is not told": [(ENTRY, "return [alarm, *self._present(", "return [*self._present(")],
    "duress is told last": [
        (
            ENTRY,
            "return [alarm, *self._present(subject, Factor.PIN, now, duress=True)]",
            "return [*self._present(subject, Factor.PIN, now, duress=True), alarm]",
        )
    ],
    "duress is told of whoever is let in alone": [
        (
            ENTRY,
            "return [alarm, *self._present(subject, Factor.PIN, now, duress=True)]",
            (
                "done = self._present(subject, Factor.PIN, now, duress=True)\n"
                "            told = any(type(getattr(e, 'event', 0)) is Admitted for e in done)\n"
                "            return [alarm, *done] if told else done"
            ),
        )
    ],
    "duress is told for every PIN": [
        (
            ENTRY,
            "            return self._present(subject, Factor.PIN, now)\n",
            (
                "            return [Append(DuressSignalled(subject.id)),"
                " *self._present(subject, Factor.PIN, now)]\n"
            ),
        )
    ],
    # --- enrolling --------------------------------------------------------------------------------
    "a PIN alone authorises an enrolment": [(ADMISSION, "grant.method in STRONG and not", "not")],
    "whoever is forced authorises an enrolment": [(ADMISSION, " and not weak:", ":")],
    "duress is forgotten while a factor waits": [
        (ADMISSION, "any(each.duress or each.unclear for", "any(each.unclear for")
    ],
    # --- the button -------------------------------------------------------------------------------
    "one confirmation is enough": [(SELF_SERVICE, "= self._holds > 1", "= self._holds > 0")],
    "whoever leaves need not be known again": [
        (
            SELF_SERVICE,
            "        self._holds += 1\n",
            (
                "        self._holds += 1\n"
                "        if self._holds > 1 and self._subject:\n"
                "            return self._confirmed(self._subject)\n"
            ),
        )
    ],
    "anybody confirms that somebody leaves": [
        (SELF_SERVICE, "self._subject.id == subject.id", "self._subject.id != ''")
    ],
    "at the button one knows people by one factor": [
        (
            ENTRY,
            "if method_or_reason is None:",
            (
                "method_or_reason = method_or_reason or (Method.PIN if asked else None)\n"
                "        if method_or_reason is None:"
            ),
        )
    ],
    "who may not enter may not choose": [
        (ENTRY, "self._admission.known_by if asked else", "self._admission.method if asked else")
    ],
    "who was known is known again by the same factors": [
        (ENTRY, "            self._admission.spend()\n", ""),
        (RECEPTION, "            self._admission.spend()\n", ""),
    ],
    "a push takes nothing back": [
        (
            SELF_SERVICE,
            "            self._holds = 0\n            self._extend",
            "            self._extend",
        )
    ],
    "the self-service never ends": [
        (SELF_SERVICE, "self.deadline is None or now < self.deadline else", "True else")
    ],
    "the only way in can be paused": [
        (
            ADMISSION,
            "any(accepts([mode], each, has_face=False) for each in having if having[each])",
            "True",
        )
    ],
    "a PIN alone pauses a face that is asked for beside it": [
        (ADMISSION, "accepts(every, method, has_face=True) and all(", "all(")
    ],
    "a pause is told and not kept": [
        (
            SELF_SERVICE,
            "Append(ConsentSuspended(known.id, reason), SuspendConsent(known.id, reason))",
            "Append(ConsentSuspended(known.id, reason))",
        )
    ],
    "a paused face is matched": [
        (POLICY, "if subject.suspended is Suspension.PAUSED:", "if False:")
    ],
    "whoever stands there while choosing is let in": [
        (RECEPTION, "if self._service.serving == subject.id:", "if False:")
    ],
    "somebody else's face is ignored while one chooses": [
        (
            RECEPTION,
            "if self._service.serving == subject.id:",
            "if self._service.serving is not None:",
        )
    ],
    "a self-service goes on when somebody else's face enters": [
        (RECEPTION, "return [*self._service.end(), *granted]", "return granted")
    ],
    "whoever says who they are is let in instead": [
        (
            RECEPTION,
            "        if asked:\n            self._presentation",
            "        if False:\n            self._presentation",
        )
    ],
    "a self-service goes on when somebody enters": [
        (ENTRY, "ended = [] if asked else self._service.end()", "ended: list[Effect] = []")
    ],
    "a fault does not end a self-service": [
        (CONTROLLER, "self._service.end() if fault.part in FOR_CODES else []", "[]")
    ],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("entry-mutants")
    machine = ("test_entry_machine", "EntryMachine")
    with laboratory(MUTANTS, machine, folder, *BESIDE) as built:
        yield built


@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_of_the_readers_finds(name: str, built: Laboratory) -> None:
    require_found(MUTANTS, name, built)
