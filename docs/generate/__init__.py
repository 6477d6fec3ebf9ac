"""Generates the reference pages and API documents from the classes: `python -m docs.generate`."""
