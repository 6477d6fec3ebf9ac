"""The system's limit of open files.

Each connection needs one, so the limit is raised as far as possible, and connections are limited to what fits.
"""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

from liveroom.config.schema import Config

__all__ = ["OTHER_FILES_MAX", "files_needed", "fit_connections", "raise_open_files_limit", "tell_fit"]

log = logging.getLogger("liveroom")

#: Files of the process beside connections: those of the journal, listeners, the event loop, audits and ledgers.
#: Connections that were accepted in one turn of the loop and not dropped yet count, too. Clients never get one of these.
OTHER_FILES_MAX: Final = 500

#: If not everything fits, the console gets one of `_CONSOLE_PART` remaining files.
#: Handshakes get one of `_HANDSHAKES_PART` of the gateway's.
_CONSOLE_PART: Final = 4
_HANDSHAKES_PART: Final = 8
#: The minimum of each kind. With less, the limit itself has to be raised.
_LEAST: Final = 16


def files_needed(config: Config, *, gateway: bool = True) -> int:
    """Files that are open when everything is as full as the settings allow. `gateway`: whether the process holds viewers."""
    viewers = config.gateway.connections_max + config.gateway.handshakes_waiting_max if gateway else 0
    return viewers + config.console.connections_max + OTHER_FILES_MAX


def fit_connections(config: Config, allowed: int, *, gateway: bool = True) -> Config:
    """Lower the settings to the connections that fit into `allowed` open files (-1 = no limit), less `OTHER_FILES_MAX`."""
    if not _is_more(files_needed(config, gateway=gateway), allowed):
        return config
    left = allowed - OTHER_FILES_MAX
    console = _at_least(left // _CONSOLE_PART if gateway else left, config.console.connections_max)
    handshakes = _at_least((left - console) // _HANDSHAKES_PART, config.gateway.handshakes_waiting_max)
    viewers = _at_least(left - console - handshakes, config.gateway.connections_max)
    return replace(
        config,
        console=replace(config.console, connections_max=console),
        gateway=replace(config.gateway, connections_max=viewers, handshakes_waiting_max=handshakes),
    )


def tell_fit(wanted: Config, fitting: Config, allowed: int, *, gateway: bool = True) -> None:
    """Warn when the settings were lowered. In dev mode, where few connections are needed, a short note suffices."""
    if fitting is wanted:
        return
    if wanted.liveroom.mode == "dev":
        log.info("fewer connections fit into the limit of open files than the settings name", extra={"open_files_max": allowed})
        return
    log.warning(
        "connections_max of gateway and console does not fit into the limit of open files and is lowered; "
        "raise the limit (LimitNOFILE, ulimit -n) or lower the settings",
        extra={
            "open_files_max": allowed,
            "open_files_needed": files_needed(wanted, gateway=gateway),
            "connections_max": fitting.gateway.connections_max if gateway else 0,
            "handshakes_waiting_max": fitting.gateway.handshakes_waiting_max if gateway else 0,
            "console_connections_max": fitting.console.connections_max,
        },
    )


def raise_open_files_limit(wanted: int) -> int:
    """Raise the soft limit to the hard one, or to `wanted` if the system allows no more. Gives the limit, -1 for none."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return -1
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, wanted):  # some systems refuse an unlimited soft limit
        if _is_more(limit, soft):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                break
            except (OSError, ValueError):
                continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _at_least(share: int, setting: int) -> int:
    return min(setting, max(_LEAST, share))


def _is_more(files: int, than: int) -> bool:
    """Compare numbers of files, where -1 means no limit."""
    return than >= 0 and (files < 0 or files > than)
