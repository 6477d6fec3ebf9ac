"""The vocabulary: commands (wishes), events (what happened), frames (to viewers), records (in the journal)."""
