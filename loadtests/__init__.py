"""Load tests: simulated viewers over real sockets, and an audit of what each of them got. See docs/load-tests.md."""
