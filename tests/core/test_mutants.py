"""The machine is trusted because it fails: each of these breaks one promise on purpose."""

from collections.abc import Iterator

import pytest

from tests.core.breaking import laboratory, require_found
from tests.mutants import Edit, Laboratory

ADMISSION = "admission.py"
CONSENT, CONTROLLER, DECISION, DOOR = "consent.py", "controller.py", "decision.py", "door.py"
ENROLLER, ENROLMENT = "enroller.py", "enrolment.py"
MATCHING, POLICY, RECEPTION = "matching.py", "policy.py", "reception.py"

MUTANTS: dict[str, list[Edit]] = {
    # Each edit: a module of the core, a text that is in it once, and what stands there instead.
    "nothing": [],
    # --- the door ---------------------------------------------------------------------------------
    "a second grant keeps the door open for longer": [
        (
            DOOR,
            "            return []\n        seconds =",
            "            self.deadline = grant.at + self._seconds[False]; return []\n"  # noqa: ISC004
            "        seconds =",
        )
    ],
    "a second grant releases the door again": [
        (DOOR, "if self.deadline is not None:\n            return []", "pass")
    ],
    "the door never locks": [
        (DOOR, "if self.deadline is None or now < self.deadline:", "if True:")
    ],
    "the door locks late": [(DOOR, "now < self.deadline", "now <= self.deadline")],
    "the door opens without a record": [(ADMISSION, "            Append(event, change),\n", "")],
    "the door opens before the record": [
        (
            ADMISSION,
            "            *self._door.release(grant, accessible=subject.accessible),\n",
            "",
        ),
        (
            ADMISSION,
            "            Append(event, change),\n",
            "            *self._door.release(grant, accessible=subject.accessible),\n"  # noqa: ISC004
            "            Append(event, change),\n",
        ),
    ],
    "there is no cooldown": [
        (ADMISSION, "return not now >= self._rests_until", "return False and self._rests_until")
    ],
    "a resident who found the door open waits for the cooldown": [
        (ADMISSION, "rested_at if locks_at is None else locks_at", "rested_at")
    ],
    # --- faults -----------------------------------------------------------------------------------
    "a fault admits": [(CONTROLLER, "if self._blocked or seen.nearest", "if seen.nearest")],
    "a fault leaves the door open": [(CONTROLLER, "else self._door.lock()", "else []")],
    "evidence outlives a fault": [
        (CONTROLLER, "        self._reception.faulted(now.monotonic)\n", "")
    ],
    "a cooldown outlives a fault": [
        (ADMISSION, "to be.\n        self._rests_until.clear()", "to be.")
    ],
    "a store at fault is written to": [
        (CONTROLLER, "if Part.STORE not in self._faults:", "if True:")
    ],
    "what waits for the store is lost": [
        (CONTROLLER, "held, self._held = self._held, []", "self._held = []")
    ],
    # --- evidence ---------------------------------------------------------------------------------
    "a stale frame counts": [
        (CONTROLLER, "0 <= age <= self._rules.recognition.max_age", "0 <= age")
    ],
    "a frame from the future counts": [(CONTROLLER, "if not 0 <= age <=", "if not age <=")],
    "a frame counts as often as it comes": [
        (DECISION, "if not captured_at > self._seen_at:", "if False:")
    ],
    "a presentation survives any gap": [(DECISION, "<= self._rules.max_gap:", "< 1e9:")],
    "one frame is enough": [
        (DECISION, "if not len(presentation) >= self._rules.min_frames:", "if False:"),
        (
            DECISION,
            "if not agreeing >= min(self._rules.min_frames, len(vectors)):",
            "if not agreeing:",
        ),
    ],
    "frames need not agree": [
        (DECISION, "if not agreeing >= min(self._rules.min_frames, len(vectors)):", "if False:")
    ],
    "the newest frame need not agree": [
        (DECISION, "if not self._agrees(presentation.vectors[-1], best.row):", "if False:")
    ],
    "a stranger is admitted": [
        (DECISION, "or not ranking.best.score >= self.threshold.cosine", ""),
        (DECISION, "cosine - self._rules.agreement_slack", "cosine - 2"),
    ],
    "a stranger is named": [
        (
            DECISION,
            "Refusal(reason or Reason.NO_MATCH)",
            "Refusal(reason or Reason.NO_MATCH, ranking and ranking.best.subject)",
        )
    ],
    "the margin is ignored": [(DECISION, "if ranking.margin is not None and", "if False and")],
    "a household is its own rival": [
        (
            MATCHING,
            "gallery.households == gallery.households[best]",
            "np.arange(len(scores)) == best",
        )
    ],
    "a score that is no number is perfect": [
        (MATCHING, "scores, NOTHING)\n        best", "scores, 1.0)\n        best"),
        (DECISION, "bool(vector @ self._gallery.matrix[row] >= floor)", "True"),
    ],
    "a damaged template hides everybody": [
        (MATCHING, "if not np.isfinite(scores[best]):", "if False:")
    ],
    "a damaged template is its household's own rival": [
        (MATCHING, "if not scores[row] > NOTHING:", "if not len(scores) > 1:")
    ],
    "frames of another model are compared": [
        (
            DECISION,
            "if not presentation.models == {self._gallery.model} == {self._calibration.model}:",
            "if False:",
        )
    ],
    # --- policy -----------------------------------------------------------------------------------
    "a revoked subject is admitted": [(POLICY, "if subject.revoked:", "if False:")],
    "an expired subject is admitted": [
        (POLICY, "if validity.not_after is not None and", "if False and")
    ],
    "a bound that is no number is no bound": [
        (POLICY, "not now.wall < validity.not_after", "now.wall >= validity.not_after")
    ],
    "a subject is admitted before its time": [
        (POLICY, "if validity.not_before is not None and not", "if False and not")
    ],
    "the schedule is ignored": [(POLICY, "if validity.schedule and not", "if False and not")],
    "a clock that was not set is believed": [(POLICY, "if not now.trusted:", "if False:")],
    "the lockout is ignored": [
        (RECEPTION, "if self._attempts.locked(now.monotonic):", "if False:")
    ],
    "the lockout never comes": [
        (POLICY, "if len(self._refused_at) < self._rules.refusals:", "if True:")
    ],
    "a refusal may be tried again at once": [
        (RECEPTION, "if now.monotonic < self._retry_at:", "if False:")
    ],
    # --- enrolment --------------------------------------------------------------------------------
    "anybody may enrol": [
        (
            ENROLLER,
            "if authority is None or faulty:",
            "authority = authority or Authority(AuthorityKind.CODE, '', Terms())\n"  # noqa: ISC004
            "        if faulty:",
        ),
        (CONTROLLER, "enrols = self._enroller.deadline is not None or", "enrols = True or"),
    ],
    "a fault does not keep from enrolling": [
        (ENROLLER, "if authority is None or faulty:", "if authority is None:")
    ],
    "a code works twice": [(ENROLLER, "self._codes, self._spent_at = (), now.monotonic", "pass")],
    "a code works again once the store is loaded": [
        (ENROLLER, "and code.issued_at > self._spent_at", "")
    ],
    "a code works for ever": [
        (ENROLLER, "0 <= now - code.issued_at <= self._rules.authority_seconds", "True")
    ],
    "any code is right": [
        (ENROLLER, "if compare_digest(code.code.encode(), typed.encode()):", "if True:")
    ],
    "a wrong code may be followed by another": [
        (ENROLLER, "        self._spend_codes(now)\n        failed", "        failed")
    ],
    "a visit authorises for ever": [
        (ENROLLER, "if now.monotonic - at <= self._rules.authority_seconds:", "if True:")
    ],
    "a visit authorises twice": [
        (
            ENROLLER,
            "        self._administrator = None\n        self._spend",
            "        self._spend",
        )
    ],
    "a visit outlives a fault": [
        (ENROLLER, "self._administrator = None\n        self._collection", "self._collection")
    ],
    "every resident's visit authorises": [(ADMISSION, "if subject.administrator and", "if")],
    "a dismissed administrator's visit authorises": [
        (
            ENROLLER,
            "if visitor is None or visitor.revoked or not visitor.administrator:",
            "if False:",
        )
    ],
    "an enrolment mixes two people": [
        (ENROLMENT, "mean_template(taken)) >= self.rules.min_consistency:", "vector) >= -1:"),
        (ENROLMENT, "if min(alike) >= self.rules.min_consistency:", "if True:"),
    ],
    "an enrolment has no end": [
        (ENROLLER, "if self._collection is None or now < self._collection.deadline:", "if True:")
    ],
    "an enrolment that was not committed is not told of": [
        (ENROLLER, "self._collection or self._committing, None", "self._collection, None")
    ],
    "residents are let in during an enrolment": [
        (
            RECEPTION,
            "if self._enroller.deadline is not None:\n            self",
            "if False:\n            self",
        )
    ],
    "an enrolee gets an administrator's rights": [
        (ENROLMENT, "administrator=terms.administrator", "administrator=True")
    ],
    "refused enrolments fill the log": [
        (ENROLLER, "if now.monotonic - self._refused_at < REFUSALS_APART:", "if False:")
    ],
    "a code that was not used lies around": [
        (
            ENROLLER,
            "        self._codes = ()\n        return [Append(",
            "        return []; return [Append(",
        )
    ],
    "a code is forgotten too soon": [
        (ENROLLER, "or any(self._in_time(code, now) for code in self._codes)", "")
    ],
    "a code that was not used is forgotten by the agent alone": [
        (ENROLLER, "Append(EnrolmentLapsed(), SpendCodes())", "Append(EnrolmentLapsed())")
    ],
    "an enrolee's guardian is not recorded": [
        (ENROLLER, "terms.guardian, now.wall", "None, now.wall")
    ],
    "a minor counts as grown up": [(ENROLMENT, "minor=terms.minor", "minor=False")],
    "a consent never expires": [
        (ENROLMENT, "None if days is None else wall + days * SECONDS_PER_DAY", "None")
    ],
    # --- consent ----------------------------------------------------------------------------------
    "whoever consented to nothing is matched": [
        (POLICY, "return Suspension.WITHDRAWN", "return None")
    ],
    "a withdrawal is overlooked": [
        (POLICY, "consent is None or subject.suspended is Suspension.WITHDRAWN", "consent is None")
    ],
    "a suspension outlives its reason": [
        (
            POLICY,
            "    if consent is None or subject",
            "    if subject.suspended: return subject.suspended\n"  # noqa: ISC004
            "    if consent is None or subject",
        )
    ],
    "a consent that is known to have expired counts by a clock that was not set": [
        (POLICY, "if subject.suspended is Suspension.EXPIRED and not now.trusted:", "if False:")
    ],
    "an expiry that is known is not looked at once the clock is set": [
        (CONSENT, 'lapses.append(float("-inf"))', "pass")
    ],
    "a consent that was never given is suspended": [
        (CONSENT, "and subject.consent is not None:", "and True:")
    ],
    "that a consent counts again is not recorded": [
        (CONSENT, "if objection is not subject.suspended and", "if objection and")
    ],
    "that a consent counts again is told and not kept": [
        (
            CONSENT,
            "Append(told, SuspendConsent(subject, objection))",
            "Append(told, objection and SuspendConsent(subject, objection))",
        )
    ],
    "a consent to another notice counts": [
        (POLICY, "if not consent.notice == notice:", "if False:")
    ],
    "a consent to another text of the notice counts": [
        (POLICY, "consent.notice == notice", "consent.notice.version == notice.version")
    ],
    "a minor needs no guardian": [(POLICY, "if subject.minor and not", "if False and not")],
    "a guardian without a name counts": [
        (POLICY, "(consent.guardian and consent.guardian.strip())", "consent.guardian")
    ],
    "a consent that expired counts": [
        (POLICY, "if consent.expires is not None and", "if False and")
    ],
    "a consent that expires at no time holds for ever": [
        (POLICY, "not now.wall < consent.expires", "now.wall >= consent.expires")
    ],
    "a consent expires by a clock that was not set": [
        (
            POLICY,
            "consent.expires is not None and now.trusted and",
            "consent.expires is not None and",
        )
    ],
    "a consent that expires is believed to stand by a clock that was not set": [
        (POLICY, "if lasting and unbounded and", "if unbounded and")
    ],
    "the gallery is not filtered": [
        (
            CONSENT,
            "self.standing = standing\n        self.gallery = only(self.gallery, standing)",
            "self.standing = self._everybody",
        )
    ],
    "templates are mixed up where the gallery is filtered": [
        (MATCHING, "matrix=gallery.matrix[rows]", "matrix=gallery.matrix[: len(rows)]")
    ],
    "an expiry is noticed when the store is loaded only": [
        (CONSENT, "if not now.trusted or now.wall < self._lapses_at:", "if True:")
    ],
    "an expiry is noticed once only": [
        (CONSENT, "float(np.min(lapses, initial=np.inf))", "float('inf')")
    ],
    "a suspension is not recorded": [(CONTROLLER, "            *self._roll.suspend(),\n", "")],
    "a suspension that is known is recorded again": [
        (CONSENT, "if objection is not subject.suspended and", "if objection is not None and")
    ],
    "a record is lost with an opening that fails": [
        (CONTROLLER, "if not any(isinstance(effect, Energise) for effect in effects):", "if True:")
    ],
    "a suspension is recorded for a store at fault": [
        (CONTROLLER, "if Part.STORE in self._faults or not now", "if not now")
    ],
    "the visit of an administrator who was suspended authorises": [
        (CONTROLLER, "self._enroller.review(self._roll.standing)", "pass")
    ],
    # --- leaving ----------------------------------------------------------------------------------
    "any leave code is right": [
        (
            CONSENT,
            "if not compare_digest(known.leave_code.encode(), code.encode()):",
            "if not True:",
        )
    ],
    "no leave code is a leave code": [
        (CONSENT, "if known is None or not known.leave_code:", "if known is None:")
    ],
    "an erasure that failed is forgotten": [
        (CONSENT, "self._unerased = list(self._leaving)", "self._unerased = []")
    ],
    "an erasure that failed is asked for with the next load alone": [
        (
            CONSENT,
            "self._unerased = list(self._leaving)",
            "self._unerased, self._leaving = self._leaving, []",
        )
    ],
    "whoever was erased meanwhile is erased again": [
        (CONSENT, "[each for each in self._leaving if each in self._everybody]", "self._leaving"),
        (CONSENT, "del self._everybody[each]", "self._everybody.pop(each, None)"),
    ],
    "all who leave are erased at once": [
        (CONSENT, "self._unerased[:1], self._unerased[1:]", "self._unerased, []")
    ],
    "whoever waits to be erased is looked after like everybody": [
        (CONSENT, "            del self._everybody[each]\n", "            pass\n")
    ],
    "an erasure is told of and not done": [
        (CONSENT, "Append(Erased(subject), Erase(subject))", "Append(Erased(subject))")
    ],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("mutants")
    with laboratory(MUTANTS, ("test_machine", "Machine"), folder) as built:
        yield built


@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_finds(name: str, built: Laboratory) -> None:
    require_found(MUTANTS, name, built)
