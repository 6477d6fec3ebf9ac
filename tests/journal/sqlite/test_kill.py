"""A process that is killed at any moment loses nothing that it was told is durable."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path

from liveroom.features.chat.messages import ChatSent
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.mark import read_mark
from liveroom.protocol.records import Record
from liveroom.telemetry.metrics import Metrics
from tests.journal.conftest import CONFIG
from tests.journal.entries import stored

ROUNDS = 8
LINES_MAX = 600


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """In every round: what the killed process reported is there, in order, without a hole; every record counts; snapshots are whole."""
    rng = random.Random(4)
    reported = dict.fromkeys(range(CONFIG.partitions), -1)
    for _ in range(ROUNDS):
        for partition, offset in await _killed(tmp_path, rng.randrange(1, LINES_MAX)):
            assert offset > reported[partition], "offsets are reported in order"
            reported[partition] = offset
        snapshots = await _check(tmp_path, reported)
    assert min(reported.values()) > ROUNDS
    assert snapshots


async def _killed(data_dir: Path, lines: int) -> list[tuple[int, int]]:
    """The reports of a process that was killed some lines after its start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.journal.appender", str(data_dir), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    out = b""
    while out.count(b"\n") < lines and (some := await process.stdout.read(4096)):
        out += some
    if process.returncode is None:
        process.kill()
    out += await process.stdout.read()
    errors = (await process.stderr.read()).decode()
    assert await process.wait() == -signal.SIGKILL, errors
    whole = out[: out.rfind(b"\n") + 1].decode().splitlines()
    return [(int(partition), int(offset)) for partition, offset in (line.split() for line in whole)]


async def _check(data_dir: Path, reported: dict[int, int]) -> int:
    snapshots = 0
    marked = read_mark(data_dir)
    assert marked is not None
    assert all(marked.heads[partition].end > last for partition, last in reported.items()), "the mark knows what was reported"
    journal = await SqliteJournal.open(data_dir, CONFIG, Metrics())
    for partition, last in reported.items():
        entries = await stored(journal, partition)
        assert [s.offset for s in entries] == list(range(len(entries)))
        assert len(entries) > last, "an entry that was reported is missing"
        acceptance = Acceptance()
        for item in entries:
            verdict = acceptance.judge(item.offset, item.entry)
            if isinstance(item.entry, Record):
                assert verdict is Verdict.accepted
                (span,) = item.entry.rooms.values()
                (event,) = span.events
                assert isinstance(event, ChatSent)
                assert event.text == f"{item.entry.fencing_epoch}/{item.entry.step}"
        for snapshot in await journal.load_snapshots(partition):
            snapshots += 1
            bodies = await journal.get_parts(partition, snapshot.outcomes)
            assert [len(body or b"") for body in bodies] == [100_000] * 20, "a snapshot whose parts are not all there"
            assert snapshot.offset <= len(entries)
    await journal.close()
    return snapshots
