"""The commands about what is kept, as an operator types them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent import installation
from agent.adapters.clock import SystemClock
from agent.config import Config, Retention
from agent.core.effects import Enrol
from agent.core.enrolment import Enrolment
from agent.core.events import Enrolled
from agent.core.types import AuthorityKind, Notice, Subject, SubjectId, Suspension
from agent.errors import ConfigError, StoreError
from agent.operations import renew_consent
from agent.ports import Store
from tests.residents import CONSENT, MODEL, NOTICE, enrol, granted, vectors
from tests.system.computer import Computer

ADA = "s-00000000000000ad"


@contextmanager
def opened(computer: Computer) -> Iterator[Store]:
    with installation.opened_store(Config(state_directory=str(computer.state))) as store:
        yield store


@pytest.fixture
def resident(computer: Computer) -> Computer:
    """A computer on which Ada is enrolled, and was admitted."""
    with opened(computer) as store:
        now = SystemClock().now()
        notice = installation.load_notice(Config())
        consent = replace(CONSENT, notice=notice)
        enrol(store, ADA, label="Ada, flat 12", household="12", consent=consent, now=now)
        store.append(granted(ADA), now)
    return computer


def test_a_resident_sees_all_that_is_held_but_for_the_numbers(resident: Computer) -> None:
    with opened(resident) as store:
        # Somebody else's event, though it mentions her.
        ben = Subject(SubjectId("s-00000000000000be"), consent=CONSENT)
        alike = Enrolled(ben.id, AuthorityKind.CODE, 0, SubjectId(ADA))
        store.append(alike, SystemClock().now(), Enrol(ben, "", ()))
    code, out, _ = resident.type("export", ADA)
    assert code == 0
    held = json.loads(out)
    assert held["subject"]["label"] == "Ada, flat 12"
    assert held["subject"]["household"] == "12"
    assert held["references"] == 3
    assert [event["event"] for event in held["events"]] == ["enrolled", "granted"]
    assert held["receipt"].startswith("doorward/receipt/1\n")
    assert len(held["leave_code"]) == 20
    numbers = [float(number) for number in vectors(3, seed=len(ADA))[0][:3]]
    assert not any(f"{number:.4f}" in out for number in numbers)


def test_an_erasure_gives_a_certificate_that_the_public_key_alone_checks(
    resident: Computer, tmp_path: Path
) -> None:
    key = resident.ask("status")[0]["verifier"]
    code, certificate, said = resident.type("erase", ADA)
    assert code == 0
    assert "backups made before that open no more" in said
    paper = tmp_path / "certificate.txt"
    paper.write_text(certificate, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    auditor = Computer(elsewhere)
    [checked] = auditor.ask("verify", str(paper), "--key", key)
    assert (checked["kind"], checked["subject"]) == ("erasure certificate", ADA)
    assert "whoever holds the card" in checked["not_promised"]
    assert not auditor.state.exists()
    assert resident.type("erase", ADA)[1] == certificate
    assert "no subject s-1" in resident.refuses("erase", "s-1")
    assert [each["event"] for each in resident.ask("events")][-2:] == [
        "erased",
        "erasure_certified",
    ]


def test_a_consent_is_shown_exported_withdrawn_and_renewed(
    resident: Computer, tmp_path: Path
) -> None:
    _, shown, _ = resident.type("consent", "show", ADA)
    assert "2026-11" in shown
    assert CONSENT.authorised_by in shown
    [told] = resident.ask("consent", "show", ADA)
    assert told["suspended"] is None
    paper = tmp_path / "receipt.txt"
    paper.write_text(resident.type("consent", "export", ADA)[1], encoding="utf-8")
    [receipt] = resident.ask("verify", str(paper))
    assert (receipt["kind"], receipt["purpose"]) == ("consent receipt", CONSENT.purpose)

    [withdrawn] = resident.ask("consent", "withdraw", ADA)
    assert (withdrawn["event"], withdrawn["reason"]) == ("consent_suspended", "withdrawn")
    assert "is withdrawn already" in resident.refuses("consent", "withdraw", ADA)
    [status] = resident.ask("status")
    assert (status["residents"], status["suspended"], status["compared"]) == (0, 1, 0)
    assert "withdrawn" in resident.type("list")[1]

    [renewed] = resident.ask("consent", "renew", ADA)
    assert renewed["event"] == "consent_renewed"
    assert resident.ask("consent", "show", ADA)[0]["suspended"] is None
    assert "no subject s-9" in resident.refuses("consent", "show", "s-9")


def test_only_a_guardian_renews_for_a_minor(computer: Computer) -> None:
    config = Config(state_directory=str(computer.state))
    with opened(computer) as store:
        enrol(store, "s-1")
        wanted = "a minor needs --guardian"
        with pytest.raises(StoreError, match=wanted):
            renew_consent(config, store, SubjectId("s-1"), "root", "Ben")
        enrol(store, "s-2", minor=True, consent=replace(CONSENT, guardian="Ben"))
        with pytest.raises(StoreError, match=wanted):
            renew_consent(config, store, SubjectId("s-2"), "root", None)
        renew_consent(config, store, SubjectId("s-2"), "root", "Cy")
        consent = store.load(MODEL).subjects[SubjectId("s-2")].consent
        assert consent is not None
        assert (consent.guardian, consent.notice) == ("Cy", installation.load_notice(config))


def test_a_minor_is_enrolled_with_a_guardian_only(computer: Computer) -> None:
    code, _, err = computer.type("enrol", "--minor")
    assert (code, "a minor needs a guardian" in err) == (2, True)
    code, _, err = computer.type("enrol", "--guardian", "Ben")
    assert (code, "nobody else has one" in err) == (2, True)


def test_a_consent_to_another_notice_does_not_count(computer: Computer) -> None:
    with opened(computer) as store:
        enrol(store, ADA, consent=replace(CONSENT, notice=NOTICE))
    [status] = computer.ask("status")
    assert (status["residents"], status["suspended"]) == (0, 1)


def test_the_notice_in_force_is_the_text_of_a_file(tmp_path: Path) -> None:
    text = tmp_path / "notice.md"
    text.write_bytes(b"abc")
    config = Config(notice_file=str(text), enrolment=Enrolment(notice="house-1"))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert installation.load_notice(config) == Notice("house-1", digest)
    text.unlink()
    with pytest.raises(ConfigError, match=r"privacy notice 'house-1' cannot be read: .*notice"):
        installation.load_notice(config)
    with pytest.raises(ConfigError, match="set notice_file to its text"):
        installation.load_notice(Config(enrolment=Enrolment(notice="2031-01")))


def test_a_cut_tail_is_found_with_a_head_kept_elsewhere(resident: Computer, tmp_path: Path) -> None:
    [verified] = resident.ask("events", "verify")
    assert verified["events"] == 2
    backup = resident.ask("backup")[0]["backup"]
    resident.ask("revoke", ADA)
    head = tmp_path / "head.txt"
    head.write_text(resident.ask("events", "verify")[0]["head"], encoding="utf-8")
    assert resident.ask("events", "verify", "--head", str(head))[0]["events"] == 3
    assert "this device went on to 3" in resident.refuses("restore", backup)
    [restored] = resident.ask("restore", backup, "--older")
    assert (restored["event"], restored["up_to"]) == ("restored", 2)
    resident.ask("events", "verify")
    said = resident.refuses("events", "verify", "--head", str(head))
    assert "event 3 is not the one whose head was published" in said
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("nothing", encoding="utf-8")
    assert f"{nothing}: is no signed note" in resident.refuses(
        "events", "verify", "--head", str(nothing)
    )
    nothing.write_text(resident.type("consent", "export", ADA)[1], encoding="utf-8")
    assert f"{nothing}: is no head" in resident.refuses("events", "verify", "--head", str(nothing))


def test_the_doctor_names_the_protection_level(resident: Computer) -> None:
    _, out, _ = resident.type("doctor", "--simulate")
    [key] = [line for line in out.splitlines() if line.startswith("key")]
    assert "ok" in key
    assert "protection level 0" in key
    assert "a stolen card is not" in key


def test_a_damaged_database_is_set_aside_and_none_is_made_in_its_place(resident: Computer) -> None:
    path = resident.state / "doorward.db"
    content = bytearray(path.read_bytes())
    # In the middle of a page of rows: only the sum of them can tell.
    place = content.index(b"s-00000000000000ad") + 40
    content[place] ^= 1
    path.write_bytes(content)
    pictures = resident.folder / "pictures"
    pictures.mkdir()
    walk = ["run", "--simulate", "--camera", f"frames:{pictures}"]
    cv2.imwrite(str(pictures / "0.bmp"), np.zeros((720, 1280, 3), np.uint8))
    said = resident.refuses(*walk)
    assert "it is kept as" in said
    assert (resident.state / "doorward.db.aside-1").read_bytes() == content
    assert not path.exists()
    for command in (walk, ["list"], ["status"]):
        assert "`doorward restore FILE`" in resident.refuses(*command)
    (resident.state / "epoch").unlink()
    assert resident.ask("list") == [[]]


def test_a_device_without_its_key_says_so_and_changes_nothing(resident: Computer) -> None:
    key = resident.state / "device.key"
    kept = key.read_bytes()
    before = (resident.state / "doorward.db").read_bytes()
    key.unlink()
    assert "no device key" in resident.refuses("list")
    key.write_bytes(b"ab" * 32 + b"\n")
    key.chmod(0o600)
    assert "put back the key it was made with" in resident.refuses("list")
    assert (resident.state / "doorward.db").read_bytes() == before
    key.write_bytes(kept)
    assert len(resident.ask("list")[0]) == 1


def test_no_new_key_is_made_beside_a_database_that_needs_the_old_one(resident: Computer) -> None:
    for name in ("device.key", "epoch"):
        (resident.state / name).unlink()
    assert "no device key" in resident.refuses("list")
    assert not (resident.state / "device.key").exists()


def test_retention_refuses_what_would_empty_the_store(computer: Computer) -> None:
    computer.configure("[retention]\nevent_days = 0")
    assert "retention.event_days" in computer.refuses("list")
    assert Retention().unused_days == 365


def test_the_receipt_of_a_suspended_consent_is_still_exported(resident: Computer) -> None:
    resident.ask("consent", "withdraw", ADA)
    [receipt] = resident.ask("consent", "export", ADA)
    assert receipt["receipt"].startswith("doorward/receipt/1\n")
    assert resident.ask("consent", "show", ADA)[0]["suspended"] == Suspension.WITHDRAWN
