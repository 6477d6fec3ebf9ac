"""Every setting: its limits, where it is read from, and the files that it names."""
