"""What is no command does nothing, whatever it looks like, and however much of it there is."""

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from random import Random

import pytest

from agent.core.events import Commanded, CommandRejected
from agent.core.orders import Delivered, Operation, Order
from agent.core.types import Now, SubjectId, Validity
from tests.commands.doors import Door, key_of, short_lived_folder, trust
from tests.residents import new_store

SEED = 20261122
PAYLOADS = 104_000
SPARE = 64 * 1024
"""Bytes that the last quarter may leave behind: caches of the language, no payload."""
WALL = 1_795_000_000.0
SUBJECT = SubjectId("s-0123456789abcdef")
ABOUT = {Operation.REVOKE, Operation.ERASE, Operation.POLICY, Operation.EXPORT}
SIGNED_TOPICS = [operation.value for operation in Operation]
UNSIGNED_TOPICS = ["broker/lock", "broker/enrol", "broker/identify", "leave"]
NO_TOPICS = [
    "",
    "UNLOCK",
    "unlock/",
    "unlock/now",
    "/unlock",
    "broker/unlock",
    "#",
    "unlock\0",
    "ü",
]
TOPICS = [*SIGNED_TOPICS, *UNSIGNED_TOPICS, *NO_TOPICS]

UNSIGNED = [
    b'{"v":1,"action":"UNLOCK","expires":1794000000}',
    b'{"v":1,"action":"LOCK","expires":1794000000.5}',
    b'{"v":1,"expires":1794000000}',
    b'{"v":1,"id":"r-1","subject":"s-0123456789abcdef","code":"5f3a9c0b71d2e84610aa"}',
]
"""Well formed, but too late, and of nobody who is enrolled."""
WRONG = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"9" * 400,
    b"-" + b"9" * 400,
    b"9" * 5000,
    b"-1",
    b"0.5",
    b"1e-400",
    b"null",
    b"true",
    b'""',
    b'" "',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\0"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b"\xef\xbb\xbf1",
    b'"' + b"x" * 3000 + b'"',
    b"[]",
    b"{}",
    b"[1]",
    b"[" * 8000 + b"]" * 8000,
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b"[" * 15_000,
    b"",
]
"""Values that no field takes."""
MONSTERS = [
    b"",
    b"\0",
    b"\xef\xbb\xbf",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000,
    bytes(64) + b"[" * 16_000,
    bytes(64) + b'{"a":' * 3_000,
    bytes(64) + b"9" * 16_000,
    b"9" * 16_384,
    *(bytes(size) for size in (63, 64, 65, 16_383, 16_384, 16_385, 16_448, 16_449, 200_000)),
    *(b" " * size for size in (16_383, 16_384, 16_385)),
    "{}".encode("utf-16"),
    "{}".encode("utf-32"),
]


@dataclass
class Site:
    """A door that the broker may open, and a good command of each kind that it never gets."""

    door: Door
    good: dict[str, bytes]


@pytest.fixture
def site() -> Iterator[Site]:
    with short_lived_folder() as folder:
        store = new_store(folder / "doorward.db")
        trust(store, "ada", frozenset(SIGNED_TOPICS))
        store.close()
        challenges: list[str] = []
        now = Now(1000.0, WALL, 600, True)
        door = Door("front", "broker", folder, lambda: now, challenges.append, lambda _: None)
        door.load()
        door.tick()
        yield Site(door, {each.value: good(each, challenges[-1]) for each in Operation})
        door.stop()


def good(operation: Operation, challenge: str) -> bytes:
    about_somebody = operation in ABOUT
    return key_of("ada").encode(
        Order(
            operation=operation,
            door="front",
            controller=key_of("ada").id,
            challenge=challenge,
            counter=1,
            request="r-1",
            subject=SUBJECT if about_somebody else None,
            validity=Validity() if operation is Operation.POLICY else None,
        )
    )


def flipped(draw: Random, payload: bytes) -> bytes:
    changed = bytearray(payload)
    for place in {draw.randrange(len(payload)) for _ in range(draw.choice([1, 1, 1, 2, 8]))}:
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def spoilt(draw: Random, body: bytes) -> bytes:
    """Give one field of a JSON object a value that it cannot have, or two of them, or none."""
    fields = [each.split(b":", 1) for each in body[1:-1].split(b",")]
    chosen = draw.choice(fields)
    match draw.randrange(5):
        case 0:
            fields.remove(chosen)
        case 1:
            fields.append(chosen)
        case 2:
            fields.append([draw.choice([b'"more"', b'"\\u0000"', b'""', b"1"]), b"1"])
        case _:
            chosen[1] = draw.choice(WRONG)
    return b"{" + b",".join(b":".join(each) for each in fields) + b"}"


def changes(draw: Random, site: Site) -> dict[str, Callable[[], tuple[str, bytes]]]:
    """Ways to make a payload that asks for nothing, each with the topic that it comes on."""
    signed = list(site.good.items())
    # Signing takes longest, and nothing is gained by as many of these as of the others.
    passing = [
        (topic, key_of("ada").sign(spoilt(draw, payload[64:])))
        for topic, payload in signed
        for _ in range(150)
    ]

    def of_signed(change: Callable[[bytes], bytes]) -> tuple[str, bytes]:
        topic, payload = draw.choice(signed)
        return topic, change(payload)

    def on_another_topic() -> tuple[str, bytes]:
        topic, payload = draw.choice(signed)
        return draw.choice([each for each in TOPICS if each != topic]), payload

    return {
        "noise": lambda: (draw.choice(TOPICS), draw.randbytes(draw.randrange(300))),
        "text": lambda: (
            draw.choice(TOPICS),
            bytes(draw.choices(b'{}[]":,0123456789.eE+-truefalsn\\u \0\xff', k=draw.randrange(80))),
        ),
        "flipped bits": lambda: of_signed(lambda payload: flipped(draw, payload)),
        "a part": lambda: of_signed(lambda payload: payload[: draw.randrange(len(payload))]),
        "another part": lambda: of_signed(lambda payload: payload[1 + draw.randrange(64) :]),
        "more": lambda: of_signed(lambda p: p + draw.choice([b" ", b"\0", p, b"}", b"\n"])),
        "no signature": lambda: of_signed(lambda payload: payload[64:]),
        "another's signature": lambda: of_signed(
            lambda payload: draw.choice(passing)[1][:64] + payload[64:]
        ),
        "the signature of another key": lambda: of_signed(
            lambda payload: payload[:32] + draw.randbytes(32) + payload[64:]
        ),
        "a spoilt field": lambda: of_signed(lambda p: p[:64] + spoilt(draw, p[64:])),
        "a spoilt field that is signed": lambda: draw.choice(passing),
        "another topic": on_another_topic,
        "a spoilt press": lambda: (
            draw.choice(UNSIGNED_TOPICS),
            spoilt(draw, draw.choice(UNSIGNED)),
        ),
        "a flipped press": lambda: (
            draw.choice(UNSIGNED_TOPICS),
            flipped(draw, draw.choice(UNSIGNED)),
        ),
        "a late press": lambda: (draw.choice(UNSIGNED_TOPICS[:3]), draw.choice(UNSIGNED)),
        "filled up": lambda: of_signed(
            lambda payload: payload.ljust(16 * 1024 + draw.choice([-1, 0, 1, 63, 64, 65]))
        ),
    }


def test_whatever_is_no_command_does_nothing_but_is_counted(site: Site) -> None:
    draw = random.Random(SEED)
    door = site.door
    ways = list(changes(draw, site).values())
    before = door.store.load("").controllers
    monsters = ((topic, monster) for topic in TOPICS for monster in MONSTERS)
    others = (draw.choice(ways)() for _ in range(PAYLOADS))
    sent = left = 0
    reached: set[str] = set()
    base = 0

    for topic, payload in chain(monsters, others):
        if sent == PAYLOADS * 3 // 4:
            # Not from the start, since it halves the speed.
            gc.collect()
            tracemalloc.start()
            base = tracemalloc.get_traced_memory()[0]
        sent += 1
        reached.add(topic)
        flags = draw.choice([(False, False)] * 30 + [(True, False), (False, True)])
        door.handle(Delivered(topic, payload, *flags))
        # A wish to leave is answered alike, right or wrong; of commands only a refusal is told.
        wishes = [answer for answer in door.answers if answer.refusal is None]
        assert len(wishes) == 0 or (topic == "leave" and len(door.answers) == 1)
        left += len(wishes)
        door.answers.clear()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - base
    tracemalloc.stop()

    assert sent >= 100_000
    assert reached == set(TOPICS)
    assert grown < SPARE
    assert door.released == []
    assert door.broken == set()
    rejected = door.controller.condition.rejected
    assert sum(rejected.values()) == sent - left
    assert left < sent / 100
    assert len(rejected) >= 8
    assert door.store.load("").controllers == before
    recorded = {
        CommandRejected(reason, 2**power)
        for reason, count in rejected.items()
        for power in range(count.bit_length())
    }
    events = [each.event for each in door.store.events(after=1, limit=1000)]
    assert set(events) == recorded
    assert len(events) == len(recorded)


def test_the_good_commands_that_were_spoilt_would_have_been_obeyed(site: Site) -> None:
    """Else there would be little in it that what is made of them is not."""
    site.door.handle(Delivered("unlock", site.good["unlock"]))

    assert len(site.door.released) == 1
    assert any(isinstance(event, Commanded) for event in site.door.committed)
