"""The accounts of a room, derived from its events alone, without the engine's rules."""
