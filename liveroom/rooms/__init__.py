"""The rules of a room: pure functions over state, without I/O, clock or randomness."""
