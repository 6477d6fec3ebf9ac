"""The base of the load's processes: they read orders and write reports as JSON lines, and end when their input ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = ["LINE_BYTES_MAX", "orders", "run", "say", "words_of"]

#: A report may be long.
LINE_BYTES_MAX: Final = 64 * 1024 * 1024


async def orders() -> asyncio.StreamReader:
    """The process' input."""
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(words: Struct) -> None:
    """One line of output."""
    sys.stdout.buffer.write(msgspec.json.encode(words) + b"\n")
    sys.stdout.buffer.flush()


def words_of(error: BaseException) -> str:
    """The first error in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the process, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
