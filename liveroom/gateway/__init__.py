"""The gateway: holds viewers and fans the room's frames out to them."""
