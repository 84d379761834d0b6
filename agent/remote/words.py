"""What a door says, for an administrator: refusals with their mend, events with who they name."""

from collections.abc import Mapping

from agent.adapters.console import in_words, local_time
from agent.core.orders import Rejection
from agent.wire.events import Envelope, decode_body

_MENDS = {
    Rejection.MALFORMED: "it cannot read the command: bring this program and the door's together",
    Rejection.UNKNOWN_CONTROLLER: "it does not trust this key: `doorward controller add` there",
    Rejection.FORGED: "the signature does not hold: `doorward controller add` this key there anew",
    Rejection.OTHER_DOOR: "it has another name in its configuration: check [door] name there",
    Rejection.STALE: "its challenge had changed, twice: check how long the broker takes",
    Rejection.REPLAYED: (
        "this key has counted further elsewhere: set this computer's clock, and give every "
        "computer a key of its own"
    ),
    Rejection.UNAUTHORISED: "this key lacks the right to it: `doorward controller add` there",
    Rejection.SWITCHED_OFF: 'it is not to be opened from afar: mqtt.remote_unlock is "off" there',
    Rejection.NO_SUBJECT: "nobody is enrolled there as that: `doorward remote list` shows who is",
    Rejection.BUSY: "it is enrolling somebody: wait, or `doorward remote enrol --cancel`",
    Rejection.FAULT: "a part of it is at fault: `doorward doctor` there names the mend",
}


def refusal(door: str, reason: Rejection | None) -> str:
    """Say in a line why a door refused a command, and what can be done."""
    spaced = "no reason given" if reason is None else reason.replace("_", " ")
    mend = _MENDS.get(reason) if reason is not None else None
    return f"{door} refuses: {mend or f'{spaced}: `doorward events` there tells more'}"


def event_line(event: Envelope, labels: Mapping[str, str]) -> str:
    """Say in a line when what happened, and to whom. labels: who the pseudonyms stand for."""
    body = bytes(event.event)
    try:
        said = in_words(decode_body(event.kind, body))
    except ValueError:
        # Of a newer door, about which this program knows no more.
        said = f"{event.kind} {body.decode()}"
    return f"{moment(event.wall)}  {printable(named(said, labels))}"


def named(text: str, labels: Mapping[str, str]) -> str:
    """Put after each pseudonym whose it is, where that is known."""
    for subject, label in labels.items():
        text = text.replace(subject, f"{subject} ({label})")
    return text


def moment(wall: float | None) -> str:
    """Give seconds since the Unix epoch as local date and time; empty for None."""
    if wall is None:
        return ""
    try:
        return local_time(wall)
    except (ValueError, OverflowError, OSError):
        return f"{wall:g}"


def printable(text: str) -> str:
    """Take out what would make a terminal do anything but print."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
