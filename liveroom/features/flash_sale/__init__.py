"""Flash sales."""
