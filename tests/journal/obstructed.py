"""Appends while the disk is full and after it has room again: `python -m tests.journal.obstructed full|limit DIR`.

`full`: DIR lies on a small file system that a file of ballast fills. `limit`: the process may not write beyond a file
size, which SQLite sees as an I/O error in the middle of a COMMIT. Prints what happened, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from msgspec.structs import replace

from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import DeadLetter
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.telemetry.metrics import Metrics
from tests.journal.conftest import CONFIG
from tests.journal.entries import record, snapshot, stored, takeover

TEXT = "x" * 20_000


def obstruct(kind: str, data_dir: Path) -> None:
    if kind == "limit":
        size = max((data_dir / (FILE_NAME + end)).stat().st_size for end in ("", "-wal"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))
        return
    with (data_dir / "ballast").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            file.truncate(file.tell() - 100_000)


def relieve(kind: str, data_dir: Path) -> None:
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        (data_dir / "ballast").unlink()


async def main(kind: str, data_dir: Path) -> None:
    journal = await SqliteJournal.open(data_dir, CONFIG, Metrics())
    await journal.append(0, takeover("before"))
    obstruct(kind, data_dir)
    alone: list[int | BaseException] = []  # one at a time until it fails
    while not alone or not isinstance(alone[-1], BaseException):
        step = len(alone)
        alone += await asyncio.gather(journal.append(0, record(0, step, step, step + 1, text=TEXT)), return_exceptions=True)
    behind = [journal.append(p, takeover("too much " + TEXT)) for p in (0, 1, 0)]
    queued = await asyncio.gather(*behind, return_exceptions=True)
    others = await asyncio.gather(
        journal.put_parts(0, [TEXT.encode() * 20]),
        journal.write_dead_letter(DeadLetter(0, 0, 0, "reason", TEXT * 20)),
        return_exceptions=True,
    )
    end = await journal.events_end(0)
    relieve(kind, data_dir)
    again = await journal.append(0, takeover("after"))
    await journal.save_snapshot(0, replace(snapshot(1), acceptance=Acceptance(0)))
    entries = await stored(journal)
    await journal.close()
    reopened = await SqliteJournal.open(data_dir, CONFIG, Metrics())
    assert await stored(reopened) == entries
    assert await stored(reopened, 1) == []
    await reopened.close()
    names = [type(error).__name__ for error in (alone[-1], *queued, *others)]
    print(json.dumps({"written": len(alone) - 1, "end": end, "errors": names, "words": str(alone[-1]), "again": again, "entries": len(entries)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
