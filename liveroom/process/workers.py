"""Worker processes of one main process: started, started again when they die, and kept when the main process dies.

How it works:

1. Each worker has a number, and holds the lock of its slot, a file in the data directory, for as long as it lives.
2. The supervisor in the main process starts a worker for each slot that is free.
   A slot that is taken belongs to a worker of an earlier main process: it lives on, and the supervisor waits until its slot is free.
3. A worker that ends is started again, after a pause that grows while workers end soon after their start.
4. A worker writes its ready file when it is ready. The supervisor removes the file before each start.
5. Workers have a session of their own, so that Ctrl-C reaches the main process alone. It then lets the workers drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from liveroom.messages.errors import JournalLocked, JournalUnavailable
from liveroom.process.owner_only import FILE_MODE, make_directory

__all__ = ["Supervisor", "WorkerSlot"]

log = logging.getLogger("liveroom")

#: Pause between two looks at a slot that a worker of an earlier main process holds.
LOOK_S: Final = 0.2
#: Pause before a worker is started again. It doubles up to `PAUSE_S_MAX` while workers live for less than `LIVED_S`.
PAUSE_S: Final = 0.1
#: A worker tries so often to take its slot, with a pause in between.
TAKE_ATTEMPTS: Final = 20
TAKE_AGAIN_S: Final = 0.02
PAUSE_S_MAX: Final = 5.0
LIVED_S: Final = 30.0


class WorkerSlot:
    """The place of one worker: its number, its lock and its ready file."""

    def __init__(self, data_dir: Path, number: int) -> None:
        self.number = number
        self._directory = data_dir / "workers"
        self._lock_file = self._directory / f"{number}.lock"
        self.ready_file = self._directory / f"{number}.ready"
        self._held = -1

    def take(self) -> None:
        """Hold the slot until this process ends. Raises `JournalLocked` if another process holds it, `JournalUnavailable`."""
        try:
            make_directory(self._directory)
            held = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise JournalUnavailable(f"{error.filename}: cannot be written: {error.strerror}") from None
        for _ in range(TAKE_ATTEMPTS):  # the supervisor may be looking at this moment
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(held, 0)
                os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
                self._held = held
                return
            time.sleep(TAKE_AGAIN_S)
        os.close(held)
        raise JournalLocked(f"{self._lock_file}: another worker has this number")

    def holder(self) -> int:
        """The process id of the worker in this slot; 0 if the slot is free."""
        try:
            file = os.open(self._lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(file, 20) or b"0")
        finally:
            os.close(file)
        return 0


class Supervisor:
    """Keeps `count` workers. `command(slot)` is the command of one; `stop_s` is the time that a worker has to drain."""

    def __init__(self, data_dir: Path, count: int, command: Callable[[WorkerSlot], Sequence[str]], *, stop_s: float) -> None:
        self._slots = [WorkerSlot(data_dir, number) for number in range(1, count + 1)]
        self._command = command
        self._stop_s = stop_s
        self._keepers: list[asyncio.Task[None]] = []
        self._pids: dict[int, int] = {}  # process ids of the living workers, by number
        self._children: dict[int, asyncio.subprocess.Process] = {}  # workers that this process started, by number

    def start(self) -> None:
        """Start the workers. Returns at once; see `missing`."""
        self._keepers = [asyncio.create_task(self._keep(slot), name=f"worker-{slot.number}") for slot in self._slots]

    @property
    def missing(self) -> list[int]:
        """The numbers of the workers that are not ready."""
        return [slot.number for slot in self._slots if slot.number not in self._pids or not slot.ready_file.exists()]

    def reload(self) -> None:
        """Let every worker read its certificate again."""
        self._signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Let all workers drain, and kill those that take too long."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_s
        while (left := [slot for slot in self._slots if self._lives(slot)]) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S / 4)  # no event tells of the end of an adopted worker
        for slot in left:
            log.warning("a worker did not end in time and is killed", extra={"worker": slot.number})
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pids[slot.number], signal.SIGKILL)

    def _lives(self, slot: WorkerSlot) -> bool:
        child = self._children.get(slot.number)
        return child.returncode is None if child is not None else slot.number in self._pids and slot.holder() == self._pids[slot.number]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def _keep(self, slot: WorkerSlot) -> None:
        pause_s = PAUSE_S
        while True:
            began = time.monotonic()
            try:
                if pid := slot.holder():
                    await self._adopt(slot, pid)
                else:
                    await self._run(slot)
            except OSError as error:  # for example, no memory or no file is left for a process
                log.error("a worker cannot be started; trying again", extra={"worker": slot.number, "error": str(error)})
            pause_s = PAUSE_S if time.monotonic() - began > LIVED_S else min(2 * pause_s, PAUSE_S_MAX)
            await asyncio.sleep(pause_s)

    async def _adopt(self, slot: WorkerSlot, pid: int) -> None:
        """Wait for the end of a worker that an earlier main process started."""
        log.info("a worker of an earlier main process lives on", extra={"worker": slot.number, "pid": pid})
        self._pids[slot.number] = pid
        while slot.holder() == pid:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self._gone(slot, "adopted")

    async def _run(self, slot: WorkerSlot) -> None:
        """Start a worker, and wait for its end."""
        slot.ready_file.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(*self._command(slot), stdin=asyncio.subprocess.DEVNULL, start_new_session=True)
        self._pids[slot.number], self._children[slot.number] = process.pid, process
        end = await process.wait()
        del self._children[slot.number]
        self._gone(slot, str(end))

    def _gone(self, slot: WorkerSlot, end: str) -> None:
        log.warning("a worker ended and is started again", extra={"worker": slot.number, "pid": self._pids.pop(slot.number), "end": end})
        slot.ready_file.unlink(missing_ok=True)
