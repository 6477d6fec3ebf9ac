"""Derives every account again from the journal alone, also while servers write, and stops at the first difference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from liveroom.accounting.ledger import Ledger
from liveroom.accounting.statement import Statement
from liveroom.config.schema import Config, EngineConfig
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import PastEntry
from liveroom.journal.chain import chain_start, chained
from liveroom.journal.idempotency import IdempotencyStore, key_of
from liveroom.journal.partition import partition_of
from liveroom.journal.sqlite.mark import Head
from liveroom.journal.stored_log import StoredLog, open_stored_log
from liveroom.messages.errors import AuditFailed, JournalDamaged, JournalUnavailable, LedgerBroken
from liveroom.protocol.codec import decode_room_id
from liveroom.protocol.frames import Refused
from liveroom.protocol.records import CommandReply, Record

__all__ = ["LedgerReader", "PartitionAudit", "RoomAudit", "audit"]


class RoomAudit(Struct):
    """A room as far as it was read: its next seq and its accounts."""

    room: str
    next_seq: int
    ledger: Ledger


class PartitionAudit:
    """The rooms and replies of one partition, folded and checked; with `room`, of that room only.

    `head` is the position of the reader, with the chain value computed from the entries' bytes alone.
    """

    def __init__(self, partition: int, chain_text: str, config: EngineConfig, room: str = "") -> None:
        self.partition = partition
        self.rooms: dict[str, RoomAudit] = {}
        self.replies = 0
        self.skipped = 0
        self._room = room
        self._acceptance = Acceptance()
        self.head = Head(0, chain_start(chain_text))
        self._outcomes = IdempotencyStore(config)
        self._failed: AuditFailed | JournalDamaged | None = None

    def read(self, stored_log: StoredLog, until: Callable[[], bool] = lambda: False) -> None:
        """Read on to the present end, or until `until`.

        Raises `AuditFailed`, `JournalDamaged` or `JournalError`; the first two again in every later call.
        """
        if self._failed is not None:
            raise self._failed
        try:
            for stored in stored_log.entries(self.partition, self.head.end):
                self._follow(stored)
                if until():
                    return
        except (AuditFailed, JournalDamaged) as error:
            self._failed = error
            raise

    def _follow(self, stored: PastEntry) -> None:
        chain = self.head.chain if stored.body is None else chained(self.head.chain, self.partition, stored.offset, stored.body)
        self.head = Head(stored.offset + 1, chain)
        verdict = self._acceptance.judge(stored.offset, stored.entry)
        if stored.verdict not in ("", verdict.value):
            raise JournalDamaged(f"entry {stored.offset} of partition {self.partition} is stored as {stored.verdict!r}, but is {verdict.value}")
        if verdict is Verdict.accepted:
            assert isinstance(stored.entry, Record)
            self._follow_record(stored.entry)
        elif verdict is not Verdict.takeover:
            self.skipped += 1

    def _follow_record(self, record: Record) -> None:
        for room, span in record.rooms.items():
            if self._room not in ("", room):
                continue
            room_audit = self.rooms.get(room) or self.rooms.setdefault(room, RoomAudit(room, 0, Ledger()))
            if span.from_ != room_audit.next_seq:
                raise AuditFailed(room, room_audit.next_seq, f"the events after it are missing or repeated: the next span begins at {span.from_}")
            for event in span.events:
                try:
                    room_audit.ledger.apply(event, room_audit.next_seq, record.time_ms)
                except LedgerBroken as error:
                    raise AuditFailed(room, error.seq, error.what) from None
                room_audit.next_seq += 1
        for command_reply in record.replies:
            if command_reply.digest:  # commands of gateways are never retried
                self._follow_reply(command_reply)
        self._outcomes.end_record(record.time_ms)

    def _follow_reply(self, command_reply: CommandReply) -> None:
        """Check a reply. The replies of all rooms count, because the engine forgets them in one order."""
        reply, room, user = command_reply.reply, command_reply.room, command_reply.user
        told = self._room in ("", room)
        key = key_of(command_reply)
        known = self._outcomes.find(key)
        self.replies += told
        if not command_reply.repeated:
            if told and known is not None:
                raise AuditFailed(room, reply.seq, f"command {reply.id!r} of {user} has two outcomes within the engine's dedupe window")
            if known is None:
                self._outcomes.remember(key, command_reply)
        elif told and known is not None and not _repeats(command_reply, known):
            raise AuditFailed(room, reply.seq, f"the retry of command {reply.id!r} of {user} got another reply than the command")


def _repeats(command_reply: CommandReply, known: CommandReply) -> bool:
    if command_reply.digest == known.digest:
        return command_reply.reply == known.reply
    return isinstance(command_reply.reply, Refused) and command_reply.reply.code == "id_reused"


def audit(config: Config, room: str = "", *, against_mark: bool = True) -> list[PartitionAudit]:
    """Read a journal from its beginning, one room or all (`room` empty); gives the audits of the partitions that were read.

    With all rooms, the data beside the entries is verified too.
    `against_mark` is false for a copy that is older than the mark on purpose.

    Raises: `AuditFailed` at the first difference, `BadMessage` for a malformed room id, `BadConfig`, `JournalError`.
    """
    if room:
        decode_room_id(room)
    with open_stored_log(config) as stored_log:
        if not room:
            stored_log.verify(against_mark=against_mark)
        partitions = [partition_of(room, stored_log.partitions)] if room else range(stored_log.partitions)
        audits = [PartitionAudit(partition, stored_log.chain_text, config.engine, room) for partition in partitions]
        for one in audits:
            one.read(stored_log)
    if room and not any(one.rooms for one in audits):
        raise AuditFailed(room, 0, "there is no such room in this journal")
    return audits


class LedgerReader:
    """Statements for a server, always up to date.
    The first one reads a partition's whole log, later ones only the new entries.

    One statement is read at a time, in a thread of its own; other callers wait.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._audits: dict[int, PartitionAudit] = {}
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._closed = False

    async def read(self, room: str) -> Statement:
        """The room's accounts. Only the caller waits for the journal. Raises `AuditFailed`, `JournalError`."""
        self._must_be_open()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, room)

    def _read(self, room: str) -> Statement:
        with open_stored_log(self._config) as stored_log:
            partition = partition_of(room, stored_log.partitions)
            partition_audit = self._audits.get(partition) or self._audits.setdefault(
                partition, PartitionAudit(partition, stored_log.chain_text, self._config.engine)
            )
            partition_audit.read(stored_log, lambda: self._closed)
            self._must_be_open()
            room_audit = partition_audit.rooms.get(room)
            return (room_audit.ledger if room_audit is not None else Ledger()).statement(room)

    def close(self) -> None:
        """Stop reading. A running read ends soon, however long the journal is."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _must_be_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the ledger is closed")
