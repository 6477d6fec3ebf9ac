"""Listening sockets, for IPv4, for IPv6, or for both."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from liveroom.messages.errors import BadConfig

__all__ = ["ACCEPTS_MAX", "BACKLOG", "HEAD_BYTES_MAX", "listen", "serve_each"]

#: Limit of the connections that wait in the kernel to be accepted.
BACKLOG: Final = 4_096
#: Connections that the loop accepts in one turn. An accept takes about 50 us, and viewers wait until the turn ends.
#: Each one has a descriptor before any limit can drop it.
ACCEPTS_MAX: Final = 16
#: The largest head of an HTTP request. Browsers send all cookies of a site with it: often 9 KB, up to 16 KB in one line.
HEAD_BYTES_MAX: Final = 32 * 1024


async def listen(host: str, port: int, *, section: str, share_port: bool = False) -> list[socket.socket]:
    """Bind every address of `host`; `::` includes IPv4. Raises `BadConfig`, which names the settings of `section`."""
    sockets: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
            # With port 0 the first socket takes a free port, and the others take the same one.
            where = (str(address[0]), sockets[0].getsockname()[1] if sockets else port, *address[2:])
            made = socket.create_server(where, family=family, backlog=BACKLOG, reuse_port=share_port, dualstack_ipv6=both)
            made.setblocking(False)
            sockets.append(made)
    except (OSError, UnicodeError) as error:
        for opened in sockets:
            opened.close()
        raise BadConfig(f"{section}.host, {section}.port: cannot listen on {host}:{port}: {_words(error)}") from None
    return sockets


def _words(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno and error.errno > 0 and error.strerror:
        # asyncio wraps the system's message in its own
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error)


async def serve_each(listeners: list[socket.socket], factory: Callable[[], asyncio.Protocol]) -> list[asyncio.Server]:
    """Accept connections in the loop. asyncio uses `backlog` for the accepts in one turn, too, so the kernel's queue is set afterwards."""
    loop = asyncio.get_running_loop()
    servers = []
    for listener in listeners:
        servers.append(await loop.create_server(factory, sock=listener, backlog=ACCEPTS_MAX))
        listener.listen(BACKLOG)
    return servers
