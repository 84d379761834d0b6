"""`doorward audit gallery`, as an operator types it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from agent import app, audit, installation
from agent.adapters.clock import SystemClock
from agent.audit import audit_gallery
from agent.config import Config
from agent.core.events import Denied
from agent.core.matching import mean_template
from agent.core.types import Float32, Reason, SubjectId
from agent.ports import References, Store
from tests.residents import CONSENT, enrol, granted, vectors
from tests.system.computer import Computer
from tests.system.test_records import opened

ADA, BEN, CLEO = (f"s-00000000000000a{digit}" for digit in "123")


def face(seed: int, count: int = 5, likeness: float = 0.9) -> Float32:
    """References (count, 192) of one face, each at this cosine to it."""
    [middle] = vectors(1, seed)
    return np.array([near(middle, likeness, 1000 * seed + n) for n in range(count)])


def near(middle: Float32, cosine: float, seed: int) -> Float32:
    [noise] = vectors(1, seed)
    noise = noise - (noise @ middle) * middle
    noise /= np.linalg.norm(noise)
    vector: Float32 = (cosine * middle + np.sqrt(1 - cosine**2) * noise).astype(np.float32)
    return vector


def model() -> str:
    _, calibration = app.load_vision(Config())
    return calibration.model


@pytest.fixture(scope="module")
def ours() -> str:
    """The model that the door has."""
    return model()


def take(store: Store, name: str, references: Float32, made_by: str, home: str = "") -> None:
    consent = replace(CONSENT, notice=installation.load_notice(Config()))
    enrol(
        store,
        name,
        label=f"label of {name}",
        household=home or None,
        references=references,
        model=made_by,
        consent=consent,
        now=replace(SystemClock().now(), trusted=True),
    )


def findings(computer: Computer) -> list[tuple[str, str, str | None]]:
    audit = audit_gallery(Config(state_directory=str(computer.state)))
    return [(each.flaw, each.subject, each.other) for each in audit.findings]


def test_a_gallery_of_nobody_and_one_without_a_flaw_are_well(computer: Computer, ours: str) -> None:
    assert findings(computer) == []
    with opened(computer) as store:
        take(store, ADA, face(1), ours)
        take(store, BEN, face(2), ours)
        store.append(granted(ADA), SystemClock().now())
        outside = Denied(Reason.OUTSIDE_SCHEDULE, SubjectId(BEN), frames=3, faces=1)
        store.append(outside, SystemClock().now())

    assert findings(computer) == []
    code, out, _ = computer.type("audit", "gallery")
    assert (code, out.splitlines()[0]) == (0, "Nothing is wrong with any reference.")
    assert "2 residents with references" in out


def test_whoever_was_never_recognised_is_noted_with_the_time_from_which_that_is_known(
    computer: Computer, ours: str
) -> None:
    with opened(computer) as store:
        take(store, ADA, face(1), ours)
        take(store, CLEO, np.empty((0, 192), np.float32), ours)

    assert findings(computer) == [("never_matched", ADA, None)]
    _, out, _ = computer.type("audit", "gallery")
    assert "not recognised once since enrolled on " in out
    assert CLEO not in out
    with opened(computer) as store:
        enrolled = store.last_events(1)[0]
        assert store.prune(enrolled.now.wall + 1e-3, SystemClock().now())
    _, out, _ = computer.type("audit", "gallery")
    assert ", where the log begins" in out


def test_references_that_do_not_go_together_are_too_few_or_of_another_model_need_attention(
    computer: Computer, ours: str
) -> None:
    with opened(computer) as store:
        take(store, ADA, np.array([*face(1, 4), *face(9, 1)]), ours)
        take(store, BEN, face(2, 3), ours)
        take(store, CLEO, face(3), "another/litert")

    found = findings(computer)

    assert [each for each in found if each[0] != "never_matched"] == [
        ("inconsistent", ADA, None),
        ("few_references", BEN, None),
        ("other_model", CLEO, None),
    ]
    code, out, _ = computer.type("audit", "gallery")
    assert code == 1
    assert "which are not compared, and so the face opens nothing" in out
    assert f"label of {ADA}" in out


def test_two_who_are_near_each_other_need_attention_unless_they_live_together(
    computer: Computer, ours: str
) -> None:
    like = mean_template(face(1))
    with opened(computer) as store:
        take(store, ADA, face(1), ours, home="12")
        twin = near(like, 0.97, 77)
        take(store, BEN, np.array([near(twin, 0.9, 500 + n) for n in range(5)]), ours, home="12")
        take(store, CLEO, face(5), ours, home="7")
        for each in (ADA, BEN, CLEO):
            store.append(granted(each), SystemClock().now())

    assert findings(computer) == [("same_household", ADA, BEN)]
    code, out, err = computer.type("audit", "gallery", "--json")
    assert (code, json.loads(out)["findings"][0]["needs_attention"]) == (0, False), err
    with opened(computer) as store:
        double = near(like, 0.97, 78)
        take(store, "s-00000000000000a4", np.array([double] * 5), ours, home="9")
    pairs = [each for each in findings(computer) if each[0] == "near_collision"]
    assert {("near_collision", ADA, "s-00000000000000a4")} <= set(pairs)
    assert all("s-00000000000000a4" in each for each in pairs)
    assert computer.type("audit", "gallery")[0] == 1


def test_the_pairs_are_those_that_comparing_one_by_one_finds_in_a_gallery_of_many_blocks(
    computer: Computer, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.audit.ROWS_AT_ONCE", 3)
    ids = [f"s-{number:016x}" for number in range(10)]
    with opened(computer) as store:
        for number, name in enumerate(ids):
            take(store, name, face(1 + number % 4), ours)

    audit = audit_gallery(Config(state_directory=str(computer.state)))

    same = [each for each in audit.findings if each.flaw == "near_collision"]
    expected = [
        (a, b) for n, a in enumerate(ids) for m, b in enumerate(ids) if n < m and (m - n) % 4 == 0
    ]
    assert sorted((each.subject, each.other) for each in same) == expected


def test_nothing_of_the_references_is_shown(computer: Computer, ours: str) -> None:
    references = face(1)
    with opened(computer) as store:
        take(store, ADA, references, ours)
        take(store, BEN, references[::-1], ours)

    shown = "".join(computer.type("audit", "gallery", *more)[1] for more in ([], ["--json"]))

    template = mean_template(references)
    numbers = [float(each) for each in (*references[0][:9], *template[:9])]
    assert not any(f"{number:.4f}" in shown for number in numbers)


def test_the_self_consistency_of_who_was_enrolled_before_it_was_kept_is_computed(
    computer: Computer, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("agent.adapters.residents._self_consistency", lambda _: None)
        with opened(computer) as store:
            take(store, ADA, np.array([*face(1, 4), *face(9, 1)]), ours)
            take(store, BEN, face(2), ours)
            take(store, CLEO, face(3), "another/litert")
            assert {row.self_consistency for row in store.subjects()} == {None}

    with opened(computer) as store:
        known = {each.subject: each.self_consistency for each in store.references(ours)}
    assert known[SubjectId(CLEO)] is None
    assert known[SubjectId(ADA)] == pytest.approx(0.0, abs=0.2)
    assert known[SubjectId(BEN)] == pytest.approx(0.88, abs=0.05)
    assert ("inconsistent", ADA, None) in findings(computer)


def test_whoever_is_erased_while_it_looks_is_passed_over() -> None:
    kept = [References(SubjectId("s-gone"), 5, 0, 0.9)]
    assert list(audit._never_matched(kept, {}, set(), None)) == []  # noqa: SLF001
