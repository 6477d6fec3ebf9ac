"""Takeovers, records and requests with little in them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from liveroom.features.chat.messages import ChatSent, SendChat
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Journal, Snapshot, StoredEntry
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import RECORD_VERSION, CommandReply, Entry, Record, Request, RoomSpan, Sender, Takeover

T = TypeVar("T")


def takeover(owner: str = "engine-a", time_ms: int = 0) -> Takeover:
    return Takeover(RECORD_VERSION, owner, time_ms, owner)


def record(fencing_epoch: int, step: int, from_: int, to: int, *, text: str = "", time_ms: int = 0, after: str = "") -> Record:
    """A step whose one event, if `text` is given, is a chat line in room `lamp-sale` with the step as its seq."""
    rooms = {"lamp-sale": RoomSpan(step, (ChatSent("vera", "Vera", text),))} if text else {}
    return Record(RECORD_VERSION, fencing_epoch, step, from_, to, time_ms, rooms, after=after)


def command_reply(request: Request, seq: int = 1) -> CommandReply:
    reply = Accepted(request.id, seq)
    return CommandReply(request.room, request.sender.user, 7, reply, source=request.source, connection=request.connection)


def request(id_: str = "c1", room: str = "lamp-sale", text: str = "hi") -> Request:
    return Request(id_, room, Sender("vera", "Vera"), SendChat(text))


def snapshot(offset: int, *, before: int = -1) -> Snapshot:
    """A snapshot at `offset` without parts, with everything in it depending on the offset; it builds on the one at `before`."""
    return Snapshot(offset, 1_000 + offset, Acceptance(offset - 1, 0, offset * 2), before=before)


async def saved(
    journal: Journal,
    offset: int,
    bodies: Sequence[bytes] = (b"\x00one", b"two"),
    *,
    before: int = -1,
    partition: int = 0,
    acceptance: Acceptance | None = None,
) -> Snapshot:
    """A snapshot that is saved with parts of its own, which take the place of all parts of the one before."""
    parts = tuple(await journal.put_parts(partition, bodies))
    base = [older for older in await journal.load_snapshots(partition) if older.offset == before]
    gone = tuple(await journal.put_parts(partition, [encode((*older.outcomes, *older.gone)) for older in base]))
    made = replace(snapshot(offset, before=before), outcomes=parts, gone=gone, first=parts[0].place if parts else -1)
    if acceptance is not None:
        made = replace(made, acceptance=acceptance)
    await journal.save_snapshot(partition, made)
    return made


async def newest(journal: Journal, partition: int = 0) -> Snapshot | None:
    """The newest snapshot that is kept."""
    return next(iter(await journal.load_snapshots(partition)), None)


async def take(source: AsyncGenerator[T], count: int) -> list[T]:
    """The next `count` items; the generator is closed."""
    items = [await anext(source) for _ in range(count)]
    await source.aclose()
    return items


async def stored(journal: Journal, partition: int = 0) -> list[StoredEntry]:
    """All entries of a partition."""
    return await take(journal.read_events(partition, 0), await journal.events_end(partition))


async def append_all(journal: Journal, entries: Sequence[Entry], partition: int = 0) -> list[int]:
    """Append in one go and wait for all."""
    futures: list[Future[int]] = [journal.append(partition, entry) for entry in entries]
    return [await future for future in futures]
