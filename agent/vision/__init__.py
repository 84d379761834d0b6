"""Pixels to probes. Nothing in here knows an identity, or writes to a disk."""
