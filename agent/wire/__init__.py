"""The MQTT contract: topics, and bytes <-> what they mean. There is no client in here.

Every reader raises ValueError, and nothing else, for bytes that do not fit; what it returns is
safe to use. No function takes a Frame or an Embedding, and an array in an event is refused.
"""
