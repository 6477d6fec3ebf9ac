"""The cost of a test: the server's CPU time and memory, and other load on the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["MachineMeter", "ProcessMeter", "ProcessReading", "children_of", "read_process"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessReading(NamedTuple):
    """A process at one moment: CPU time since its start (user and system), memory, open files."""

    cpu_s: float
    rss_bytes: int
    files: int


def read_process(pid: int | None) -> ProcessReading | None:
    """Read a process from /proc; `None` where there is no such file, or no process is given."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A kernel since 6.2 counts the open files itself; listing thousands of them takes milliseconds.
        files = os.stat(f"/proc/{pid}/fd").st_size or len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    if fields[0] == "Z":  # it has ended, and its parent has not asked for its exit code yet
        return None
    return ProcessReading((int(fields[11]) + int(fields[12])) * _TICK_S, int(fields[21]) * _PAGE_BYTES, files)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started; none where the system does not say."""
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []


class ProcessMeter:
    """CPU time and memory of a process since this was made; where nothing can be read, everything is `None`."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        start = read_process(pid)
        self._cpu_s_start = start.cpu_s if start is not None else None
        self.rss_bytes_start = start.rss_bytes if start is not None else None
        self.rss_bytes_max = self.rss_bytes_start

    def cpu_s(self) -> float | None:
        """CPU time, user and system, since this meter was made."""
        now = read_process(self._pid)
        return None if now is None or self._cpu_s_start is None else now.cpu_s - self._cpu_s_start

    def sample(self) -> None:
        """Look at the memory."""
        if (now := read_process(self._pid)) is not None:
            self.rss_bytes_max = max(now.rss_bytes, self.rss_bytes_max or 0)


class MachineMeter:
    """CPU time of the whole machine since this was made, from /proc/stat; `None` where there is none."""

    def __init__(self) -> None:
        self._start = _machine_s()

    def busy_s(self) -> float | None:
        """Spent by all processes, ours and others', and by other machines on these cores; summed over the cores."""
        now, start = _machine_s(), self._start
        return now[0] - start[0] if now and start else None

    def idle_s(self) -> float | None:
        """Spent on nothing."""
        now, start = _machine_s(), self._start
        return now[1] - start[1] if now and start else None


def _machine_s() -> tuple[float, float] | None:
    try:
        fields = [int(field) * _TICK_S for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    idle_s = fields[3] + fields[4]  # idle, waiting for a disk
    return sum(fields) - idle_s, idle_s
