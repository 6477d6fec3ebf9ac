"""Red envelopes."""
