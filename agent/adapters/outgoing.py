"""What waits to be sent to the broker: retained messages of which the newest counts, and queues."""

from collections import deque

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

QUEUE = 1000
"""Messages that wait in a queue, at most; what does not fit stays in the outbox."""


class Outgoing:
    """Filled by any thread, and emptied by the one that has the connection.

    Of each retained topic only what was set last is sent, and after each new connection once more.
    What was queued goes with the connection that it was queued for. last: the retained topic that
    is to follow what is queued.
    """

    def __init__(self, last: str) -> None:
        self._last = last
        self._newest: dict[str, bytes] = {}
        self._news: dict[str, None] = {}
        self._live: deque[tuple[str, bytes]] = deque()
        self._answers: deque[tuple[str, bytes]] = deque()
        self._again: deque[tuple[str, bytes]] = deque()

    def set(self, topic: str, payload: bytes) -> None:
        """Have this retained on a topic, in place of what was to be."""
        self._newest[topic] = payload
        self._news[topic] = None

    def repeat(self) -> None:
        """Have all that is retained sent once more: a broker may have lost it."""
        self._news.update(dict.fromkeys(list(self._newest)))

    def send(self, topic: str, payload: bytes) -> None:
        """Have a message sent that is not retained."""
        self._queue(self._live, topic, payload)

    def answer(self, topic: str, payload: bytes) -> None:
        """Have an answer sent, behind what happens: whoever asks much must not displace it."""
        self._queue(self._answers, topic, payload)

    def send_again(self, topic: str, payload: bytes) -> None:
        """Have a message sent when nothing else is to be."""
        self._queue(self._again, topic, payload)

    def forget(self) -> None:
        """Throw away what was queued."""
        for waiting in (self._live, self._answers, self._again):
            waiting.clear()

    @property
    def queued(self) -> int:
        """How many messages wait that are not retained."""
        return len(self._live) + len(self._answers) + len(self._again)

    def hand_over(self, client: Client) -> None:
        """Give paho as much as it takes."""
        for topic in list(self._news):
            if topic != self._last:
                self._hand_over_newest(client, topic)
        for waiting in (self._live, self._answers, self._again):
            while waiting and _accepted(client, *waiting[0], retain=False):
                waiting.popleft()
            if waiting:
                return
            if self._last in self._news:
                self._hand_over_newest(client, self._last)

    def _hand_over_newest(self, client: Client, topic: str) -> None:
        # Taken out first: another thread may set the next one meanwhile.
        self._news.pop(topic, None)
        if not _accepted(client, topic, self._newest[topic], retain=True):
            self._news[topic] = None

    @staticmethod
    def _queue(waiting: deque[tuple[str, bytes]], topic: str, payload: bytes) -> None:
        if len(waiting) < QUEUE:
            waiting.append((topic, payload))


def _accepted(client: Client, topic: str, payload: bytes, *, retain: bool) -> bool:
    """Publish, and say whether paho had room for it."""
    sent = client.publish(topic, payload, qos=1, retain=retain)
    return sent.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
