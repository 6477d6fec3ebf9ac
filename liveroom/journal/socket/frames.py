"""The messages between a process that serves its journal and the processes that use it, and their form on the socket.

A message is MessagePack behind its length in four bytes. Entries, requests and snapshots are JSON within it, by the project's codec.
"""

from __future__ import annotations

import os
import socket
import struct
from asyncio import IncompleteReadError, StreamReader
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Union

import msgspec
from msgspec import Struct

from liveroom.messages.errors import BadConfig, JournalUnavailable

__all__ = [
    "FRAME_BYTES_MAX",
    "PROTOCOL_VERSION",
    "STREAM_BYTES_MAX",
    "Call",
    "Failed",
    "FromClient",
    "FromServer",
    "Grant",
    "Item",
    "Open",
    "Result",
    "Stop",
    "Welcome",
    "frame_of",
    "read_frame",
    "unix_address",
]

#: Both processes must be of the same version of liveroom, and this version of the messages.
PROTOCOL_VERSION: Final = 1
#: The largest message: the parts of a snapshot that are put together, or the largest record, which may have 16 MB.
FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
#: Bytes of one stream that may be on their way to a client. The server then waits until the client has taken some.
STREAM_BYTES_MAX: Final = 4 * 1024 * 1024
#: The longest path of a Unix socket on Linux, without its end.
PATH_BYTES_MAX: Final = 107

_LENGTH: Final = struct.Struct(">I")


class Call(Struct, array_like=True, tag="call", gc=False):
    """Do `operation` for a partition. The answer has the same number."""

    number: int
    operation: str
    partition: int
    body: bytes


class Open(Struct, array_like=True, tag="open", gc=False):
    """Follow a log from `offset` on: `events`, `events_in_background` or `commands`."""

    number: int
    log: str
    partition: int
    offset: int


class Grant(Struct, array_like=True, tag="grant", gc=False):
    """The client has taken items of a stream with so many bytes."""

    number: int
    bytes: int


class Stop(Struct, array_like=True, tag="stop", gc=False):
    """The client follows a stream no longer."""

    number: int


class Welcome(Struct, array_like=True, tag="welcome"):
    """The first message: what the journal is. `identity` differs after another journal has taken its place.

    `settings` is a digest of the server's settings, which its clients must have, too.
    """

    version: str
    protocol: int
    identity: str
    settings: str
    incarnations: tuple[str, ...]


class Result(Struct, array_like=True, tag="result", gc=False):
    """The answer to a call."""

    number: int
    body: bytes


class Failed(Struct, array_like=True, tag="failed", gc=False):
    """A call or a stream failed, with the name of a `JournalError`."""

    number: int
    error: str
    words: str


class Item(Struct, array_like=True, tag="item", gc=False):
    """The next entry or batch of a stream."""

    number: int
    offset: int
    body: bytes


FromClient = Union[Call, Open, Grant, Stop]
FromServer = Union[Welcome, Result, Failed, Item]


def frame_of(message: Struct) -> bytes:
    """The bytes of a message. Raises `JournalUnavailable` for one that is too large."""
    body = msgspec.msgpack.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise JournalUnavailable(f"a message of {len(body)} bytes is larger than {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: StreamReader) -> bytes | None:
    """The next message's bytes; `None` at the end. Raises `ValueError` for a message that is too large."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a message of {length} bytes is larger than {FRAME_BYTES_MAX}")
        return await reader.readexactly(length)
    except (IncompleteReadError, OSError):
        return None


@contextmanager
def unix_address(path: Path) -> Iterator[str]:
    """An address for a socket at `path`; a path that is too long goes through its open directory. Raises `BadConfig`, `OSError`."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX or not hasattr(socket, "AF_UNIX"):
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not Path(f"/proc/self/fd/{directory}").exists():
            raise BadConfig(f"liveroom.data_dir: {path.parent}: this path is too long for a socket in it")
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
