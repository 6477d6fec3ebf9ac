"""What a process needs from its machine: sockets, open files, private files, and the roles that it may have."""
