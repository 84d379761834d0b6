"""Residents without a face, PINs, cards and visitors, as an administrator sees to them."""

import os
import pty
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent import credentials, installation
from agent.adapters.clock import SystemClock
from agent.config import Config
from agent.core.credentials import NO_CREDENTIALS, Credentials, Visitor
from agent.core.effects import Enrol
from agent.core.events import Enrolled
from agent.core.types import AuthorityKind, Subject, SubjectId, Terms
from agent.errors import ConfigError, StoreError
from agent.ports import Store
from tests.residents import MODEL, NOW, opened
from tests.system.computer import SECONDS, Computer

BOB = SubjectId("s-bob")
LATER = "2037-11-23 18:00"


def digest(code: str) -> bytes:
    return code.encode().rjust(32)


@pytest.fixture
def bob(computer: Computer) -> SubjectId:
    """A resident without a face, added on a computer."""
    [added] = computer.ask("add", "--label", "Flat 12, Bob")
    return SubjectId(added["subject"])


def events(computer: Computer) -> list[str]:
    return [event["event"] for event in computer.ask("events")]


def typed_at_a_terminal(computer: Computer, answers: list[str], *words: str) -> tuple[int, str]:
    """Type a command and what it asks for; give the exit code and all that the screen showed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "agent", "--config", str(computer.config), *words]
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        cwd=computer.folder,
    )
    os.close(theirs)
    shown = b""
    # At the end of the command Linux gives an error in place of nothing.
    with suppress(OSError):
        while read := os.read(ours, 4096):
            shown += read
            if answers and shown.endswith(b": "):
                os.write(ours, f"{answers.pop(0)}\n".encode())
    os.close(ours)
    return process.wait(SECONDS), shown.decode()


# --- commands -------------------------------------------------------------------------------------


def test_a_resident_without_a_face_is_added_and_listed(computer: Computer) -> None:
    options = ["--household", "12", "--administrator", "--not-before", "2026-01-01", "--accessible"]
    code, subject, err = computer.type(
        "add", "--label", "Bob", "--schedule", "mon 08:00-18:00", *options
    )
    assert (code, err) == (0, "")
    assert re.fullmatch(r"s-[0-9a-f]{16}\n", subject)
    [[row]] = computer.ask("list")
    assert (row["id"], row["label"], row["household"]) == (subject.strip(), "Bob", "12")
    assert (row["administrator"], row["accessible"], row["references"]) == (True, True, 0)
    assert (row["pin"], row["duress_pin"], row["cards"]) == (False, False, 0)
    assert row["schedule"] == "mon 08:00-18:00"
    assert row["not_before"] is not None
    [enrolled] = computer.ask("events")
    assert (enrolled["event"], enrolled["references"]) == ("enrolled", 0)
    assert f"enrolled {subject.strip()} without a face" in computer.type("events")[1]
    [status] = computer.ask("status")
    assert (status["residents"], status["suspended"], status["compared"]) == (0, 0, 0)
    assert "--schedule" in computer.refuses("add", "--schedule", "weekdays")


def test_a_pin_is_made_shown_once_and_removed(computer: Computer, bob: SubjectId) -> None:
    code, pin, said = computer.type("pin", "set", bob)
    assert code == 0
    assert re.fullmatch(r"\d{6}\n", pin)
    assert said == f"the PIN of {bob}, shown this once:\n"
    [duress] = computer.ask("pin", "set", bob, "--duress")
    assert duress["subject"] == bob
    assert re.fullmatch(r"\d{6}", duress["pin"])
    assert duress["pin"] != pin.strip()
    [held] = computer.ask("export", bob)
    assert (held["subject"]["pin"], held["subject"]["duress_pin"]) == (True, True)
    with installation.opened_store(Config(state_directory=str(computer.state))) as store:
        kept = store.load(MODEL).subjects[bob].credentials
    digests = installation.code_digest(Config(state_directory=str(computer.state)))
    assert (kept.pin, kept.duress_pin) == (
        digests.pin(pin.strip()),
        digests.pin(duress["pin"]),
    )
    [removed] = computer.ask("pin", "remove", bob)
    assert (removed["event"], removed["pin"], removed["cards"]) == ("credentials_changed", False, 0)
    [held] = computer.ask("export", bob)
    assert (held["subject"]["pin"], held["subject"]["duress_pin"]) == (False, False)
    assert f"{bob} has no such PIN" in computer.refuses("pin", "remove", bob)
    assert events(computer) == ["enrolled", *3 * ["credentials_changed"]]


def test_a_chosen_pin_is_typed_twice_and_never_shown(computer: Computer, bob: SubjectId) -> None:
    code, shown = typed_at_a_terminal(computer, ["482915", "482915"], "pin", "set", bob, "--choose")
    assert code == 0, shown
    assert shown.count(":") == 2
    assert "482915" not in shown
    assert f"the PIN of {bob} is set" in shown
    code, shown = typed_at_a_terminal(computer, ["111111"] * 2, "pin", "set", bob, "--choose")
    assert code == 2
    assert "doorward: this PIN is too easy to guess: choose another" in shown
    assert events(computer) == ["enrolled", "credentials_changed"]


def test_a_card_is_typed_by_a_reader_or_given_and_removed(
    computer: Computer, bob: SubjectId
) -> None:
    code, shown = typed_at_a_terminal(computer, ["0012345678"], "card", "add", bob)
    assert code == 0, shown
    assert "0012345678" not in shown
    [added] = computer.ask("card", "add", bob, "--number", "04A2B3C4")
    assert (added["event"], added["cards"]) == ("credentials_changed", 2)
    assert "has this card already" in computer.refuses("card", "add", bob, "--number", "04A2B3C4")
    assert "4 to 64 letters and digits" in computer.refuses("card", "add", bob, "--number", "0-1")
    _, table, _ = computer.type("list")
    assert "cards" in table
    [removed] = computer.ask("card", "remove", bob)
    assert removed["cards"] == 0
    assert f"{bob} has no card" in computer.refuses("card", "remove", bob)


def test_a_visitor_is_invited_listed_and_taken_back(computer: Computer) -> None:
    code, made, said = computer.type(
        "visitor", "add", "--label", "Plumber", "--from", "2036-01-01 08:00", "--until", LATER
    )
    assert code == 0
    assert re.fullmatch(r"\d{8}\n", made)
    assert "from 2036-01-01 08:00:00 until 2037-11-23 18:00:00, shown this once" in said
    [[listed]] = computer.ask("visitor", "list")
    assert listed["label"] == "Plumber"
    assert re.fullmatch("v-[0-9a-f]{16}", listed["id"])
    _, table, _ = computer.type("visitor", "list")
    assert listed["id"] in table
    assert made.strip() not in table
    [second] = computer.ask("visitor", "add", "--until", LATER)
    assert re.fullmatch(r"\d{8}", second["code"])
    assert second["not_before"] < second["not_after"]
    [gone] = computer.ask("visitor", "remove", listed["id"])
    assert (gone["event"], gone["visitor"]) == ("visitor_forgotten", listed["id"])
    assert "`doorward visitor list` shows them" in computer.refuses(
        "visitor", "remove", listed["id"]
    )
    assert [each["id"] for each in computer.ask("visitor", "list")[0]] == [second["visitor"]]
    assert events(computer) == ["visitor_invited", "visitor_invited", "visitor_forgotten"]


def test_what_cannot_be_meant_is_refused_in_one_line(computer: Computer) -> None:
    assert "no subject s-9" in computer.refuses("pin", "set", "s-9")
    assert "no subject s-9" in computer.refuses("card", "add", "s-9")
    over = ("visitor", "add", "--until", "2020-01-01 08:00")
    assert "--until: is over already" in computer.refuses(*over, "--from", "2019-01-01 08:00")
    backwards = computer.refuses("visitor", "add", "--from", LATER, "--until", LATER)
    assert "--until: is not after the visit begins" in backwards
    assert events(computer) == []


# --- what they do, on a store ---------------------------------------------------------------------


CLOCK = SystemClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of one resident, without a face."""
    with opened(tmp_path / "state" / "doorward.db") as store:
        subject = Subject(BOB)
        event = Enrolled(BOB, AuthorityKind.ADMINISTRATOR, 0, None)
        store.append(event, NOW, Enrol(subject, "Bob", ()))
        yield store


def set_pin(store: Store, pin: str, *, duress: bool = False, subject: SubjectId = BOB) -> None:
    credentials.set_pin(store, CLOCK, digest, subject, pin, duress=duress)


def kept(store: Store, subject: SubjectId = BOB) -> Credentials:
    return store.resident(subject).subject.credentials


def test_pin_duress_pin_and_cards_leave_each_other_as_they_are(store: Store) -> None:
    set_pin(store, "482915")
    set_pin(store, "730164", duress=True)
    credentials.add_card(store, CLOCK, digest, BOB, " 0012345678\n")
    credentials.add_card(store, CLOCK, digest, BOB, "04A2B3C4")
    cards = (digest("0012345678"), digest("04A2B3C4"))
    assert kept(store) == Credentials(digest("482915"), digest("730164"), cards)
    set_pin(store, "591837")
    assert kept(store) == Credentials(digest("591837"), digest("730164"), cards)
    credentials.remove_pin(store, CLOCK, BOB, duress=True)
    assert kept(store) == Credentials(digest("591837"), None, cards)
    credentials.remove_cards(store, CLOCK, BOB)
    assert kept(store) == Credentials(digest("591837"))


def test_a_pin_for_duress_is_another_than_the_pin_and_goes_with_it(store: Store) -> None:
    with pytest.raises(StoreError, match="s-bob has no PIN: set one first"):
        set_pin(store, "482915", duress=True)
    set_pin(store, "482915")
    with pytest.raises(StoreError, match="must differ: choose another"):
        set_pin(store, "482915", duress=True)
    set_pin(store, "730164", duress=True)
    with pytest.raises(StoreError, match="must differ: choose another"):
        set_pin(store, "730164")
    credentials.remove_pin(store, CLOCK, BOB, duress=False)
    assert kept(store) == NO_CREDENTIALS


def test_nobody_gets_a_pin_that_another_has(store: Store) -> None:
    ada = credentials.add_resident(store, CLOCK, Terms("Ada"))
    set_pin(store, "482915")
    for duress, own in ((False, None), (True, "730164")):
        if own:
            set_pin(store, own, subject=ada)
        with pytest.raises(StoreError, match="this PIN cannot be used: choose another"):
            set_pin(store, "482915", duress=duress, subject=ada)


def test_a_visitor_comes_from_now_on_unless_it_is_said_otherwise(store: Store) -> None:
    made = credentials.invite(store, CLOCK, digest, "Plumber", None, 4e9)
    assert 0 <= CLOCK.now().wall - made.not_before < 60
    [visitor] = store.load(MODEL).visitors
    assert visitor == Visitor(made.visitor, digest(made.code), made.not_before, 4e9)
    assert made.code not in repr(made)


@pytest.mark.parametrize(
    "pin",
    [
        *("000000", "777777", "123456", "987654", "890123", "135791", "121212", "123123"),
        *("12345", "1234567890123", "48291a", "", "٤٨٢٩١٣", "48 915"),
    ],
)
def test_an_easy_pin_and_what_is_none_is_refused(pin: str) -> None:
    with pytest.raises(ConfigError, match="choose another"):
        credentials.require_good(pin)


@pytest.mark.parametrize("pin", ["482915", "112358", "122333", "900009", "482915482917"])
def test_any_other_pin_is_taken(pin: str) -> None:
    credentials.require_good(pin)


def test_a_pin_that_is_made_is_never_an_easy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([111111, 123456, 42])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    assert credentials.new_pin() == "000042"
