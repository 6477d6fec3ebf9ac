"""The machine and the versions that a report is of."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from liveroom import __version__

__all__ = ["machine_facts"]

ROOT: Final = Path(__file__).parents[2]
#: Packages that the figures depend on.
PACKAGES: Final = ("uvloop", "msgspec", "orjson", "websockets", "aiokafka")
GIT_S: Final = 10.0


def machine_facts() -> dict[str, str]:
    """Facts by name, without those that this system does not tell."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    facts = {
        "liveroom": __version__,
        "Commit": _commit(),
        "Processor": f"{cores} cores, {_processor()}",
        "Memory": _memory(),
        "System": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {number}" for name in PACKAGES if (number := _version(name))),
        "Load average": ", ".join(f"{one:.1f}" for one in os.getloadavg()) if hasattr(os, "getloadavg") else "",
    }
    return {name: words for name, words in facts.items() if words}


def _commit() -> str:
    """The commit of this tree, and whether it was changed since; empty outside a repository."""
    commit = _git("rev-parse", "--short", "HEAD")
    return f"{commit}, with changes" if commit and _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    lines = _lines("/proc/cpuinfo")
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "unknown")


def _memory() -> str:
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return f"{kib / 2**20:.1f} GiB" if kib else ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
