"""The deciding core: pure functions and state machines, with no clock, file or thread."""
