"""What a room's money came to, worked out from its events alone: no rule of the engine is used."""
