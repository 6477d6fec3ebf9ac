"""The parts that a process may have, and where they are reached. Imports next to nothing: every command needs it."""

from __future__ import annotations

from enum import Enum

__all__ = ["Part", "local_url"]


class Part(str, Enum):
    """A role that a process may have."""

    engine = "engine"
    gateway = "gateway"
    console = "console"


def local_url(scheme: str, host: str, port: int) -> str:
    """The address of a server on this machine, also of one that listens on all its addresses."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{reachable}:{port}"
