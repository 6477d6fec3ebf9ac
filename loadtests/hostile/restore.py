"""Puts an older copy of the journal back under open connections, as an operator would."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import Any, Final

from loadtests.honest.users import ROOM, HonestUsers
from loadtests.lib.priority import Prioritize
from loadtests.lib.target import OwnServer, Target, TargetError

__all__ = ["restore"]

#: Events of the room after the copy. Every viewer's cursor is then beyond the copy's end.
LATER: Final = 20
#: Lines that have to reach every honest user after the restore, and how long that may take.
LINES: Final = 20
GO_ON_S: Final = 60.0
POLL_S: Final = 0.1


async def restore(own: OwnServer, target: Target, honest: HonestUsers, prioritize: Prioritize) -> dict[str, Any]:
    """Copy the journal, let more happen, stop, restore the copy, start; then honest users go on.

    Honest users pause before the copy, so the restore takes nothing from them. Gives what the restore printed. Raises `TargetError`.
    """
    await honest.pause()
    copy = own.data_dir.parent / "copy.sqlite"
    await asyncio.to_thread(_copy, own.data_dir / "journal.sqlite", copy)
    for number in range(LATER):
        await target.command(ROOM, "set_announcement", text=f"after the copy: {number}")
    await own.stop()
    await honest.set_back(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "liveroom", "restore-journal", str(copy), "--data-dir", str(own.data_dir)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    words = (await process.communicate())[0].decode().strip()
    if process.returncode:
        raise TargetError(f"the journal was not restored: {words}")
    target.pid = (await own.start()).pid
    prioritize(own.pid)
    delivered = honest.progress.delivered
    await honest.resume()
    try:
        async with asyncio.timeout(GO_ON_S):
            while honest.progress.delivered < delivered + LINES * honest.options.viewers:
                honest.check()
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise TargetError(f"honest users did not go on after the restore: {honest.progress}") from None
    return {"words": words, "lines_delivered_after": honest.progress.delivered - delivered}


def _copy(journal: Path, copy: Path) -> None:
    """Copy the journal of a running server by SQLite's own means."""
    with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
