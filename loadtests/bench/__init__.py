"""Benchmarks of single parts, each beside another program or a lower bound."""
