"""The system's limit of open files: each connection is one, so it is raised as far as it goes, and what does not fit is told at the start."""

from __future__ import annotations

import logging
from typing import Final

from liveroom.config import Config

__all__ = ["OTHER_FILES_MAX", "files_needed", "raise_open_files_limit"]

log = logging.getLogger("liveroom")

#: Files of the process beside connections: the journal's, listeners, the event loop's, those that audits and ledgers read.
OTHER_FILES_MAX: Final = 200


def files_needed(config: Config, *, gateway: bool = True) -> int:
    """How many files are open when everything is as full as the settings allow; `gateway`: whether the process holds viewers."""
    viewers = config.gateway.connections_max + config.gateway.handshakes_waiting_max if gateway else 0
    return viewers + config.console.connections_max + OTHER_FILES_MAX


def raise_open_files_limit(config: Config, *, gateway: bool = True) -> None:
    """Raise the soft limit to the hard one, if the system lets us; warn when the settings do not fit into it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(config, gateway=gateway)
    for wanted in (hard, needed):  # not every system takes a hard limit that is none as a soft one
        if _is_more(wanted, soft):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                break
            except (OSError, ValueError):
                continue
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_more(needed, allowed):
        log.warning(
            "connections_max of gateway and console does not fit into the limit of open files: connections beyond it will fail; "
            "raise the limit (LimitNOFILE, ulimit -n) or lower the settings",
            extra={"open_files_max": allowed, "open_files_needed": needed, "connections_max": config.gateway.connections_max if gateway else 0},
        )


def _is_more(files: int, than: int) -> bool:
    """-1 is no limit at all."""
    return than >= 0 and (files < 0 or files > than)
