"""The machine's side of a process: sockets, open files, private files, and roles."""
