"""Tokens, the keys that verify them, and clients' addresses."""
