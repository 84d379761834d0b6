"""An agent at a broker in a process of its own: python -m tests.system.door STATE PORT [ring].

It says "ready", and goes on until its input ends. ring: somebody rings a hundred times a second.
"""

import sys
import threading
from pathlib import Path

from agent.adapters import link
from agent.adapters.mqtt import MqttReporter
from agent.config import Mqtt
from agent.core.inputs import Rung
from tests.system.actors import Agent


def main() -> None:
    # Sooner than a door at work does.
    link.FIRST_DELAY, link.LAST_DELAY = 0.05, 0.2
    state, port, *ring = sys.argv[1:]
    reporter = MqttReporter(Mqtt(host="localhost", port=int(port), tls=False), "front", "test")
    agent = Agent(Path(state), reporter)
    over = threading.Event()

    def rings() -> None:
        while not over.wait(0.01):
            agent.runtime.post(Rung())

    with agent.running():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if ring:
            threading.Thread(target=rings).start()
        sys.stdin.read()
        over.set()


if __name__ == "__main__":
    main()
