"""The audit of the frames that a crowd of viewers received, decoded once for all of them.

Viewers of one room get the same bytes. The first viewer that gets a frame decodes it, checks it and stores it as a `AuditStep`.
Every later viewer compares its bytes with the next step and goes on. A viewer whose bytes differ begins a branch of its own.
So the audit is exact for each viewer, at the cost of one comparison per frame.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from time import monotonic_ns
from typing import Final

import msgspec
from msgspec import Struct

from loadtests.lib.latency import Latency

__all__ = ["AuditResult", "AuditStep", "Event", "FrameAudit", "LatencyProbe", "Observe", "PhaseOf", "announced", "probe_of", "probe_text", "said"]

#: Last steps that a joining viewer can start from.
STEPS_KNOWN_MAX: Final = 4_096
#: Last events whose content is remembered.
EVENTS_KNOWN_MAX: Final = 50_000
#: Arrivals within this time are counted together.
ARRIVAL_GRAIN_US: Final = 250


class LatencyProbe(Struct, frozen=True):
    """The data in the text of an announcement: its number, its sender, and its due time in ns of this machine's monotonic clock."""

    number: int
    sender: int
    due_ns: int


def probe_text(probe: LatencyProbe, characters: int = 0) -> str:
    """The text of an announcement that carries `probe`, padded to at least so many `characters`."""
    return f"probe {probe.number} {probe.sender} {probe.due_ns} ".ljust(characters, ".")


def probe_of(text: str) -> LatencyProbe | None:
    """The probe in a text made by `probe_text`; `None` for any other text."""
    words = text.split(" ", 4)
    return LatencyProbe(int(words[1]), int(words[2]), int(words[3])) if len(words) == 5 and words[0] == "probe" else None


class Event(Struct):
    """The fields of an event, of any type, that the audit reads."""

    type: str
    seq: int
    text: str = ""


#: Takes every event that is decoded, also as bytes; gives its probe when viewers are audited for it.
Observe = Callable[[Event, msgspec.Raw], LatencyProbe | None]
#: Names the phase of the test that a time belongs to (ns of this machine's monotonic clock).
PhaseOf = Callable[[int], int]


def announced(event: Event, _: msgspec.Raw) -> LatencyProbe | None:
    """The probe of an announcement."""
    return probe_of(event.text) if event.type == "announcement_set" else None


def said(event: Event, _: msgspec.Raw) -> LatencyProbe | None:
    """The probe of a line of chat."""
    return probe_of(event.text) if event.type == "chat_sent" else None


class _Delta(Struct, rename={"from_": "from"}):
    from_: int
    to: int
    events: list[msgspec.Raw]


_delta = msgspec.json.Decoder(_Delta)
_event = msgspec.json.Decoder(Event)


class _Log:
    """The probes of one branch, in order."""

    def __init__(self, numbers: Iterable[int] = (), senders: Iterable[int] = ()) -> None:
        self.numbers = array("q", numbers)
        self.senders = array("q", senders)


class AuditStep:
    """One frame in the order of arrival, and the number of probes until here."""

    __slots__ = ("arrivals_ns", "due_ns", "length", "log", "next", "passed", "raw", "to")

    def __init__(self, raw: bytes, to: int, log: _Log, length: int, due_ns: tuple[int, ...]) -> None:
        self.raw = raw
        self.to = to
        self.log = log
        self.length = length
        self.due_ns = due_ns
        self.next: AuditStep | None = None
        self.passed = 0
        self.arrivals_ns: list[int] = []


class AuditResult(Struct):
    """Events that a number of viewers received, added up and compared with the accepted ones."""

    viewers: int = 0
    expected: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    unexpected: int = 0

    def add(self, other: AuditResult) -> None:
        """Add the numbers of others."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def clean(self) -> bool:
        """Whether everybody got everything once and in order."""
        return not (self.lost or self.doubled or self.out_of_order or self.unexpected)


class FrameAudit:
    """The frames that the viewers of one room in this process received, each decoded once."""

    def __init__(self, observe: Observe = announced, phase_of: PhaseOf = lambda _: 0) -> None:
        self._observe = observe
        self._phase_of = phase_of
        self.latencies: defaultdict[int, Latency] = defaultdict(Latency)  # by the phase in which a probe was due
        self.delivered = 0
        self.frames = 0
        self.deltas = 0  # frames of the stream, with a probe or without, summed over the viewers
        self.gaps = 0
        self.disorders = 0
        self.rewritten = 0
        self._told: dict[int, int] = {}
        self._by_seq: dict[int, AuditStep] = {}
        self._unread: deque[AuditStep] = deque()

    def forget(self) -> None:
        """Forget all events: the room goes on from an older journal, so the same seqs may bring other events."""
        self._told.clear()
        self._by_seq.clear()

    def begin(self, seq: int) -> AuditStep:
        """The place of a viewer whose keyframe is at `seq`."""
        return self._by_seq.get(seq) or self._known(AuditStep(b"", seq, _Log(), 0, ()))

    def advance(self, at: AuditStep, raw: bytes, text: bytes) -> AuditStep:
        """A viewer at `at` got a delta that is not the bytes of `at.next`."""
        delta = _delta.decode(text)
        events = [_event.decode(raw) for raw in delta.events]
        observed = [self._look_at(event, raw) for event, raw in zip(events, delta.events, strict=True)]
        if delta.to <= at.to:
            return at
        if delta.from_ > at.to:
            self.gaps += 1
        probes = [probe for event, probe in zip(events, observed, strict=True) if probe is not None and event.seq >= at.to]
        self._check_seqs(delta, [event.seq for event in events])
        following = at.next
        if following is not None and following.to == delta.to and self._same(at, following, probes):
            step = following
        else:
            step = self._append(at, raw, delta.to, probes)
        step.arrivals_ns.append(monotonic_ns())
        return step

    def skip(self, at: AuditStep) -> AuditStep:
        """A viewer at `at` was told that it skipped something; what it misses is found by the audit."""
        return AuditStep(b"", at.to, _Log(at.log.numbers[: at.length], at.log.senders[: at.length]), at.length, ())

    def jump(self, at: AuditStep, seq: int) -> AuditStep:
        """A viewer at `at` got a keyframe in the middle."""
        moved = self.skip(at)
        moved.to = seq
        return moved

    def harvest(self, viewers: int) -> None:
        """Count the arrivals since the last time; a step that all `viewers` have passed is forgotten."""
        for step in self._unread:
            arrivals, step.arrivals_ns = step.arrivals_ns, []
            step.passed += len(arrivals)
            self.frames += len(arrivals)
            self.delivered += len(arrivals) * len(step.due_ns)
            for grain, count in Counter(arrival // (ARRIVAL_GRAIN_US * 1000) for arrival in arrivals).items():
                for due_ns in step.due_ns:
                    self.latencies[self._phase_of(due_ns)].add(grain * ARRIVAL_GRAIN_US - due_ns // 1000, count)
        while self._unread and self._unread[0].passed >= viewers:
            self._unread.popleft()

    @staticmethod
    def audit(places: Iterable[AuditStep], accepted: set[int], undecided: set[int]) -> AuditResult:
        """Hold what the viewers at `places` got against what was accepted; `undecided` numbers may come or not."""
        total = AuditResult()
        counts: Counter[tuple[int, int]] = Counter()
        logs: dict[int, _Log] = {}
        for place in places:
            counts[id(place.log), place.length] += 1
            logs[id(place.log)] = place.log
        for (log, length), viewers in counts.items():
            one = _audit_one(logs[log].numbers[:length], logs[log].senders[:length], accepted, undecided)
            for name in one.__struct_fields__:
                setattr(one, name, getattr(one, name) * viewers)
            total.add(one)
        return total

    def _append(self, at: AuditStep, raw: bytes, to: int, probes: list[LatencyProbe]) -> AuditStep:
        log = at.log if at.length == len(at.log.numbers) else _Log(at.log.numbers[: at.length], at.log.senders[: at.length])
        log.numbers.extend(probe.number for probe in probes)
        log.senders.extend(probe.sender for probe in probes)
        step = AuditStep(raw, to, log, at.length + len(probes), tuple(probe.due_ns for probe in probes))
        if probes:
            self._unread.append(step)
        if at.next is None:
            at.next = step
            self._known(step)
        return step

    def _known(self, step: AuditStep) -> AuditStep:
        self._by_seq.setdefault(step.to, step)
        if len(self._by_seq) > STEPS_KNOWN_MAX:
            del self._by_seq[next(iter(self._by_seq))]
        return step

    @staticmethod
    def _same(at: AuditStep, following: AuditStep, probes: list[LatencyProbe]) -> bool:
        return following.log.numbers[at.length : following.length] == array("q", (probe.number for probe in probes))

    def _look_at(self, event: Event, raw: msgspec.Raw) -> LatencyProbe | None:
        """An event has the same content for all viewers, even after a restart of the server."""
        known = self._told.setdefault(event.seq, hash(bytes(raw)))
        if known != hash(bytes(raw)):
            self.rewritten += 1
        if len(self._told) > EVENTS_KNOWN_MAX:
            del self._told[next(iter(self._told))]
        return self._observe(event, raw)

    def _check_seqs(self, delta: _Delta, seqs: list[int]) -> None:
        if any(a >= b for a, b in pairwise(seqs)) or (seqs and not delta.from_ <= seqs[0] <= seqs[-1] < delta.to):
            self.disorders += 1


def _audit_one(numbers: array[int], senders: array[int], accepted: set[int], undecided: set[int]) -> AuditResult:
    got = set(numbers)
    last: dict[int, int] = {}
    out_of_order = 0
    for number, sender in zip(numbers, senders, strict=True):
        out_of_order += number < last.get(sender, -1)
        last[sender] = max(number, last.get(sender, -1))
    return AuditResult(
        viewers=1,
        expected=len(accepted),
        delivered=len(numbers),
        lost=len(accepted - got),
        doubled=len(numbers) - len(got),
        out_of_order=out_of_order,
        unexpected=len(got - accepted - undecided),
    )
