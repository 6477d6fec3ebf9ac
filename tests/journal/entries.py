"""Claims, records and requests with little in them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Journal, Snapshot, StoredEntry
from liveroom.messages.commands import SendChat
from liveroom.messages.events import ChatSent
from liveroom.messages.frames import Accepted, Keyframe, RoomDetail
from liveroom.messages.records import RECORD_VERSION, Answer, Claim, Entry, Record, Request, RoomSpan, Sender

T = TypeVar("T")


def claim(owner: str = "engine-a", time_ms: int = 0) -> Claim:
    return Claim(RECORD_VERSION, owner, time_ms)


def record(epoch: int, step: int, from_: int, to: int, *, text: str = "", time_ms: int = 0) -> Record:
    """A step whose one event, if `text` is given, is a chat line in room `lamp-sale` with the step as its seq."""
    rooms = {"lamp-sale": RoomSpan(step, (ChatSent("vera", "Vera", text),))} if text else {}
    return Record(RECORD_VERSION, epoch, step, from_, to, time_ms, rooms)


def answer(request: Request, seq: int = 1) -> Answer:
    reply = Accepted(request.id, seq)
    return Answer(request.room, request.sender.user, 7, reply, source=request.source, connection=request.connection)


def request(id_: str = "c1", room: str = "lamp-sale", text: str = "hi") -> Request:
    return Request(id_, room, Sender("vera", "Vera"), SendChat(text))


def snapshot(offset: int, *, rooms: int = 2, state: tuple[bytes, ...] = (b"\x00one", b"two")) -> Snapshot:
    """A snapshot at `offset`, with everything in it depending on the offset."""
    details = tuple(RoomDetail(Keyframe(f"room-{n}", "e", offset, 5, "Lamps", "anna", True, 1), banned={"bob": offset}) for n in range(rooms))
    return Snapshot(offset, 1_000 + offset, Acceptance(offset - 1, 0, offset * 2), details, state)


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
