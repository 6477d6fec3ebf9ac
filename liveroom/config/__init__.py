"""Settings: their limits, their sources, and the files that they name."""
