"""Limits of users per network address."""
