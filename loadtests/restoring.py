"""Puts an older copy of the journal back under open connections, as an operator would."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any, Final

from loadtests.honest import ROOM, Honest
from loadtests.target import OwnServer, Target, TargetError

__all__ = ["restore"]

#: Events of the room after the copy: everybody's cursor is beyond the copy's end then.
LATER: Final = 20
#: Honest users go on for so long after it.
GO_ON_S: Final = 6.0


async def restore(own: OwnServer, target: Target, honest: Honest) -> dict[str, Any]:
    """Copy the journal, let more happen, stop, restore the copy, start. Honest users rest until then, so that they lose nothing, and go on.

    Gives what the restoring said. Raises `TargetError`.
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
    delivered = honest.progress.delivered
    await honest.resume()
    await asyncio.sleep(GO_ON_S)
    return {"words": words, "lines_delivered_after": honest.progress.delivered - delivered}


def _copy(journal: Path, copy: Path) -> None:
    """A copy of a running journal, by SQLite's own means."""
    source, target = sqlite3.connect(f"file:{journal}?mode=ro", uri=True), sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
