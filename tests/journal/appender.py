"""A process that appends without end and prints what is durable, to be killed: `python -m tests.journal.appender DIR`.

Each line is `partition offset`. It plays an engine: a takeover, then its steps, eight in flight, snapshots now and then.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Snapshot
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.telemetry.metrics import Metrics
from tests.journal.conftest import CONFIG
from tests.journal.entries import newest, record, saved, takeover

STEPS_IN_FLIGHT = 8
STEPS_PER_SNAPSHOT = 50


async def play(journal: SqliteJournal, partition: int) -> None:
    fencing_epoch = await journal.append(partition, takeover(str(os.getpid())))
    report(partition, fencing_epoch)
    acceptance = Acceptance()
    if snapshot := await newest(journal, partition):
        acceptance = snapshot.acceptance.copy()
    async for stored in journal.read_events(partition, snapshot.offset if snapshot else 0):
        acceptance.judge(stored.offset, stored.entry)
        if stored.offset == fencing_epoch:
            break
    first, after, before = acceptance.next_command, acceptance.after, snapshot.offset if snapshot else -1
    window = asyncio.Semaphore(STEPS_IN_FLIGHT)
    saving: set[asyncio.Task[Snapshot]] = set()

    def landed(future: asyncio.Future[int]) -> None:
        report(partition, future.result())
        window.release()

    for step in range(sys.maxsize):
        await window.acquire()
        entry = record(fencing_epoch, step, first + step, first + step + 1, text=f"{fencing_epoch}/{step}", after="" if step else after)
        appended = journal.append(partition, entry)
        appended.add_done_callback(landed)
        if step % STEPS_PER_SNAPSHOT == 0 and not saving:
            await appended
            bodies = [os.urandom(100_000) for _ in range(20)]
            offset, acceptance = fencing_epoch + step + 2, Acceptance(fencing_epoch, step + 1, first + step + 1, str(os.getpid()), after)
            task = asyncio.create_task(saved(journal, offset, bodies, before=before, partition=partition, acceptance=acceptance))
            saving.add(task)
            task.add_done_callback(saving.discard)
            before = offset


def report(partition: int, offset: int) -> None:
    os.write(1, f"{partition} {offset}\n".encode())


async def main() -> None:
    journal = await SqliteJournal.open(Path(sys.argv[1]), CONFIG, Metrics())
    await asyncio.gather(*(play(journal, partition) for partition in range(CONFIG.partitions)))


if __name__ == "__main__":
    asyncio.run(main())
