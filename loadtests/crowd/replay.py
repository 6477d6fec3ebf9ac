"""Sends a real chat through real sockets: `python -m loadtests replay FILE --speed X`.

FILE holds JSON lines with time, user and text, or Bilibili danmaku XML. Exit codes:

- 0: every line was shown exactly as written, not shown for a named reason, or refused with a code.
- 1: a line was not, or the run failed.
- 2: the file is no chat.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from liveroom.client import ClientError
from loadtests.crowd.chat_file import ChatFile, NotAChat, read_chat
from loadtests.crowd.replay_run import ROOM, replay
from loadtests.crowd.steady import server_settings
from loadtests.lib.cli import (
    EXIT_FAILED,
    UsageError,
    add_server_options,
    positive_float,
    positive_int,
    room_id,
    run_main,
    server_of,
)
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.target import TargetError, raise_file_limit

__all__ = ["main"]

#: Users that this process plays, a connection each.
USERS_MAX: Final = 10_000
SECONDS_MAX: Final = 86_400
BUDGET_MAX: Final = 1_000
#: Files that the process needs beside its users' sockets.
FILES_SPARE: Final = 512


def main(arguments: Sequence[str]) -> int:
    """Replay one file; returns the exit code."""
    options = _parser().parse_args(arguments)
    return run_main("replay", _replay(options))


async def _replay(options: argparse.Namespace) -> int:
    try:
        chat = await asyncio.to_thread(read_chat, options.file)
    except NotAChat as error:
        raise UsageError(f"{options.file}: {error}") from None
    users = _check(chat, options)
    raise_file_limit(users + FILES_SPARE)
    try:
        async with server_of(options, server_settings(users)) as target:
            with Recorder() as recorder:
                recorder.watch("server", lambda: [target.pid])
                if options.budget is not None:
                    await target.open_room(options.room, "Replay")
                    await target.command(options.room, "set_chat_budget", lines_per_s=options.budget)
                outcomes = await replay(target, chat.lines, speed=options.speed, room=options.room, recorder=recorder)
    except ClientError as error:
        raise TargetError(f"the witness: {error}") from None
    summary = outcomes.summary()
    file = {"format": chat.format, "encoding": chat.encoding, "lines": len(chat.lines), "users": users, "unreadable": chat.unreadable}
    parameters = {"speed": options.speed, "room": options.room, "budget": options.budget}
    write_report(summary | {"file": file, "parameters": parameters}, options, recorder, _figures(summary))
    return 0 if summary["ok"] else EXIT_FAILED


def _figures(summary: dict[str, Any]) -> list[Figure]:
    latency = summary["latency_ms"]
    return [
        Figure("Lines sent", text_of(summary["sent"])),
        Figure("Lines shown", text_of(summary["shown"]), f"{text_of(sum(summary['not_shown'].values()))} accepted and not shown"),
        Figure("Lines refused", text_of(sum(summary["refused"].values())), text_of(summary["refused"])),
        Figure("Lines altered", text_of(summary["altered"]), "shown with another text than written"),
        latency_figure("Latency", latency),
    ]


def _check(chat: ChatFile, options: argparse.Namespace) -> int:
    """The number of users; raises `UsageError` for a chat that is too much for one run."""
    users = len({line.user for line in chat.lines})
    if users > USERS_MAX:
        raise UsageError(f"{options.file}: has {users} users, and at most {USERS_MAX} can be played; replay a part of it")
    seconds = (chat.lines[-1].time_s - chat.lines[0].time_s) / options.speed
    if seconds > SECONDS_MAX:
        raise UsageError(f"{options.file}: its times span {seconds / 3_600:.0f} hours at this speed; use a higher --speed, or look at its times")
    if options.budget is not None and options.budget > BUDGET_MAX:
        raise UsageError(f"--budget: at most {BUDGET_MAX}")
    return users


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests replay", description="Send a real chat through real sockets and audit the shown lines."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help='JSON lines {"time", "user", "text"}, or Bilibili danmaku XML')
    parser.add_argument("--speed", type=positive_float, default=1.0, metavar="X", help="times faster than in the file (default: 1)")
    add_report_options(parser)
    parser.add_argument("--room", type=room_id, default=ROOM, help=f"room id (default: {ROOM})")
    parser.add_argument("--budget", type=positive_int, metavar="LINES", help="chat lines a second that the room shows (default: the server's own)")
    add_server_options(parser)
    return parser
