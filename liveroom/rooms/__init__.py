"""The rules of a room: pure functions over state, no I/O, no clock, no chance of their own."""
