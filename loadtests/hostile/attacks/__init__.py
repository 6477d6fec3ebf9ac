"""Attacks of hostile clients on a server, one group in each file; `table` has them all."""
