"""The showcase."""
