"""The administrator's side of the wire: it commands doors over MQTT, and collects their events.

All that another program would need to do the same is here and in `agent.wire`; docs/remote.md
tells it in words.
"""
