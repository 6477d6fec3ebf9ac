"""The entries that this process knows to be in `events[p]`.
They show when a log has lost its end.

Kafka loses confirmed entries when a broker without them becomes leader (an unclean election), or with its disks.
The remaining log looks whole; only a reader that remembers the lost entries can notice.
Each process therefore remembers, for every partition that it reads or writes, the offset below which entries were confirmed, and the ids
of the newest.
Commands carry this knowledge to the engine, so a new engine knows what gateways have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct

from liveroom.messages.errors import JournalDamaged

__all__ = ["CUT_S", "KnownEnds", "LostSpan", "Seen", "lost_spans"]

#: Time for which the end has to be too low before it counts. A broker that hung and was replaced may report an older end when it wakes up.
CUT_S: Final = 3.0
#: Newest entries of a partition whose ids are remembered.
ENTRY_IDS_KEPT: Final = 256
#: Characters of the hash that names a history.
INCARNATION_CHARS: Final = 8


class LostSpan(Struct, frozen=True):
    """Entries [from, to) of `events[partition]` that an operator gave up as lost."""

    partition: int
    from_: int
    to: int


class Seen(Struct, frozen=True):
    """The knowledge of a process: entries below `offset` were confirmed, and the last of them had this id."""

    offset: int
    entry_id: str

    def to_bytes(self) -> bytes:
        """Encode it as the header of a command."""
        return f"{self.offset} {self.entry_id}".encode()

    @classmethod
    def of_bytes(cls, text: bytes) -> Seen | None:
        """Decode such a header; `None` for other bytes."""
        offset, _, entry_id = text.decode("utf-8", "replace").partition(" ")
        return cls(int(offset), entry_id) if offset.isascii() and offset.isdigit() and len(offset) < 19 else None


def lost_spans(texts: Sequence[str]) -> tuple[LostSpan, ...]:
    """Parse the setting `kafka.events_lost`: a list of partition:from-to."""
    spans = []
    for text in texts:
        partition, _, span = text.partition(":")
        from_, _, to = span.partition("-")
        spans.append(LostSpan(int(partition), int(from_), int(to)))
    return tuple(spans)


class _Known:
    """The known entries of one partition."""

    def __init__(self) -> None:
        self.end = 0
        self.entry_ids: dict[int, str] = {}  # offset -> id of the newest entries
        self.low_since: float | None = None


class KnownEnds:
    """The known entries of all partitions. Calls `stopped(partition, words)` once for each damaged one."""

    def __init__(self, topic: str, lost: Sequence[LostSpan], stopped: Callable[[int, str], None]) -> None:
        self._topic = topic
        self._lost = lost
        self._stopped = stopped
        self._known: dict[int, _Known] = {}
        self.damaged: dict[int, str] = {}

    def check(self, partition: int) -> None:
        """Raises `JournalDamaged` if the partition was found damaged."""
        if words := self.damaged.get(partition):
            raise JournalDamaged(words)

    def incarnation(self, partition: int) -> str:
        """The name of the history without the spans that were given up. It is the same in every process with the same settings."""
        spans = sorted((span.from_, span.to) for span in set(self._lost) if span.partition == partition)
        return sha256(repr(spans).encode()).hexdigest()[:INCARNATION_CHARS] if spans else ""

    def is_lost(self, partition: int, offset: int) -> bool:
        """Whether the settings give up the entries up to `offset`."""
        return any(span.partition == partition and span.from_ < offset <= span.to for span in self._lost)

    def seen(self, partition: int) -> Seen | None:
        """The knowledge that commands carry to the engine."""
        known = self._known.get(partition)
        return Seen(known.end, known.entry_ids.get(known.end - 1, "")) if known is not None and known.end else None

    def note(self, partition: int, offset: int, entry_id: str) -> None:
        """Note an entry that was read or whose write was acknowledged. Raises `JournalDamaged` if another one was there before."""
        self.check(partition)
        known = self._known.setdefault(partition, _Known())
        before = known.entry_ids.get(offset) if offset >= known.end - ENTRY_IDS_KEPT else None
        if before is not None and before != entry_id:
            self._stop(
                partition, f"{self._topic}[{partition}] holds another entry {offset} than it did: its end was lost and has grown again", offset
            )
        known.end = max(known.end, offset + 1)
        oldest = known.end - ENTRY_IDS_KEPT
        if offset >= oldest:  # old entries do not displace newer ids
            known.entry_ids[offset] = entry_id
        if len(known.entry_ids) > 2 * ENTRY_IDS_KEPT:
            known.entry_ids = {at: kept for at, kept in known.entry_ids.items() if at >= oldest}

    def must_reach(self, partition: int, seen: Seen) -> None:
        """Add the knowledge of another process. Raises like `note`."""
        if self.is_lost(partition, seen.offset):
            return
        if seen.entry_id:
            self.note(partition, seen.offset - 1, seen.entry_id)
        elif seen.offset:
            known = self._known.setdefault(partition, _Known())
            known.end = max(known.end, seen.offset)

    def end(self, partition: int) -> int:
        """The offset below which entries were confirmed. Take it before asking the brokers for the log's end: see `reaches`."""
        known = self._known.get(partition)
        return 0 if known is None else known.end

    def reaches(self, partition: int, end: int, known_end: int, now: float) -> bool:
        """Whether the log, which ends at `end`, holds all known entries.
        Raises `JournalDamaged` when it has not for `CUT_S`.

        `known_end` is the value of `end` before the brokers were asked.
        Entries that were confirmed meanwhile do not count.
        """
        self.check(partition)
        known = self._known.get(partition)
        if known is None or end >= known_end:
            if known is not None:
                known.low_since = None
            return True
        if known.low_since is None:
            known.low_since = now
        elif now - known.low_since >= CUT_S:
            self._stop(
                partition, f"{self._topic}[{partition}] ends at {end}, but its entries up to {known_end} were confirmed: its end was lost", end
            )
        return False

    def stop(self, partition: int, words: str) -> None:
        """Mark the partition as damaged. Raises `JournalDamaged`."""
        if partition not in self.damaged:
            self.damaged[partition] = words
            self._stopped(partition, words)
        self.check(partition)

    def _stop(self, partition: int, words: str, from_: int) -> None:
        remedy = f"nothing is decided on it; an operator may give them up (kafka.events_lost = {partition}:{from_}-{self._known[partition].end})"
        self.stop(partition, f"{words}; {remedy}")
