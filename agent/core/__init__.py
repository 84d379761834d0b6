"""The deciding core: pure functions and state machines over values, with no clock, file or thread."""
