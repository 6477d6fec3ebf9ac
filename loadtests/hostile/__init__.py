"""Hostile clients beside honest users on one real server."""
