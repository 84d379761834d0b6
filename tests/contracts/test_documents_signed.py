"""Receipts, certificates and heads of the log: checked with the verifier key and nothing else."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.adapters import erasure
from agent.adapters.documents import (
    Certificate,
    Receipt,
    receipt_in,
    receipt_of,
    text_of,
    verify,
)
from agent.adapters.log import Head
from agent.adapters.note import MAX_NOTE, Signer, Verifier, parse_verifier, split
from agent.adapters.vault import Vault
from agent.core.types import SubjectId
from tests.residents import CONSENT, KEY, NOW, OTHER_KEY, enrol, erase, opened

SECONDS = 60.0
SUBJECT = SubjectId("s-0123456789abcdef")
VAULT = Vault(KEY)
KEY_OF_DEVICE = str(VAULT.signer.verifier)
LASTING = replace(CONSENT, expires=1_800_000_000.5, guardian="Ada “Byron”\nof <Ockham>")
RECEIPT = VAULT.signer.note(text_of(receipt_of(SUBJECT, LASTING)))
CERTIFICATE = erasure.signed_certificate(
    VAULT, erasure.Tombstone(SUBJECT, "requested", 1_795_000_000.25, True, 7), [], NOW
)
HEAD = VAULT.signer.note(Head(41, bytes(range(32))).text(VAULT.signer.verifier.name))
NOTES = {"receipt": RECEIPT, "certificate": CERTIFICATE, "head": HEAD}


# --- the format -----------------------------------------------------------------------------------

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_TEXT = "This is an example message.\n"
EXAMPLE_LINE = (
    "— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
)
OTHER_LINE = f"— other.example {b64encode(bytes(68)).decode()}"


def test_the_example_of_the_published_format_verifies() -> None:
    """See C2SP signed-note."""
    verifier = parse_verifier(EXAMPLE_KEY)
    assert str(verifier) == EXAMPLE_KEY
    assert verifier.open(f"{EXAMPLE_TEXT}\n{EXAMPLE_LINE}\n") == EXAMPLE_TEXT
    for altered in (EXAMPLE_TEXT.replace("an", "no"), f" {EXAMPLE_TEXT}", f"{EXAMPLE_TEXT}\n"):
        with pytest.raises(ValueError, match="altered"):
            verifier.open(f"{altered}\n{EXAMPLE_LINE}\n")


def test_signatures_of_others_beside_ours_are_passed_over() -> None:
    verifier = parse_verifier(EXAMPLE_KEY)
    for lines in ([OTHER_LINE, EXAMPLE_LINE], [EXAMPLE_LINE, OTHER_LINE]):
        assert verifier.open("\n".join([EXAMPLE_TEXT, *lines, ""])) == EXAMPLE_TEXT


def test_what_a_signer_made_opens_with_its_key_alone() -> None:
    signer = Signer("example.com/bar", bytes(32))
    note = signer.note("one\ntwo\n")
    assert parse_verifier(str(signer.verifier)).open(note) == "one\ntwo\n"
    assert note == f"one\ntwo\n\n{note.splitlines()[3]}\n"
    [(name, blob)] = split(note)[1]
    assert (name, blob[:4]) == ("example.com/bar", signer.verifier.key_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "name",
        EXAMPLE_KEY[:-4],
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("foo", "bar"),
        EXAMPLE_KEY.replace("+Ae", "+Be"),
        EXAMPLE_KEY.replace("ky", "kz"),
        EXAMPLE_KEY + "AAAA",
        "example.com/foo+530d903a+\N{EM DASH}",
        "\x00" * 1000,
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no verifier key"):
        parse_verifier(text)


# --- what the device signs ------------------------------------------------------------------------


def test_a_receipt_says_who_consented_to_what() -> None:
    checked = verify(RECEIPT, VAULT.signer.verifier)
    assert checked.signer == f"doorward/{VAULT.device}"
    assert isinstance(checked.content, Receipt)
    assert checked.content.subject == SUBJECT
    assert checked.content.consent == LASTING
    assert receipt_in(RECEIPT).consent == LASTING
    assert checked.facts["kind"] == "consent receipt"
    assert checked.facts["notice_sha256"] == LASTING.notice.sha256
    assert checked.facts["guardian"] == LASTING.guardian


def test_a_certificate_says_what_was_done_and_what_is_not_promised() -> None:
    checked = verify(CERTIFICATE, VAULT.signer.verifier)
    assert isinstance(checked.content, Certificate)
    facts = checked.facts
    assert (facts["kind"], facts["subject"]) == ("erasure certificate", SUBJECT)
    assert (facts["erased_at"], facts["completed_at"]) == (1_795_000_000.25, NOW.wall)
    assert (facts["epoch"], facts["level"], facts["cause"]) == (7, 0, "requested")
    assert "remnants" in facts["not_promised"]
    with pytest.raises(ValueError, match="no consent receipt"):
        receipt_in(CERTIFICATE)


def test_a_head_says_where_the_log_was() -> None:
    facts = verify(HEAD, VAULT.signer.verifier).facts
    assert facts["seq"] == 41
    assert facts["hash"] == b64encode(bytes(range(32))).decode()


def test_what_a_store_signs_verifies_without_it(tmp_path: Path) -> None:
    with opened(tmp_path / "doorward.db") as store:
        enrol(store, SUBJECT)
        receipt = store.resident(SUBJECT).receipt
        head = store.last_events(1)[0].head
        erase(store, SUBJECT)
        certificate = store.certificate(SUBJECT)
        assert store.verifier == KEY_OF_DEVICE
    assert receipt
    assert certificate
    facts = [verify(note, VAULT.signer.verifier).facts for note in (receipt, head, certificate)]
    assert [each.get("subject") for each in facts] == [SUBJECT, None, SUBJECT]
    assert facts[1]["seq"] == 1


def test_each_certificate_names_the_key_epoch_that_its_erasure_began(tmp_path: Path) -> None:
    path, named, kept = tmp_path / "doorward.db", [], []
    with opened(path) as store:
        for subject in (SUBJECT, SubjectId("s-2")):
            enrol(store, subject)
            erase(store, subject)
            note = store.certificate(subject)
            assert note
            named.append(verify(note, VAULT.signer.verifier).facts["epoch"])
            # The file's first word, as whoever looks at the device reads it.
            kept.append(int((tmp_path / "epoch").read_text(encoding="ascii").split()[0]))
    assert named == kept == [2, 3]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), 1e300])
def test_nothing_is_signed_that_could_not_be_read_back(at: float) -> None:
    with pytest.raises(ValueError, match="does not say"):
        text_of(receipt_of(SUBJECT, replace(CONSENT, at=at)))


# --- what does not hold ---------------------------------------------------------------------------


def _signed(text: str) -> str:
    return VAULT.signer.note(text)


def _read(note: str) -> tuple[str, dict[str, Any]]:
    kind, said, _ = split(note)[0].split("\n")
    return kind, json.loads(said)


def _with(**fields: object) -> str:
    kind, said = _read(RECEIPT)
    return _signed(f"{kind}\n{json.dumps(said | fields)}\n")


_SAID = split(RECEIPT)[0]
WRONG: dict[str, str | bytes] = {
    "empty": "",
    "a line feed": "\n",
    "two line feeds": "\n\n",
    "binary": bytes(range(256)) * 4,
    "not UTF-8": RECEIPT.encode() + b"\xff",
    "UTF-16": RECEIPT.encode("utf-16"),
    "huge": "a" * (2 * MAX_NOTE),
    "huge with a signature": _signed("a" * MAX_NOTE + "\n"),
    "many lines": "\n" * MAX_NOTE,
    "many signatures": f"{EXAMPLE_TEXT}\n" + f"{OTHER_LINE}\n" * 500,
    "of another device": Vault(OTHER_KEY).signer.note(_SAID),
    "of another device in this one's name": Signer(VAULT.signer.verifier.name, bytes(32)).note(
        _SAID
    ),
    "of a head's text with a receipt's signature": HEAD.rpartition("\n\n")[0]
    + "\n\n"
    + RECEIPT.rpartition("\n\n")[2],
    "wrong kind": _signed(_SAID.replace("doorward/receipt/1", "doorward/erasure/1")),
    "another version": _signed(_SAID.replace("doorward/receipt/1", "doorward/receipt/2")),
    "no kind": _signed("hello\n"),
    "a kind alone": _signed("doorward/receipt/1\n"),
    "two objects": _signed(f"{_SAID}{{}}\n"),
    "an unknown field": _with(surname="Byron"),
    "a field of another type": _with(at="yesterday"),
    "a time out of range": _with(at=1e300),
    "nested": _signed("doorward/receipt/1\n" + "[" * 20_000 + "\n"),
    "a head of another log": _signed(Head(1, bytes(32)).text("doorward/ffffffffffffffff")),
    "a head without a number": _signed(f"{VAULT.signer.verifier.name}\nx\nAAAA\n"),
    "a head with a sign": _signed(f"{VAULT.signer.verifier.name}\n-1\nAAAA\n"),
    "a head without a hash": _signed(f"{VAULT.signer.verifier.name}\n1\n*\n"),
    "two signatures of ours, one altered": RECEIPT[:-1] + "\n" + HEAD.splitlines()[-1][:-8] + "\n",
}


@pytest.mark.parametrize("name", [name for name, wrong in WRONG.items() if isinstance(wrong, str)])
def test_what_is_no_document_of_this_device_is_refused(name: str) -> None:
    wrong = WRONG[name]
    assert isinstance(wrong, str)
    with pytest.raises(ValueError, match=r"\w"):
        verify(wrong, VAULT.signer.verifier)


@pytest.mark.parametrize("name", NOTES)
def test_a_document_that_was_cut_or_altered_anywhere_is_refused(name: str) -> None:
    note = NOTES[name]
    verify(note, VAULT.signer.verifier)
    for length in range(len(note)):
        with pytest.raises(ValueError, match=r"\w"):
            verify(note[:length], VAULT.signer.verifier)
    for place, letter in enumerate(note):
        for other in {"\n", " ", chr(ord(letter) ^ 1)} - {letter}:
            altered = note[:place] + other + note[place + 1 :]
            with pytest.raises(ValueError, match=r"\w"):
                verify(altered, VAULT.signer.verifier)


# --- on the command line --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Auditor:
    """Somebody with a document, a key, and nothing of the device's."""

    folder: Path

    def type(self, *words: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "agent", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return ended.returncode, ended.stdout, ended.stderr

    def refuses(self, words: Sequence[str], *named: str) -> None:
        before = sorted(self.folder.rglob("*"))
        code, out, err = self.type(*words)
        assert (code, out) == (2, "")
        assert err.startswith("doorward: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert len(err) < 600
        assert all(name in err for name in named), err
        assert sorted(self.folder.rglob("*")) == before


@pytest.fixture
def auditor(tmp_path: Path) -> Auditor:
    return Auditor(tmp_path)


@pytest.mark.parametrize("name", NOTES)
def test_an_auditor_checks_a_document_with_the_key_and_no_database(
    auditor: Auditor, name: str
) -> None:
    file = auditor.folder / "document.txt"
    file.write_text(NOTES[name], encoding="utf-8")
    code, out, err = auditor.type("verify", str(file), "--key", KEY_OF_DEVICE, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert said["signed_by"] == f"doorward/{VAULT.device}"
    assert {n: said[n] for n in said if n != "signed_by"} == json.loads(
        json.dumps(verify(NOTES[name], VAULT.signer.verifier).facts)
    )
    assert list(auditor.folder.iterdir()) == [file]
    code, out, _ = auditor.type("verify", str(file), "--key", KEY_OF_DEVICE)
    assert code == 0
    assert out.startswith("Signed by doorward/")


_TYPED = ("empty", "binary", "not UTF-8", "huge", "of another device", "another version", "nested")


@pytest.mark.parametrize("name", _TYPED)
def test_the_command_refuses_in_one_line_that_names_the_file(auditor: Auditor, name: str) -> None:
    wrong = WRONG[name]
    file = auditor.folder / "document.txt"
    file.write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    auditor.refuses(["verify", str(file), "--key", KEY_OF_DEVICE], str(file))


def _bent(line: str) -> str:
    middle = len(line) // 2
    return line[:middle] + chr(ord(line[middle]) ^ 1) + line[middle + 1 :]


EDITS: dict[str, Callable[[str, str, str, str], list[str]]] = {
    "cut": lambda kind, said, gap, _: [kind, said, gap],
    "kind": lambda kind, said, gap, signature: [_bent(kind), said, gap, signature],
    "content": lambda kind, said, gap, signature: [kind, _bent(said), gap, signature],
    "gap": lambda kind, said, _, signature: [kind, said, "x", signature],
    "signature": lambda kind, said, gap, signature: [kind, said, gap, _bent(signature)],
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_command_finds_an_edit_in_each_line(auditor: Auditor, edit: str) -> None:
    kind, said, gap, signature = CERTIFICATE.splitlines()
    lines = EDITS[edit](kind, said, gap, signature)
    file = auditor.folder / "document.txt"
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    auditor.refuses(["verify", str(file), "--key", KEY_OF_DEVICE], str(file))


def test_what_cannot_be_read_is_refused(auditor: Auditor) -> None:
    missing = auditor.folder / "missing.txt"
    auditor.refuses(["verify", str(missing), "--key", KEY_OF_DEVICE], str(missing))
    auditor.refuses(["verify", str(auditor.folder), "--key", KEY_OF_DEVICE], str(auditor.folder))


def test_a_key_that_is_none_is_refused(auditor: Auditor) -> None:
    file = auditor.folder / "document.txt"
    file.write_text(RECEIPT, encoding="utf-8")
    auditor.refuses(["verify", str(file), "--key", "doorward/0+1+2"], "is no verifier key")
    other = Verifier("doorward/0123456789abcdef", VAULT.signer.verifier.key)
    auditor.refuses(["verify", str(file), "--key", str(other)], str(file), "is not signed by")
