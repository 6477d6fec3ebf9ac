"""Questions to the anchor."""
