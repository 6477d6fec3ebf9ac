"""What hostile clients do to a server, one group of attacks in each file; `table` has them all."""
