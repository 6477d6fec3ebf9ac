"""The engine: owns partitions, decides commands, writes records."""
