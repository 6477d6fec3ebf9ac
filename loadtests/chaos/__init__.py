"""Faults while money flows: killed and paused processes, brokers that fail, and damaged journals."""
