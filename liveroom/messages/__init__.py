"""The vocabulary: commands (requests), events (what happened), frames (to viewers), records (in the journal)."""
