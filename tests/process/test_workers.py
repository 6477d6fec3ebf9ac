"""The supervisor of workers, with small programs in their place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from liveroom.messages.errors import JournalLocked
from liveroom.process import workers as workers_module
from liveroom.process.workers import Supervisor, WorkerSlot

WAIT_S = 20

#: Takes its slot, says that it is ready, and waits; with a further argument it ignores SIGTERM.
PROGRAM = """
import signal, sys
from pathlib import Path
from liveroom.process.workers import WorkerSlot
slot = WorkerSlot(Path(sys.argv[1]), int(sys.argv[2]))
if len(sys.argv) > 3:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
slot.take()
slot.ready_file.write_text("{}")
while True:
    signal.pause()
"""


def command(data_dir: Path, *more: str) -> Callable[[WorkerSlot], Sequence[str]]:
    return lambda slot: [sys.executable, "-c", PROGRAM, str(data_dir), str(slot.number), *more]


@asynccontextmanager
async def supervised(data_dir: Path, *more: str, stop_s: float = 5.0) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(data_dir, 2, command(data_dir, *more), stop_s=stop_s)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.02)


def holders(data_dir: Path) -> list[int]:
    return [WorkerSlot(data_dir, number).holder() for number in (1, 2)]


async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """The others stay as they are, and the dead one counts as missing until its successor is ready."""
    async with supervised(tmp_path) as supervisor:
        await until(lambda: not supervisor.missing)
        first, second = holders(tmp_path)
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.missing == [1])
        await until(lambda: not supervisor.missing)
        assert holders(tmp_path)[0] not in (0, first)
        assert holders(tmp_path)[1] == second
    assert holders(tmp_path) == [0, 0]


async def test_workers_of_an_earlier_main_process_are_kept(tmp_path: Path) -> None:
    """A supervisor finds living workers by their slots, starts none beside them, and replaces them when they end."""
    before = Supervisor(tmp_path, 2, command(tmp_path), stop_s=5.0)
    before.start()
    await until(lambda: not before.missing)
    living = holders(tmp_path)
    for keeper in before._keepers:  # its process has died, so to speak
        keeper.cancel()
    async with supervised(tmp_path) as supervisor:
        await until(lambda: not supervisor.missing)
        assert holders(tmp_path) == living
        os.kill(living[1], signal.SIGKILL)
        await until(lambda: not supervisor.missing and holders(tmp_path)[1] not in (0, living[1]))
    await until(lambda: holders(tmp_path) == [0, 0])


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """A stop takes no longer than `stop_s`, whatever a worker does."""
    async with supervised(tmp_path, "stubborn", stop_s=0.2) as supervisor:
        await until(lambda: not supervisor.missing)
    await until(lambda: holders(tmp_path) == [0, 0])


async def test_a_program_that_does_not_start_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed start is logged, and does not end the care for that worker or for others."""
    monkeypatch.setattr(workers_module, "PAUSE_S", 0.01)
    program = [str(tmp_path / "missing")]
    supervisor = Supervisor(tmp_path, 2, lambda slot: program if slot.number == 1 else command(tmp_path)(slot), stop_s=5.0)
    supervisor.start()
    await until(lambda: supervisor.missing == [1])
    program[:] = command(tmp_path)(WorkerSlot(tmp_path, 1))
    await until(lambda: not supervisor.missing)
    await supervisor.stop()
    assert [line for line in caplog.records if "cannot be started" in line.getMessage()]


def test_a_slot_has_one_worker(tmp_path: Path) -> None:
    """A second worker with the same number is refused; a slot that nobody holds is free."""
    slot = WorkerSlot(tmp_path, 1)
    assert slot.holder() == 0
    slot.take()
    assert slot.holder() == os.getpid()
    with pytest.raises(JournalLocked, match="another worker"):
        WorkerSlot(tmp_path, 1).take()
