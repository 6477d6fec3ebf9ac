"""The journal of an own server after a storm."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from liveroom.config.schema import Config, LiveroomConfig
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.partition import partition_of
from liveroom.journal.sqlite.reader import open_reader
from liveroom.journal.tail import tail
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import CommandReply, Record

__all__ = ["JournalCheck", "read_journal"]


class JournalCheck(Struct):
    """The room's `events`; how often the engine answered whom; what `liveroom audit` said, and whether it was content."""

    events: list[dict[str, Any]]
    replies: dict[str, int]
    audit: str
    audit_ok: bool


async def read_journal(data_dir: Path, room: str, settings: Sequence[str] = ()) -> JournalCheck:
    """Read it, also while the server runs; `settings` are those of the server that an audit has to know."""
    events, replies = await asyncio.to_thread(_read, data_dir, room)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "liveroom", "audit", room, "--data-dir", str(data_dir), *settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    words = (await process.communicate())[0].decode().strip().splitlines()
    return JournalCheck(events, replies, words[-1] if words else "", process.returncode == 0)


def _read(data_dir: Path, room: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    events = [orjson.loads(line) for line in tail(Config(liveroom=LiveroomConfig(data_dir=str(data_dir))), room, from_seq=0, follow=False)]
    replies: Counter[str] = Counter()
    acceptance = Acceptance()
    with open_reader(data_dir) as reader:
        for stored in reader.entries(partition_of(room, reader.partitions), 0):
            if acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                assert isinstance(stored.entry, Record)
                replies.update(_outcome(command_reply) for command_reply in stored.entry.replies if command_reply.room == room)
    return events, dict(replies)


def _outcome(command_reply: CommandReply) -> str:
    if not command_reply.digest:
        return "of_gateways"
    return "repeated" if command_reply.repeated else "accepted" if isinstance(command_reply.reply, Accepted) else "refused"
