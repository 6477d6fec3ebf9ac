"""The command sender: commands go out in batches, and each is answered exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from liveroom.config.schema import JournalConfig
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.partition import partition_of
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Accepted, Refused, Reply
from liveroom.protocol.records import CommandReply, Request, Sender
from liveroom.telemetry.metrics import Metrics
from tests.journal.entries import command_reply, request, take


def isolated(carrier: CommandSender, place: str) -> float:
    """How often an error was kept from the others at this place."""
    return float(carrier._isolated._counter.labels(place)._value.get())


def command_sender(journal: Journal, *, batch_commands_max: int = 64, batch_wait_ms: int = 1, reply_wait_ms: int = 10_000) -> CommandSender:
    return CommandSender(
        journal, "gateway-1", Metrics(), batch_commands_max=batch_commands_max, batch_wait_ms=batch_wait_ms, reply_wait_ms=reply_wait_ms
    )


def one_partition(waiting_max: int = 1_000) -> MemoryJournal:
    return MemoryJournal(JournalConfig(partitions=1, commands_waiting_max=waiting_max))


def raising(reply: Reply) -> None:
    raise ZeroDivisionError("a bug")


def awaited(replies: asyncio.Queue[Reply]) -> Callable[[Reply], None]:
    return replies.put_nowait


async def sent(journal: Journal, batches: int, partition: int = 0) -> list[list[Request]]:
    return [list(batch.requests) for batch in await take(journal.read_commands(partition, 0), batches)]


async def test_commands_of_a_moment_make_one_batch() -> None:
    """Commands submitted in one turn of the loop go to the journal together, marked with source and ticket."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal)
    for n in range(3):
        carrier.submit(request(f"c{n}"), awaited(replies))
    [batch] = await sent(journal, 1)
    assert [r.id for r in batch] == ["c0", "c1", "c2"]
    assert {r.source for r in batch} == {"gateway-1"}
    assert len({r.connection for r in batch}) == 3
    await carrier.close()


async def test_staff_goes_in_batches_of_its_own() -> None:
    """A journal that is full for viewers takes the payment that came in one breath with their lines."""
    journal, replies = one_partition(waiting_max=100), asyncio.Queue[Reply]()
    await journal.send_commands(0, [request(f"before-{n}") for n in range(88)])
    carrier = command_sender(journal)
    carrier.submit(request("line-1"), awaited(replies))
    carrier.submit(replace(request("payment"), sender=Sender("shop", "shop", Role.platform)), awaited(replies))
    carrier.submit(request("line-2"), awaited(replies))
    _, payment = await asyncio.wait_for(sent(journal, 2), 5)
    assert [r.id for r in payment] == ["payment"]
    refused = [await asyncio.wait_for(replies.get(), 5) for _ in range(2)]
    assert [(reply.id, reply.code) for reply in refused if isinstance(reply, Refused)] == [("line-1", "overloaded"), ("line-2", "overloaded")]
    await carrier.close()


async def test_a_request_that_cannot_be_written_is_refused_alone() -> None:
    """The others of its batch reach the journal, which never sees it."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal)
    carrier.submit(request("c0"), awaited(replies))
    carrier.submit(replace(request("c1"), sender=Sender("u1", "Anna \ud83d")), awaited(replies))
    carrier.submit(request("c2"), awaited(replies))
    [batch] = await sent(journal, 1)
    assert [r.id for r in batch] == ["c0", "c2"]
    refused = replies.get_nowait()
    assert isinstance(refused, Refused)
    assert (refused.id, refused.code, replies.empty()) == ("c1", "internal_error", True)
    assert isolated(carrier, "command_request") == 1
    await carrier.close()


async def test_whatever_a_batch_fails_with_every_command_is_answered() -> None:
    """After an unknown error no caller waits for its timeout, even if taking a reply raises."""

    class BrokenJournal(MemoryJournal):
        async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
            raise ZeroDivisionError("a bug")

    journal, replies = BrokenJournal(JournalConfig(partitions=1)), asyncio.Queue[Reply]()
    carrier = command_sender(journal)
    carrier.submit(request("c0"), awaited(replies))
    carrier.submit(request("c1"), raising)
    carrier.submit(request("c2"), awaited(replies))
    codes = [(reply.id, reply.code) for reply in [await asyncio.wait_for(replies.get(), 5) for _ in range(2)] if isinstance(reply, Refused)]
    assert codes == [("c0", "unavailable"), ("c2", "unavailable")]
    assert await carrier.drain(5)
    assert (isolated(carrier, "command_batch"), isolated(carrier, "command_answer")) == (1, 1)
    await carrier.close()


async def test_what_comes_after_a_pause_goes_at_once() -> None:
    """The first command waits for nobody; those that come within `batch_wait_ms` of it go together after that."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal, batch_wait_ms=300)
    carrier.submit(request("c0"), awaited(replies))
    assert [[r.id for r in batch] for batch in await asyncio.wait_for(sent(journal, 1), 0.25)] == [["c0"]]
    for n in (1, 2):
        carrier.submit(request(f"c{n}"), awaited(replies))
        await asyncio.sleep(0.01)
    assert [[r.id for r in batch] for batch in await sent(journal, 2)] == [["c0"], ["c1", "c2"]]
    await carrier.close()


async def test_the_batches_of_all_partitions_go_together() -> None:
    """Small rooms in several partitions share a turn of the journal: the first command goes at once, and all later ones at one moment."""

    class CountingJournal(MemoryJournal):
        moments: list[tuple[float, int]] = []

        async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
            self.moments.append((asyncio.get_running_loop().time(), partition))

    journal, replies = CountingJournal(JournalConfig(partitions=4)), asyncio.Queue[Reply]()
    carrier = command_sender(journal, batch_wait_ms=100)
    rooms = [next(f"room-{n}" for n in range(100) if partition_of(f"room-{n}", 4) == partition) for partition in range(4)]
    for n, room in enumerate(rooms):
        carrier.submit(request(f"c{n}", room), awaited(replies))
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        while len(journal.moments) < 4:
            await asyncio.sleep(0.01)
    (first, first_partition), *later = journal.moments
    assert (first_partition, [partition for _, partition in later]) == (0, [1, 2, 3])
    assert min(at for at, _ in later) - first > 0.05
    assert max(at for at, _ in later) - min(at for at, _ in later) < 0.01
    await carrier.close()


async def test_a_full_batch_goes_at_once() -> None:
    """`batch_commands_max` commands are sent without waiting."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal, batch_commands_max=2, batch_wait_ms=600_000)
    for n in range(4):
        carrier.submit(request(f"c{n}"), awaited(replies))
    assert [[r.id for r in batch] for batch in await sent(journal, 2)] == [["c0", "c1"], ["c2", "c3"]]
    await carrier.close()


async def test_each_room_goes_to_its_partition() -> None:
    """A command lands in the partition of its room."""
    journal, replies = MemoryJournal(JournalConfig(partitions=4)), asyncio.Queue[Reply]()
    carrier = command_sender(journal)
    rooms = [f"room-{n}" for n in range(20)]
    for room in rooms:
        carrier.submit(request(room=room), awaited(replies))
    for partition in range(4):
        [batch] = await sent(journal, 1, partition)
        assert [r.room for r in batch] == [room for room in rooms if partition_of(room, 4) == partition]
    await carrier.close()


async def test_an_answer_finds_its_sender_once() -> None:
    """The callback gets the reply of its own ticket; a second reply to the same ticket is ignored."""
    journal = one_partition()
    first, second = asyncio.Queue[Reply](), asyncio.Queue[Reply]()
    carrier = command_sender(journal)
    carrier.submit(request("c1"), awaited(first))
    carrier.submit(request("c2"), awaited(second))
    [[one, two]] = await sent(journal, 1)
    for given in (command_reply(two, 7), command_reply(one, 8), command_reply(two, 9)):
        carrier.deliver(given)
    assert first.get_nowait() == Accepted("c1", 8)
    assert second.get_nowait() == Accepted("c2", 7)
    assert second.empty()
    assert carrier.waiting == 0
    await carrier.close()


async def test_answers_for_others_are_ignored() -> None:
    """A reply that names another source is another process's."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal)
    carrier.submit(request(), awaited(replies))
    [[one]] = await sent(journal, 1)
    carrier.deliver(CommandReply(one.room, "vera", 0, Accepted("c1", 1), source="gateway-2", connection=one.connection))
    assert replies.empty()
    assert carrier.waiting == 1
    await carrier.close()


async def test_a_full_journal_answers_overloaded() -> None:
    """Commands that the journal does not take are refused as `overloaded`, with the time to come back."""
    journal, replies = one_partition(waiting_max=100), asyncio.Queue[Reply]()
    await journal.send_commands(0, [request(f"old-{n}") for n in range(100)])
    carrier = command_sender(journal)
    carrier.submit(request("c1"), awaited(replies))
    reply = await replies.get()
    assert isinstance(reply, Refused)
    assert (reply.id, reply.code, reply.retry_after_ms) == ("c1", "overloaded", 1_000)
    await carrier.close()


async def test_a_journal_that_is_away_answers_unavailable() -> None:
    """When the journal raises, the command is refused as `unavailable`."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    await journal.close()
    carrier = command_sender(journal)
    carrier.submit(request("c1"), awaited(replies))
    reply = await replies.get()
    assert isinstance(reply, Refused)
    assert reply.code == "unavailable"
    await carrier.close()


async def test_a_command_without_an_answer_is_given_up_in_time() -> None:
    """After `reply_wait_ms` the sender gets `unavailable`; a later reply is ignored."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal, reply_wait_ms=1)
    carrier.submit(request("c1"), awaited(replies))
    [[one]] = await sent(journal, 1)
    reply = await replies.get()
    assert isinstance(reply, Refused)
    assert (reply.id, reply.code) == ("c1", "unavailable")
    carrier.deliver(command_reply(one))
    assert replies.empty()
    await carrier.close()


async def test_close_answers_everything_that_waits() -> None:
    """Every waiting sender gets one refusal when the process ends."""
    replies = asyncio.Queue[Reply]()
    carrier = command_sender(one_partition(), batch_wait_ms=600_000)
    for n in range(3):
        carrier.submit(request(f"c{n}"), awaited(replies))
    await carrier.close()
    given = [replies.get_nowait() for _ in range(3)]
    assert [reply.id for reply in given] == ["c0", "c1", "c2"]
    assert all(isinstance(reply, Refused) and reply.code == "unavailable" for reply in given)
    assert replies.empty()


async def test_nothing_is_sent_after_the_close() -> None:
    """Commands that were collected when the command sender closed are answered `unavailable` and go nowhere; no task outlives the close."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal, batch_wait_ms=1)
    carrier.submit(request("c0"), awaited(replies))
    await carrier.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    reply = await replies.get()
    assert isinstance(reply, Refused)
    assert reply.code == "unavailable"
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await journal.send_commands(0, [request("c1")])
    assert [[r.id for r in batch] for batch in await sent(journal, 1)] == [["c1"]]


async def test_what_is_submitted_while_it_closes_is_answered_too() -> None:
    """A refusal at the end lets the next command in the queue through; that one is refused as well, and nothing new begins."""
    journal, replies = one_partition(), asyncio.Queue[Reply]()
    carrier = command_sender(journal, batch_commands_max=1)

    def next_one(number: int, reply: Reply) -> None:
        replies.put_nowait(reply)
        if number < 3:
            carrier.submit(request(f"c{number}"), partial(next_one, number + 1))

    carrier.submit(request("c0"), partial(next_one, 1))
    await carrier.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    given = [await asyncio.wait_for(replies.get(), 1) for _ in range(3)]
    assert [reply.id for reply in given] == ["c0", "c1", "c2"]
    assert {getattr(reply, "code", "") for reply in given} == {"unavailable"}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert carrier.waiting == 0
