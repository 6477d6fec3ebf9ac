"""The accounts of a room, worked out from its events alone, without the engine's rules."""
