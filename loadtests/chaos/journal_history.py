"""All that stands in a journal in Kafka, followed as it comes and judged by the rule: what chaos is watched and audited by."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from liveroom.accounting.audit import PartitionAudit
from liveroom.config.schema import Config
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import PastEntry, StoredEntry
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.kafka.topics import Topics
from liveroom.messages.errors import AuditFailed, JournalUnavailable
from liveroom.protocol.codec import event_object
from liveroom.protocol.records import Record, Takeover
from liveroom.telemetry.metrics import Metrics
from loadtests.lib.target import TargetError

__all__ = ["JournalHistory", "history_of"]

SETTLE_S: Final = 60.0
#: Pause before a partition that could not be read is read on.
AGAIN_S: Final = 0.2


class _Log:
    """One partition."""

    def __init__(self) -> None:
        self.entries: list[StoredEntry] = []
        self.verdicts: list[Verdict] = []
        self.acceptance = Acceptance()
        self.owner = ""


class JournalHistory:
    """Made by `history_of`; also a journal's past, so that `liveroom audit` can be done on it."""

    def __init__(self, journal: KafkaJournal, config: Config) -> None:
        self.partitions = journal.partitions
        self.chain_text = ""  # entries are kept as they were decoded: there are no bytes to chain
        self.topic = Topics.of(config.kafka.topic_prefix).events
        self._journal = journal
        self._logs = [_Log() for _ in range(self.partitions)]
        self._audits = [PartitionAudit(partition, self.chain_text, config.engine) for partition in range(self.partitions)]
        self._news = asyncio.Event()

    # Following

    async def follow(self, partition: int) -> None:
        """Without end."""
        while True:
            try:
                await self._follow(partition)
            except JournalUnavailable as error:  # brokers are struck, too
                print(f"journal history: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(AGAIN_S)

    async def _follow(self, partition: int) -> None:
        log = self._logs[partition]
        async with aclosing(self._journal.read_events(partition, len(log.entries))) as entries:
            async for stored in entries:
                log.entries.append(stored)
                log.verdicts.append(log.acceptance.judge(stored.offset, stored.entry))
                if isinstance(stored.entry, Takeover):
                    log.owner = stored.entry.owner
                self._news.set()

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait until something that entries change is so; gives whether it is."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return condition()
        return True

    async def settle(self) -> None:
        """Read up to the present end. Raises `TargetError` when that takes too long."""
        for partition, log in enumerate(self._logs):
            end = await self._end(partition)
            if not await self.until(lambda log=log, end=end: len(log.entries) >= end, SETTLE_S):  # type: ignore[misc]
                raise TargetError(f"events[{partition}] could not be read up to {end} within {SETTLE_S} s")

    async def _end(self, partition: int) -> int:
        """Raises `TargetError` when brokers do not say it in time."""
        deadline_s = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            try:
                return await self._journal.events_end(partition)
            except JournalUnavailable as error:
                if asyncio.get_running_loop().time() > deadline_s:
                    raise TargetError(str(error)) from None

    # Content

    def owner(self, partition: int) -> str:
        """The process that took the partition over last."""
        return self._logs[partition].owner

    def fencing_epoch(self, partition: int) -> int:
        """The offset of the last takeover."""
        return self._logs[partition].acceptance.fencing_epoch

    def end(self, partition: int) -> int:
        """How many entries were read."""
        return len(self._logs[partition].entries)

    def is_fresh(self, partition: int) -> bool:
        """Whether the owner has taken the partition over and written nothing yet."""
        return self.fencing_epoch(partition) == self.end(partition) - 1

    def decided_ms(self, partition: int, after_fencing_epoch: int) -> int | None:
        """When the first command was decided that an owner since then answered; `None` while there is none."""
        log = self._logs[partition]
        for at in range(after_fencing_epoch + 1, len(log.entries)):
            entry = log.entries[at].entry
            if isinstance(entry, Record) and log.verdicts[at] is Verdict.accepted and entry.fencing_epoch > after_fencing_epoch and entry.replies:
                return entry.time_ms
        return None

    def ends(self) -> list[int]:
        """How far each partition was read."""
        return [len(log.entries) for log in self._logs]

    def skipped(self, since: list[int]) -> Counter[str]:
        """Records since then that do not count, by the rule's verdict."""
        found: Counter[str] = Counter()
        for log, start in zip(self._logs, since, strict=True):
            found.update(verdict.value for verdict in log.verdicts[start:] if verdict not in (Verdict.accepted, Verdict.takeover))
        return found

    def events(self, partition: int, room: str) -> list[dict[str, Any]]:
        """A room's events that count."""
        log = self._logs[partition]
        return [
            {"time_ms": stored.entry.time_ms, **event_object(event, seq)}
            for stored, verdict in zip(log.entries, log.verdicts, strict=True)
            if verdict is Verdict.accepted and isinstance(stored.entry, Record) and room in stored.entry.rooms
            for seq, event in enumerate(stored.entry.rooms[room].events, stored.entry.rooms[room].from_)
        ]

    def audit(self) -> str:
        """The first fault of the accounts and the outcomes so far; empty if there is none."""
        try:
            for one in self._audits:
                one.read(self)
        except AuditFailed as error:
            return str(error)
        return ""

    def entries(self, partition: int, offset: int = 0) -> Iterator[PastEntry]:
        """The entries as a journal's archive gives them."""
        return (PastEntry(stored.offset, stored.entry, None) for stored in self._logs[partition].entries[offset:])

    def verify(self, *, against_mark: bool = True) -> None:
        """Nothing is stored."""

    def close(self) -> None:
        """Nothing to release."""


@asynccontextmanager
async def history_of(config: Config) -> AsyncIterator[JournalHistory]:
    """The history of the journal that the settings name."""
    journal = await KafkaJournal.open(config, Metrics(), "journal-history")
    history = JournalHistory(journal, config)
    followers = [asyncio.create_task(history.follow(partition)) for partition in range(history.partitions)]
    try:
        yield history
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await journal.close()
