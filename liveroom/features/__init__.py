"""The features of a room, one package each."""
