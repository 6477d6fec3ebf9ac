"""State that the honest users of one process share: times by phase, problems, and a log of their replies."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import msgspec

from liveroom.protocol.frames import Accepted
from loadtests.crowd.frame_audit import Event, LatencyProbe, probe_of
from loadtests.honest.messages import HonestTask
from loadtests.lib.latency import Latency
from loadtests.lib.phases import NO_PHASE, Phases
from loadtests.storm.storm_context import StormContext
from loadtests.storm.transcript import PASSING, Asked, Reply

__all__ = ["HonestContext"]

#: An answer, or a line at a viewer, that takes longer than this came too late.
LATE_S: Final = 5.0
PROBLEMS_MAX: Final = 1_000


class HonestContext(StormContext):
    """A storm context that also counts times by phase, audits lines, and logs every reply."""

    def __init__(self, crowd: HonestTask) -> None:
        super().__init__(crowd.part, self.phase_of)
        self.phases: Phases | None = None
        self.latencies: dict[tuple[int, str], Latency] = {}
        self.problems: list[tuple[str, str]] = []
        self.done: Counter[str] = Counter()
        self.accepted: set[int] = set()
        self.hidden: set[int] = set()
        self._log = open(crowd.log, "ab", buffering=0) if crowd.log else None  # noqa: SIM115 (as long as the process)

    def phase_of(self, ns: int) -> int:
        """The phase that a time belongs to."""
        return self.phases.number(ns) if self.phases is not None else NO_PHASE

    def problem(self, code: str, words: str) -> None:
        """Somebody noticed something."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append((code, f"{words}, in phase {self.phase_of(time.monotonic_ns())}"))

    def time(self, what: str, due_ns: int) -> None:
        """Something came to its end that was due then."""
        took_ns = time.monotonic_ns() - due_ns
        self.latencies.setdefault((self.phase_of(due_ns), what), Latency()).add(took_ns // 1_000)
        if took_ns > LATE_S * 1e9 and not self.life:
            self.problem("late", f"{what} took {took_ns / 1e9:.1f} s")

    def answer(self, asked: Asked, due_ns: int) -> None:
        """A command got its answer."""
        super().answer(asked, due_ns)
        self.time(asked.command, due_ns)

    def told(self, asked: Asked, reply: Reply) -> None:
        """Write it down before anything else is done with it."""
        if self._log is not None:
            self._log.write(msgspec.json.encode([asked.user, asked.command, reply]) + b"\n")
        if not isinstance(reply, Accepted) and reply.code in PASSING and not self.life:
            self.problem("turned_away", f"{asked.command} of {asked.user}: {reply.code}: {reply.detail}")

    def observe(self, event: Event, raw: msgspec.Raw) -> LatencyProbe | None:
        """Honest lines are audited."""
        return probe_of(event.text) if event.type == "chat_sent" else super().observe(event, raw)
