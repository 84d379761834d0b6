"""Whatever goes over the wire, for Hypothesis to draw from, and bytes that mean nothing."""

from collections.abc import Callable
from enum import Enum
from typing import Any, get_args, get_type_hints

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from agent.core.effects import Answer
from agent.core.events import Event, Part
from agent.core.orders import MAX_PAYLOAD, ControllerId, Operation, Order, Rejection
from agent.core.policy import DAYS, parse_schedule
from agent.core.rules import Condition
from agent.core.types import SubjectId, Suspension, Terms, Validity
from agent.ports import SubjectRow
from agent.wire.commands import LATEST, MAX_COUNTER, controller_id

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
CONTROLLER = controller_id(PUBLIC)


def trusted(controller: ControllerId) -> bytes | None:
    """Find the key of the one controller that is trusted."""
    return PUBLIC if controller == CONTROLLER else None


NONSENSE = {
    "nothing": b"",
    "NUL": b"\0",
    "no text": b"\xff\xfe",
    "no text in a string": b'"\xff"',
    "no text in a key": b'{"\xff": 1}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "another encoding": '{"v": 1}'.encode("utf-16"),
    "not a number": b"NaN",
    "nested lists": b"[" * 16_000,
    "nested objects": b'{"a":' * 3_000,
    "nested lists in a field": b'{"more":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
    "two values": b'{"v": 1, "seq": 7} {}',
    "a huge number": b"9" * 16_000,
    "too long": b"{" + b" " * MAX_PAYLOAD + b"}",
}

_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
text = st.text(_letters, max_size=50)
numbers = st.floats(allow_nan=False, allow_infinity=False)
PLAIN: dict[object, st.SearchStrategy[object]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63) + 1, 2**63 - 1),
    float: numbers,
    str: text,
    SubjectId: text,
    ControllerId: text,
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[object]:  # noqa: ANN401 - whatever a field is declared as
    """Values of a field that events of this program may have."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return PLAIN[hint] if hint in PLAIN else st.one_of(*map(values, get_args(hint)))


def events_of(shape: type[Event]) -> st.SearchStrategy[Event]:
    fields = {name: values(hint) for name, hint in get_type_hints(shape).items()}
    return st.builds(shape, **fields)


events = st.one_of(*map(events_of, get_args(Event)))


def names(longest: int) -> st.SearchStrategy[str]:
    return st.text(_letters, min_size=1, max_size=longest)


def digits(alphabet: str, length: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=length, max_size=length)


HEXADECIMAL = "0123456789abcdef"
subjects = st.builds(lambda rest: SubjectId(f"s-{rest}"), digits(HEXADECIMAL, 16))
requests = st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z")
times = st.none() | st.floats(0, LATEST)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


_spans = st.builds(
    lambda first, last, opens, closes: f"{first}-{last} {_clock(opens)}-{_clock(closes)}",
    st.sampled_from(DAYS),
    st.sampled_from(DAYS),
    st.integers(0, 1439),
    st.integers(0, 1440),
)
validities = st.builds(
    Validity,
    times,
    times,
    st.lists(_spans, max_size=3).map(lambda spans: parse_schedule(", ".join(spans))),
)
terms = st.builds(
    Terms,
    household=st.none() | names(64),
    administrator=st.booleans(),
    validity=validities,
)


def orders_of(operation: Operation) -> st.SearchStrategy[Order]:
    """Orders as the trusted controller may sign them."""
    about: dict[str, st.SearchStrategy[object]] = {}
    match operation:
        case Operation.ENROL:
            about = {"terms": st.none() | terms}
        case Operation.LIST:
            about = {"subject": st.none() | subjects}
        case Operation.POLICY:
            about = {"subject": subjects, "validity": validities}
        case Operation.REVOKE | Operation.ERASE | Operation.EXPORT:
            about = {"subject": subjects}
        case _:
            pass
    make: Callable[..., Order] = Order
    return st.builds(
        make,
        operation=st.just(operation),
        door=names(32),
        controller=st.just(CONTROLLER),
        challenge=digits(HEXADECIMAL, 32),
        counter=st.integers(1, MAX_COUNTER),
        request=requests,
        **about,
    )


orders = st.sampled_from(Operation).flatmap(orders_of)

counts = st.integers(0, 2**63 - 1)
conditions = st.builds(
    Condition,
    residents=counts,
    fpir=st.floats(0, 1),
    fpir_met=st.booleans(),
    sureness=text,
    last_decision_ms=st.none() | st.floats(0, allow_infinity=False),
    tamper=st.booleans(),
    faults=st.lists(st.sampled_from(Part), unique=True).map(tuple),
    rejected=st.dictionaries(st.sampled_from(Rejection), counts),
)
answers = st.builds(Answer, requests, st.none() | st.sampled_from(Rejection), st.none() | subjects)
rows = st.builds(
    SubjectRow,
    id=subjects,
    label=text,
    household=st.none() | text,
    administrator=st.booleans(),
    revoked=st.booleans(),
    minor=st.booleans(),
    not_before=times,
    not_after=times,
    schedule=text,
    references=counts,
    enrolled_at=numbers,
    seen_on=times,
    authorised_by=text,
    notice=text,
    consent_expires=times,
    suspended=st.none() | st.sampled_from(Suspension),
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | numbers
    | text
    | st.sampled_from([0, 1, 2, "start", "cancel", "LOCK", "ab" * 8, "ab" * 16, "camera", "r-1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["v", "id", "seq", "op", "action", "expires", "part", "reason"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
