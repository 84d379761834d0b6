"""The machine of the examination is trusted because it fails: each of these breaks one promise."""

from collections.abc import Iterator

import pytest

from tests.core.breaking import laboratory, require_found
from tests.mutants import Edit, Laboratory

BESIDE = ["tests/core/entries.py", "tests/core/examining.py"]

ACCESS, ADMISSION, CONTROLLER, DECISION = (
    "access.py",
    "admission.py",
    "controller.py",
    "decision.py",
)
EXAMINATION, RECEPTION = "examination.py", "reception.py"

MUTANTS: dict[str, list[Edit]] = {
    "nothing": [],
    "nobody is examined": [
        (RECEPTION, "if level is not PadLevel.BASIC and not examined", "if False")
    ],
    "what is unclear passes": [(RECEPTION, "        if not alive:\n", "        if False:\n")],
    "what is unclear needs no second factor": [
        (RECEPTION, "Factor.FACE, now, alone=False)", "Factor.FACE, now)")
    ],
    "what is unclear is enough beside the PIN that is asked for anyway": [
        (RECEPTION, "or not self._admission.takes_a_face_alone(now)", ""),
        (ADMISSION, "unclear=self.takes_a_face_alone(now))", "unclear=True)"),
    ],
    "an attack passes": [
        (RECEPTION, "if verdict.liveness is Liveness.ATTACK:", "if False:"),
        (
            RECEPTION,
            "        if not alive:\n",
            "        if verdict.liveness is Liveness.UNCLEAR:\n",
        ),
    ],
    "an attack is unclear": [(RECEPTION, "if verdict.liveness is Liveness.ATTACK:", "if False:")],
    "examined faces are not compared": [
        (RECEPTION, "self._judge.bears_out(recognised, faces) for", "True for")
    ],
    "examined faces agree with anybody": [
        (DECISION, "ranking.best.subject != subject", "False"),
        (
            DECISION,
            "return 2 * agreeing > len(vectors) and self._objection(ranking, pooled) is None",
            "return True",
        ),
    ],
    "an attack leaves the face that waits": [
        (RECEPTION, "        self._admission.withdraw_face(recognised)\n", "")
    ],
    "no answer in time passes": [
        (
            EXAMINATION,
            "return self._end(Verdict(Liveness.UNCLEAR, cue), now)",
            "return self._end(Verdict(Liveness.BONA_FIDE, cue), now)",
        ),
        (RECEPTION, "if alive or len(each)", "if len(each)"),
    ],
    "an answer never comes too late": [
        (EXAMINATION, "if self.deadline is None or now < self.deadline:", "if True:")
    ],
    "a series of before the code answers it": [
        (
            EXAMINATION,
            "not self._flashed_at <= examined.captured_at <= now",
            "not examined.captured_at <= now",
        )
    ],
    "a series of the future answers": [
        (
            EXAMINATION,
            "self._flashed_at <= examined.captured_at <= now",
            "self._flashed_at <= examined.captured_at",
        )
    ],
    "by a clock that is not set the level outside all hours counts": [
        (ACCESS, "return access.strictest", "return access.pad")
    ],
    "the hours have no level": [(ACCESS, "else hours.pad", "else access.pad")],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("pad-mutants")
    with laboratory(MUTANTS, ("test_pad_machine", "PadMachine"), folder, *BESIDE) as built:
        yield built


@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_of_the_examination_finds(name: str, built: Laboratory) -> None:
    require_found(MUTANTS, name, built)
