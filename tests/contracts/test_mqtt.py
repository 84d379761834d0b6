"""What a door says at a broker, and what it hears there."""

import json
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from agent.adapters import link, mqtt, outgoing
from agent.adapters.mqtt import MqttReporter
from agent.core.effects import Answer
from agent.core.events import DoorbellRang, DuressSignalled, Part, Started
from agent.core.inputs import Acknowledged, Faulted, Recovered
from agent.core.orders import MAX_PAYLOAD, Delivered, Operation, Rejection, RemoteUnlock
from agent.core.pad import PadLevel
from agent.core.rules import Condition
from agent.core.types import LockState, SubjectId
from agent.ports import Recorded
from agent.wire.discovery import Discovery, access, messages, ring
from agent.wire.states import encode_alarm, encode_answer, encode_challenge, encode_state
from tests.brokers import Broker, Collector, collector, speaking
from tests.contracts.doors import (
    ACK,
    BACKLOG,
    COMMAND,
    EVENT,
    HEAD,
    LOCK,
    PING,
    STATUS,
    SUBSCRIBED,
    VERSION,
    WELCOME,
    Agent,
    event,
    plain,
    retained,
    running,
)
from tests.contracts.waiting import DEADLINE, eventually
from tests.residents import GRANTED, NOW

CONTACT = "doorward/front/contact/state"
STATE = "doorward/front/state"
CHALLENGE = "doorward/front/challenge"
ACCESS = "doorward/front/access"
DOORBELL = "doorward/front/doorbell"
DURESS = "doorward/front/duress"
BIRTH = "homeassistant/status"
CONDITION = Condition(
    residents=3,
    fpir=0.0001,
    fpir_met=True,
    sureness="with 3 compared",
    last_decision_ms=81.5,
    tamper=False,
    faults=(Part.CAMERA,),
    rejected={Rejection.FORGED: 2},
    pad=PadLevel.BASIC,
)


pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def agent(broker: Broker, listener: Collector) -> Iterator[Agent]:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        assert eventually(lambda: listener.payloads(STATUS))
        yield agent


# --- availability and state


def test_the_door_is_online_while_connected_and_offline_after_closing(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    assert retained(broker, STATUS) == [b"online"]
    agent.reporter.close()
    assert "mqtt" not in [thread.name for thread in threading.enumerate()]
    assert eventually(lambda: listener.payloads(STATUS)[-1] == b"offline")
    assert retained(broker, STATUS) == [b"offline"]
    assert agent.faults == []


def test_the_state_of_the_lock_is_retained(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    agent.reporter.announce(LockState.UNLOCKED)
    assert eventually(lambda: listener.payloads(LOCK) == [b"UNLOCKED"])
    agent.reporter.announce(LockState.LOCKED)
    assert eventually(lambda: listener.payloads(LOCK) == [b"UNLOCKED", b"LOCKED"])
    assert retained(broker, LOCK) == [b"LOCKED"]


STATES: dict[str, tuple[str, Callable[[MqttReporter], None], bytes]] = {
    "lock": (LOCK, lambda door: door.announce(LockState.LOCKED), b"LOCKED"),
    "contact": (CONTACT, lambda door: door.announce_contact(is_open=True), b"OPEN"),
    "condition": (STATE, lambda door: door.describe(CONDITION, 1), encode_state(CONDITION, 1)),
    "challenge": (CHALLENGE, lambda door: door.challenge("ab" * 16), encode_challenge("ab" * 16)),
}


@pytest.mark.parametrize(("topic", "tell", "told"), STATES.values(), ids=STATES)
def test_a_state_is_retained_and_told_again_to_a_broker_that_lost_it(
    broker: Broker, topic: str, tell: Callable[[MqttReporter], None], told: bytes
) -> None:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        with collector(broker.port) as listener:
            tell(agent.reporter)
            assert eventually(lambda: listener.payloads(topic) == [told])
            (message,) = (each for each in listener.messages if each.topic == topic)
            assert (message.qos, message.retain) == (1, True)
        assert retained(broker, topic) == [told]
        broker.kill()
        assert agent.got(Faulted)
        broker.start()
        assert agent.got(Recovered, times=2)
        assert eventually(lambda: retained(broker, topic) == [told])
        assert retained(broker, STATUS) == [b"online"]


def test_a_state_told_before_there_is_a_broker_reaches_it_once_there_is(broker: Broker) -> None:
    broker.kill()
    with running(plain(broker.port)) as agent:
        for _, tell, _ in STATES.values():
            tell(agent.reporter)
        assert agent.got(Faulted)
        broker.start()
        assert agent.got(Recovered)
        for topic, _, told in STATES.values():
            assert eventually(lambda: retained(broker, topic) == [told])  # noqa: B023 - used at once


def test_a_state_from_before_a_new_connection_never_overtakes_the_one_after_it(
    broker: Broker,
) -> None:
    # A frozen broker acknowledges nothing, so all of it is still on its way when it is killed.
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.freeze()
        for _ in range(2 * link.UNACKNOWLEDGED):
            agent.reporter.announce(LockState.UNLOCKED)
            agent.reporter.publish(event(1))
        broker.kill()
        assert agent.got(Faulted)
        agent.reporter.announce(LockState.LOCKED)
        broker.start()
        with collector(broker.port) as listener:
            assert agent.got(Recovered, times=2)
            agent.reporter.publish(event(2))
            assert eventually(lambda: listener.payloads(EVENT))
            assert set(listener.payloads(LOCK)) == {b"LOCKED"}
            assert [json.loads(each)["seq"] for each in listener.payloads(EVENT)] == [2]


# --- events


def test_events_arrive_in_order_and_are_never_retained(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    for seq in range(1, 301):
        agent.reporter.publish(event(seq))
    agent.reporter.republish(event(301))
    assert eventually(lambda: listener.payloads(BACKLOG))
    assert eventually(lambda: len(listener.payloads(EVENT)) == 300)
    seqs = [json.loads(each)["seq"] for each in listener.payloads(EVENT)]
    assert seqs == list(range(1, 301))
    assert json.loads(listener.payloads(BACKLOG)[0])["seq"] == 301
    assert {each.qos for each in listener.messages if each.topic == EVENT} == {1}
    assert not any(each.retain for each in listener.messages if each.topic in {EVENT, BACKLOG})
    assert retained(broker, EVENT) == []


def test_what_happens_now_overtakes_a_backlog_that_waits(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    # A frozen broker acknowledges nothing: only what paho took already is ahead.
    broker.freeze()
    for seq in range(1, 901):
        agent.reporter.republish(event(seq))
    agent.reporter.publish(event(901))
    broker.thaw()
    assert eventually(lambda: len(listener.payloads(BACKLOG)) == 900)
    topics = [each.topic for each in listener.messages if each.topic in {EVENT, BACKLOG}]
    assert topics.index(EVENT) <= link.UNACKNOWLEDGED
    # Overtaken, and still in order.
    seqs = [json.loads(each)["seq"] for each in listener.payloads(BACKLOG)]
    assert seqs == list(range(1, 901))


def test_an_outage_grows_no_memory_and_the_outbox_fills_the_gap(broker: Broker) -> None:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        broker.kill()
        assert agent.got(Faulted)
        for seq in range(2000):
            agent.reporter.publish(event(seq))
            agent.reporter.republish(event(seq))
            agent.reporter.answer(Answer("r-1"), b"{}")
        assert agent.reporter._outgoing.queued == 0  # noqa: SLF001
        broker.start()
        with collector(broker.port) as listener:
            assert agent.got(Recovered, times=2)
            agent.reporter.republish(event(1))
            assert eventually(lambda: listener.payloads(BACKLOG))
            assert listener.payloads(EVENT) == []


def test_a_broker_that_takes_nothing_grows_no_memory_and_stops_nobody(
    broker: Broker, agent: Agent
) -> None:
    broker.freeze()
    for seq in range(3000):
        agent.reporter.publish(event(seq))
        agent.reporter.republish(event(seq))
    # Each of the two queues has its end.
    assert agent.reporter._outgoing.queued <= 2 * 1000  # noqa: SLF001


# --- what Home Assistant shows


def test_home_assistant_is_told_of_what_happens_and_nothing_of_it_is_retained(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    granted = Recorded(1, "boot", NOW, GRANTED)
    rung = Recorded(2, "boot", NOW, DoorbellRang())
    for recorded in (granted, rung, Recorded(3, "boot", NOW, Started("1.2.3", simulated=True))):
        agent.reporter.publish(recorded)
    assert eventually(lambda: len(listener.payloads(EVENT)) == 3)
    assert listener.payloads(ACCESS) == [access(granted)]
    assert listener.payloads(DOORBELL) == [ring(rung)]
    told = [each for each in listener.messages if each.topic in {ACCESS, DOORBELL}]
    assert {(each.qos, each.retain) for each in told} == {(1, False)}
    assert retained(broker, ACCESS) == retained(broker, DOORBELL) == []


def test_help_is_called_once_and_as_it_happens(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    forced = Recorded(1, "boot", NOW, DuressSignalled(SubjectId("s-1")))
    agent.reporter.republish(forced)
    agent.reporter.publish(forced)
    agent.reporter.publish(event(2))
    assert eventually(lambda: len(listener.payloads(EVENT)) == 2)
    assert listener.payloads(DURESS) == [encode_alarm(forced)]
    assert retained(broker, DURESS) == []


def test_home_assistant_is_not_told_again_of_what_is_over(
    listener: Collector, agent: Agent
) -> None:
    agent.reporter.republish(Recorded(1, "boot", NOW, GRANTED))
    agent.reporter.republish(Recorded(2, "boot", NOW, DoorbellRang()))
    agent.reporter.publish(event(3))
    assert eventually(lambda: len(listener.payloads(BACKLOG)) == 2)
    assert eventually(lambda: len(listener.payloads(ACCESS)) == 1)
    assert json.loads(listener.payloads(ACCESS)[0])["seq"] == 3
    assert listener.payloads(DOORBELL) == []


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize("form", [Discovery.DEVICE, Discovery.LEGACY])
def test_the_door_announces_itself_on_connect_and_when_home_assistant_starts(
    broker: Broker, form: Discovery, opens: bool
) -> None:
    mode = RemoteUnlock.BROKER if opens else RemoteUnlock.SIGNED
    settings = replace(
        plain(broker.port), discovery=form.value, remote_unlock=mode, discovery_prefix="home"
    )
    told = messages("front", VERSION, form, opens=opens, prefix="home")
    assert told
    with collector(broker.port, topic="home/#") as home, running(settings) as agent:

        def announced(times: int) -> bool:
            return eventually(
                lambda: all(home.payloads(each) == [told[each]] * times for each in told)
            )

        assert agent.got(Recovered)
        assert announced(1)
        # What takes an entity away is empty, and so leaves nothing behind.
        assert sorted(retained(broker, "home/")) == sorted(filter(None, told.values()))
        home.publish("home/status", b"offline")
        home.publish("home/status", b"online")
        assert announced(2)
        assert all(each.retain and each.qos == 1 for each in home.messages if each.topic in told)


def test_a_door_that_home_assistant_is_not_to_find_says_and_hears_nothing_there(
    broker: Broker,
) -> None:
    settings = replace(plain(broker.port), discovery="off")
    with collector(broker.port, topic="#") as everything, running(settings) as agent:
        assert agent.got(Recovered)
        everything.publish(BIRTH, b"online")
        agent.reporter.publish(event(1))
        assert eventually(lambda: everything.payloads(EVENT))
        heard = [each.topic for each in everything.messages if each.topic != BIRTH]
    assert all(topic.startswith("doorward/front/") for topic in heard)


@pytest.mark.parametrize(("form", "subscribes"), [("off", False), ("device", True)])
def test_the_door_listens_to_home_assistant_only_where_it_announces_itself(
    form: str, subscribes: bool
) -> None:
    with speaking(WELCOME, SUBSCRIBED) as broker:
        settings = replace(plain(broker.port), discovery=form)
        with running(settings) as agent:
            assert agent.got(Recovered)
            (greeting,) = (each for each in broker.heard if b"doorward/front/cmd/#" in each)
    assert (BIRTH.encode() in greeting) is subscribes


def test_no_number_of_answers_displaces_or_delays_what_happens(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    broker.freeze()
    for number in range(2 * outgoing.QUEUE):
        agent.reporter.answer(Answer(f"r-{number}"), b"{}")
    agent.reporter.publish(event(1))
    broker.thaw()
    assert eventually(lambda: listener.payloads(EVENT))
    assert eventually(lambda: [e for e in listener.messages if "/reply/" in e.topic])


def test_home_assistant_that_is_always_started_is_told_no_more_than_once_a_second(
    broker: Broker, listener: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "REPEAT_EVERY", 600.0)
    with collector(broker.port, "homeassistant/#") as home:
        with running(plain(broker.port)) as agent:
            assert agent.got(Recovered)
            for _ in range(5):
                home.publish("homeassistant/status", b"online")
            agent.reporter.publish(event(1))
            assert eventually(lambda: listener.payloads(EVENT))
        topic = "homeassistant/device/doorward-front/config"
        assert eventually(lambda: len(home.payloads(topic)) >= 2)
        assert len(home.payloads(topic)) == 2


# --- the head of the log


def test_the_newest_head_is_retained_and_follows_its_event(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    for seq in range(1, 101):
        agent.reporter.publish(event(seq, f"head {seq} —"))
    newest = "head 100 —".encode()
    assert eventually(lambda: listener.payloads(HEAD)[-1:] == [newest])
    assert retained(broker, HEAD) == [newest]
    topics = [each.topic for each in listener.messages]
    last_event = len(topics) - topics[::-1].index(EVENT)
    assert topics.index(HEAD) > topics.index(EVENT)
    assert HEAD in topics[last_event:]
    # Of heads that come faster than they can be sent, some are passed over, and none comes late.
    heads = [int(each.split()[1]) for each in listener.payloads(HEAD)]
    assert heads == sorted(set(heads))
    assert {each.qos for each in listener.messages if each.topic == HEAD} == {1}


def test_an_event_without_a_head_or_sent_once_more_moves_no_head(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    agent.reporter.publish(event(7, "head 7"))
    agent.reporter.publish(event(8))
    agent.reporter.republish(event(5, "head 5"))
    assert eventually(lambda: listener.payloads(BACKLOG))
    agent.reporter.publish(event(9))
    assert eventually(lambda: len(listener.payloads(EVENT)) == 3)
    assert retained(broker, HEAD) == [b"head 7"]


def test_the_head_is_told_again_to_a_broker_that_lost_it_or_was_away(broker: Broker) -> None:
    with running(plain(broker.port)) as agent:
        assert agent.got(Recovered)
        agent.reporter.publish(event(1, "head 1"))
        assert eventually(lambda: retained(broker, HEAD) == [b"head 1"])
        for outages, head in ((1, b"head 1"), (2, b"head 2")):
            broker.kill()
            assert agent.got(Faulted, times=outages)
            if outages > 1:
                agent.reporter.publish(event(2, "head 2"))
            broker.start()
            assert agent.got(Recovered, times=outages + 1)
            assert eventually(lambda: retained(broker, HEAD) == [head])  # noqa: B023 - used at once


# --- commands

TOPICS = (
    *Operation,
    "broker/lock",
    "broker/enrol",
    "broker/identify",
    "leave",
    "open",
    "ping/now",
)


def test_whatever_is_asked_of_the_door_is_handed_on_as_it_came(
    agent: Agent, listener: Collector
) -> None:
    payloads = [b"", b"\0\xff not UTF-8", b'{"v": 1}']
    for topic in TOPICS:
        for payload in payloads:
            listener.publish(COMMAND + topic, payload)
    assert agent.got(Delivered, times=len(TOPICS) * len(payloads))
    expected = [Delivered(str(topic), payload) for topic in TOPICS for payload in payloads]
    assert agent.inbox == [Recovered(Part.BROKER), *expected]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_command_arrives_once_however_it_was_sent(
    agent: Agent, listener: Collector, qos: int
) -> None:
    listener.client.publish(PING, b"first", qos=qos).wait_for_publish(DEADLINE)
    listener.publish(PING, b"last")
    assert agent.got(Delivered, times=2)
    assert agent.delivered == [Delivered("ping", b"first"), Delivered("ping", b"last")]


def test_a_command_that_the_broker_sends_twice_says_so() -> None:
    topic = struct.pack(">H", len(PING)) + PING.encode()
    first, again = (
        bytes([flags, len(topic) + 5]) + topic + struct.pack(">HB", 7, 0) + b"{}"
        for flags in (0x32, 0x3A)
    )
    with (
        speaking(WELCOME, SUBSCRIBED + first + again) as broker,
        running(plain(broker.port)) as agent,
    ):
        assert agent.got(Delivered, times=2)
    once = Delivered("ping", b"{}")
    assert agent.delivered == [once, Delivered("ping", b"{}", duplicate=True)]


def test_a_retained_command_says_so_where_it_arrives_live_and_never_arrives_later(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    listener.publish(PING, b"kept", retain=True)
    listener.publish(ACK, b'{"v": 1, "seq": 7}', retain=True)
    listener.publish(PING, b"last")
    assert agent.got(Delivered, times=2)
    # An acknowledgement that is kept would be taken for one of the collector of today.
    assert agent.inbox == [
        Recovered(Part.BROKER),
        Delivered("ping", b"kept", retained=True),
        Delivered("ping", b"last"),
    ]
    listener.publish(PING, b"kept", retain=True)
    agent.reporter.close()
    with running(plain(broker.port)) as again:
        assert again.got(Recovered)
        listener.publish(PING, b"last")
        assert again.got(Delivered)
        assert again.inbox == [Recovered(Part.BROKER), Delivered("ping", b"last")]


def test_a_command_sent_while_the_door_was_away_is_not_delivered_later(broker: Broker) -> None:
    with collector(broker.port) as listener:
        with running(plain(broker.port)) as agent:
            assert agent.got(Recovered)
        assert eventually(lambda: b"offline" in listener.payloads(STATUS))
        listener.publish(PING, b"meanwhile")
        listener.publish(ACK, b'{"v": 1, "seq": 7}')
        with running(plain(broker.port)) as agent:
            assert agent.got(Recovered)
            listener.publish(PING, b"last")
            assert agent.got(Delivered)
            assert agent.inbox == [Recovered(Part.BROKER), Delivered("ping", b"last")]


def test_of_a_long_command_as_much_arrives_as_shows_that_it_is_too_long(
    agent: Agent, listener: Collector
) -> None:
    listener.publish(PING, b"x" * MAX_PAYLOAD)
    listener.publish(PING, b"x" * 20_000)
    assert agent.got(Delivered, times=2)
    assert [len(each.payload) for each in agent.delivered] == [MAX_PAYLOAD, MAX_PAYLOAD + 1]


def test_a_packet_that_the_door_would_not_take_costs_no_connection(
    agent: Agent, listener: Collector
) -> None:
    listener.publish(PING, b"x" * 100_000)
    listener.publish(PING, b"last")
    assert agent.got(Delivered)
    assert agent.inbox == [Recovered(Part.BROKER), Delivered("ping", b"last")]


def test_a_retained_acknowledgement_or_nonsense_in_its_place_moves_nothing(
    agent: Agent, listener: Collector
) -> None:
    for nonsense in (b"", b"\xff", b'{"v": 1, "seq": -1}', b'{"v": 1, "id": "r"}', b"[" * 15_000):
        listener.publish(ACK, nonsense)
    listener.publish("doorward/front/cmd", b"{}")
    listener.publish("doorward/back/cmd/ping", b"{}")
    listener.publish(ACK, b'{"v": 1, "seq": 7}')
    assert agent.got(Acknowledged)
    assert agent.inbox == [Recovered(Part.BROKER), Acknowledged(7)]


def test_an_answer_goes_to_whoever_asked_and_is_not_retained(
    broker: Broker, listener: Collector, agent: Agent
) -> None:
    answer = Answer("r-1", Rejection.STALE)
    agent.reporter.answer(answer, encode_answer(answer))
    topic = "doorward/front/reply/r-1"
    assert eventually(lambda: listener.payloads(topic) == [encode_answer(answer)])
    (message,) = (each for each in listener.messages if each.topic == topic)
    assert (message.qos, message.retain) == (1, False)
    assert retained(broker, topic) == []
