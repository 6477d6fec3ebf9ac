"""The options that all load tests share: the server and its end; errors become exit codes."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from liveroom.messages.errors import BadConfig, BadMessage
from liveroom.protocol.codec import decode_room_id
from loadtests.lib.lean_client import Address, HandshakeRefused
from loadtests.lib.target import Target, TargetError, given_server, own_server

__all__ = [
    "EXIT_FAILED",
    "EXIT_USAGE",
    "UsageError",
    "add_server_options",
    "percent",
    "positive_float",
    "positive_int",
    "run_main",
    "server_of",
]

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


class UsageError(Exception):
    """It was asked for something that cannot be; one line says why."""


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """The options that name a server that runs already."""
    group = parser.add_argument_group("a server that runs already (otherwise one is started for the test)")
    group.add_argument("--url", metavar="URL", help="its gateway, for example ws://127.0.0.1:8800")
    group.add_argument("--console", metavar="URL", help="its console, for example http://127.0.0.1:8801")
    group.add_argument("--token-secret-file", type=Path, metavar="FILE", help="the secret that signs its tokens (or LIVEROOM_AUTH_SECRET)")
    group.add_argument("--server-pid", type=int, metavar="PID", help="its process on this machine, to measure CPU time and memory")


@asynccontextmanager
async def server_of(options: argparse.Namespace, settings: Sequence[str]) -> AsyncIterator[Target]:
    """The server that the options name, or one of our own with `settings`."""
    if bool(options.url) != bool(options.console):
        raise UsageError("--url and --console: give both or none")
    if options.url:
        try:
            Address.of(options.url)
        except ValueError as error:
            raise UsageError(f"--url: {error}") from None
        yield given_server(options.url, options.console, options.token_secret_file, options.server_pid)
    else:
        async with own_server(settings) as target:
            yield target


def run_main(program: str, main: Coroutine[Any, Any, int]) -> int:
    """Run `main`; what goes wrong is one line on standard error, and Ctrl-C or SIGTERM ends everything that was started."""
    try:
        return asyncio.run(_interruptible(main))
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (UsageError, BadConfig) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (TargetError, HandshakeRefused, OSError, TimeoutError) as error:
        print(f"{program}: {str(error) or type(error).__name__}", file=sys.stderr)
        return EXIT_FAILED


async def _interruptible(main: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(main)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except (Exception, asyncio.CancelledError):
        # Errors on the way out are not the reason for the end: for example a connection whose other end was interrupted as well.
        if interrupted:
            raise KeyboardInterrupt from None
        raise


def room_id(text: str) -> str:
    """An argument that names a room."""
    try:
        return decode_room_id(text)
    except BadMessage as error:
        raise argparse.ArgumentTypeError(error.detail) from None


def positive_int(text: str) -> int:
    """An argument above 0."""
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def percent(text: str) -> float:
    """An argument from 0 to 100."""
    number = float(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return number


def positive_float(text: str) -> float:
    """An argument above 0, not infinite."""
    number = float(text)
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1e9")
    return number
