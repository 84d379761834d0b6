from dataclasses import fields
from inspect import getmembers

from agent.core.types import LockState
from agent.wire.topics import OFFLINE, ONLINE, Topics, encode_contact, encode_lock_state

SPELLED = {
    "status": "doorward/front/status",
    "lock_state": "doorward/front/lock/state",
    "contact": "doorward/front/contact/state",
    "state": "doorward/front/state",
    "event": "doorward/front/event",
    "backlog": "doorward/front/event/backlog",
    "ack": "doorward/front/event/ack",
    "head": "doorward/front/event/head",
    "challenge": "doorward/front/challenge",
    "access": "doorward/front/access",
    "doorbell": "doorward/front/doorbell",
    "duress": "doorward/front/duress",
}


def test_the_topics_are_those_that_everybody_else_has_written_down() -> None:
    topics = Topics("front")
    named = {name for name, _ in getmembers(Topics, lambda each: isinstance(each, property))}
    assert named == set(SPELLED)
    assert [each.name for each in fields(Topics)] == ["door"]
    assert {name: getattr(topics, name) for name in named} == SPELLED
    assert topics.command("enrol") == "doorward/front/cmd/enrol"
    assert topics.command("#") == "doorward/front/cmd/#"
    assert topics.reply("r-1") == "doorward/front/reply/r-1"


def test_states_are_spelt_as_home_assistant_spells_them() -> None:
    assert encode_lock_state(LockState.LOCKED) == b"LOCKED"
    assert encode_lock_state(LockState.UNLOCKED) == b"UNLOCKED"
    assert encode_contact(is_open=True) == b"OPEN"
    assert encode_contact(is_open=False) == b"CLOSED"
    assert (ONLINE, OFFLINE) == (b"online", b"offline")
