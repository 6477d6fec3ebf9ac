"""A server under load as seen from outside: its memory and open files by phase, and its log."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from loadtests.lib.findings import Findings
from loadtests.lib.meters import ProcessReading
from loadtests.lib.phases import NO_PHASE, Phases

__all__ = ["Watchdog", "log_counts"]

#: Kinds of warnings that a report shows.
WARNINGS_SHOWN: Final = 20
#: Beginnings of the plain lines that `serve` prints at its start and end.
_PLAIN: Final = ("liveroom",)
#: Growth from the first to the last third that is no leak: of memory (factor and bytes) and of open files.
RSS_GROWTH: Final = 1.15
RSS_SPARE_BYTES: Final = 24 * 1024 * 1024
FILES_SPARE: Final = 8
#: With fewer quiet phases, after the windows are full, a run is too short to judge the growth of memory.
QUIET_PHASES_MIN: Final = 6


class Watchdog:
    """Watches a process through its readings; `sample` is to be called some times a second.

    For the first `fills_s` memory may grow: the server fills its windows.
    """

    def __init__(self, read: Callable[[], ProcessReading | None], phases: Phases, fills_s: float) -> None:
        self._read = read
        self._phases = phases
        self._full_ns = phases.start_ns + int(fills_s * 1e9)
        self._rss: defaultdict[int, list[int]] = defaultdict(list)
        self._files: defaultdict[int, list[int]] = defaultdict(list)
        self._cpu_s: dict[int, tuple[float, float]] = {}

    def sample(self, now_ns: int) -> None:
        """Look at it."""
        phase = self._phases.number(now_ns)
        reading = self._read()
        if phase == NO_PHASE or reading is None:
            return
        self._rss[phase].append(reading.rss_bytes)
        self._files[phase].append(reading.files)
        self._cpu_s[phase] = (self._cpu_s.get(phase, (reading.cpu_s, 0.0))[0], reading.cpu_s)

    def cpu_share(self, *, hostile: bool) -> float:
        """Part of a core that the server took in hostile or in quiet phases, without the first."""
        spans = [span for phase, span in self._cpu_s.items() if phase and self._phases.hostile(phase) is hostile]
        used_s = sum(end - begin for begin, end in spans)
        return round(used_s / (len(spans) * self._phases.phase_ns / 1e9), 3) if spans else 0.0

    def judge(self, rss_bytes_max: int, files_max: int, findings: Findings) -> dict[str, Any]:
        """Check that memory and open files are bounded and flat; returns the figures."""
        quiet = [phase for phase in sorted(self._rss) if not self._phases.hostile(phase)]
        full = [phase for phase in quiet if self._phases.begin_ns(phase) >= self._full_ns]
        rss, files = _thirds(self._rss, full or quiet[-1:]), _thirds(self._files, quiet)
        most_bytes = max(max(values) for values in self._rss.values())
        most_files = max(max(values) for values in self._files.values())
        if len(full) >= QUIET_PHASES_MIN and rss[1] > rss[0] * RSS_GROWTH + RSS_SPARE_BYTES:
            findings.add("memory_grows", f"{_mib(rss[0])} MiB in the first third, {_mib(rss[1])} MiB in the last")
        if most_bytes > rss_bytes_max:
            findings.add("memory_grows", f"{_mib(most_bytes)} MiB at most, and {_mib(rss_bytes_max)} MiB are the bound")
        if files[1] > files[0] + FILES_SPARE:
            findings.add("descriptors_grow", f"{files[0]:.0f} in the first third, {files[1]:.0f} in the last, in quiet phases")
        if most_files > files_max:
            findings.add("descriptors_grow", f"{most_files} at most, and {files_max} are what the settings add up to")
        return {
            "rss_mib": {"first_third": _mib(rss[0]), "last_third": _mib(rss[1]), "max": _mib(most_bytes), "bound": _mib(rss_bytes_max)},
            "files": {"first_third": round(files[0]), "last_third": round(files[1]), "max": most_files, "bound": files_max},
            "cpu_share": {"quiet": self.cpu_share(hostile=False), "hostile": self.cpu_share(hostile=True)},
            "by_phase": [
                {"phase": phase, "hostile": self._phases.hostile(phase), "rss_mib": _mib(max(self._rss[phase])), "files": max(self._files[phase])}
                for phase in sorted(self._rss)
            ],
        }


def _thirds(values: dict[int, list[int]], phases: list[int]) -> tuple[float, float]:
    """Medians in the first and in the last third of these phases."""
    third = max(1, len(phases) // 3)
    first, last = ([value for phase in part for value in values[phase]] for part in (phases[:third], phases[-third:]))
    return statistics.median(first), statistics.median(last)


def log_counts(file: Path, findings: Findings) -> dict[str, Any]:
    """Lines of a server's log, which is JSON, by level, and warnings by their words; errors, and what is no line of a log, are bugs."""
    levels: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                record = json.loads(line)
                level, words = record["level"], record["message"]
            except (ValueError, TypeError, KeyError):
                if line.strip() and not line.startswith(_PLAIN):
                    findings.add("log", line.strip()[:300])
                continue
            levels[level] += 1
            if level in ("error", "critical"):
                findings.add("log", f"{words} {record.get('exception', '')[-300:]}".strip())
            elif level == "warning":
                warnings[words] += 1
    return {"levels": dict(levels), "warnings": dict(warnings.most_common(WARNINGS_SHOWN))}


def _mib(size: float) -> float:
    return round(size / 2**20, 1)
