"""The cost of a test: the server's CPU time and memory, and other load on the machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MachineMeter", "ProcessMeter"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class ProcessMeter:
    """Reads a process' CPU time and memory from /proc; where there is none, or no process is given, everything is `None`."""

    def __init__(self, pid: int | None) -> None:
        self._stat = Path(f"/proc/{pid}/stat") if pid is not None else None
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.rss_bytes_start = self._fields()[1]
        self.rss_bytes_max = self.rss_bytes_start
        self._cpu_s_start = self._fields()[0]

    def cpu_s(self) -> float | None:
        """CPU time, user and system, since this meter was made."""
        now_s = self._fields()[0]
        return None if now_s is None or self._cpu_s_start is None else now_s - self._cpu_s_start

    def sample(self) -> None:
        """Look at the memory."""
        rss_bytes = self._fields()[1]
        if rss_bytes is not None:
            self.rss_bytes_max = max(rss_bytes, self.rss_bytes_max or 0)

    def _fields(self) -> tuple[float | None, int | None]:
        if self._stat is None:
            return None, None
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None, None
        return (int(fields[11]) + int(fields[12])) * _TICK_S, int(fields[21]) * self._page_bytes


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
