"""The roles that a process may have, and their addresses."""

from __future__ import annotations

from enum import Enum

from liveroom.config.schema import Config

__all__ = ["ProcessRole", "console_url", "gateway_url", "local_url"]


class ProcessRole(str, Enum):
    """A role that a process may have."""

    engine = "engine"
    gateway = "gateway"
    console = "console"


def local_url(scheme: str, host: str, port: int) -> str:
    """The address of a server on this machine; also works for one that listens on all addresses."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{reachable}:{port}"


def gateway_url(config: Config, port: int = 0) -> str:
    """The gateway's address for browsers. `port` is the port in use, if the settings leave it open."""
    scheme = "wss" if config.gateway.tls_cert_file else "ws"
    return config.console.gateway_url or local_url(scheme, config.gateway.host, port or config.gateway.port)


def console_url(config: Config, port: int = 0) -> str:
    """The address of the console on this machine."""
    return local_url("http", config.console.host, port or config.console.port)
