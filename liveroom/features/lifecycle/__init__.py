"""The room itself."""
