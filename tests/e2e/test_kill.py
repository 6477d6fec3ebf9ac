"""SIGKILL at random moments under load: nothing that was acknowledged is lost or doubled, and replay finds what was."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from msgspec import structs

from liveroom.client import CommandRefused, RoomEvent, connect
from liveroom.config.schema import Config, EngineConfig, RoomsConfig
from liveroom.engine.archive import restore
from liveroom.engine.partition import PartitionState
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import AnnouncementSet, SetAnnouncement
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.stored_log import open_stored_log
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import Record
from liveroom.rooms.room import encode_state, keyframe
from tests.engine.conftest import outcomes_of
from tests.serving import Server, open_journal

ROOMS = ("red", "green", "blue")
SPEAKERS_PER_ROOM = 4
KILLS = 5
UP_S = (0.3, 1.2)
#: Fewer would be no load.
OUTCOMES_MIN = 100


async def test_sigkill_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """After kills at random moments every acknowledged command has exactly one outcome, the one its sender got, and seqs have no gap."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    # Many small snapshots are kept: recovery begins at the newest, and the past that witnesses resume from at the oldest.
    limits = ("--engine-snapshot-records-max", "200", "--journal-snapshots-kept", "50", "--gateway-commands-per-s", "1000")
    server = Server(tmp_path / "data", "--journal-partitions", "2", *limits)
    outcomes: IdempotencyStore = {}
    witnessed: dict[str, list[int]] = {room: [] for room in ROOMS}
    async with server:
        await _live_through_kills(server, chance, outcomes, witnessed)

    journaled, told = await asyncio.to_thread(_read_story, server.config)
    for key, reply in outcomes.items():
        assert journaled.get(key) == [reply], f"seed {seed}: {key} was acknowledged as {reply}, the journal says {journaled.get(key)}"
    for room in ROOMS:
        assert witnessed[room] == sorted(set(witnessed[room])), f"seed {seed}: a witness saw an event twice or out of order"
        missed = set(told[room]) - set(witnessed[room])
        assert not missed, f"seed {seed}: a witness that came back missed events {sorted(missed)[:10]}"
    journal = await open_journal(structs.replace(server.config, journal=structs.replace(server.config.journal, partitions=2)))
    restored = [await restore(journal, partition, EngineConfig(), RoomsConfig()) for partition in range(2)]
    await journal.close()
    await asyncio.to_thread(_assert_replay_is_the_same, server.config, [(archive.state, archive.snapshots.offset) for archive in restored])


IdempotencyStore = dict[tuple[str, str, str], Accepted | Refused]


async def _live_through_kills(server: Server, chance: random.Random, outcomes: IdempotencyStore, witnessed: dict[str, list[int]]) -> None:
    for room in ROOMS:
        opened = await server.command(room, "open_room", {"title": room})
        assert opened["http_status"] == 200, opened
    stopping = asyncio.Event()
    speakers = [asyncio.create_task(_speak(server, room, n, outcomes, stopping)) for room in ROOMS for n in range(SPEAKERS_PER_ROOM)]
    witnesses = [asyncio.create_task(_witness(server, room, witnessed[room])) for room in ROOMS]
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(*UP_S))
        await server.kill()
        await server.start()
    enough = max(OUTCOMES_MIN, len(outcomes) + SPEAKERS_PER_ROOM * len(ROOMS))
    async with asyncio.timeout(60):
        while len(outcomes) < enough:  # also of the server that was started last
            await asyncio.sleep(0.05)
    stopping.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*speakers)
        for room in ROOMS:
            last = max(reply.seq for (where, user, _), reply in outcomes.items() if where == room and user == "speaker-0")
            while not witnessed[room] or witnessed[room][-1] < last - 1:
                await asyncio.sleep(0.05)
    for witness in witnesses:
        witness.cancel()
    ended = await asyncio.gather(*witnesses, return_exceptions=True)
    assert not [e for e in ended if isinstance(e, Exception)], ended


async def _speak(server: Server, room: str, number: int, outcomes: IdempotencyStore, stopping: asyncio.Event) -> None:
    user = f"speaker-{number}"
    count = 0

    def token() -> str:
        return server.token(room, user, Role.moderator)

    async with connect(server.gateway_url, room, token, join_timeout_s=30, backoff_max_s=1) as entered:

        async def say(text: str) -> None:
            command = SetAnnouncement(text) if number == 0 else SendChat(text)
            command_id = f"{user}-{text}"
            try:
                outcome = await entered.send(command, id=command_id)
            except CommandRefused as refused:
                # Not taken, or nobody knows: the same id finds out. Any other refusal ends the test.
                if refused.code not in ("unavailable", "overloaded"):
                    raise
                outcome = await entered.send(command, id=command_id)
            outcomes[room, user, command_id] = outcome

        while not stopping.is_set():
            await asyncio.gather(*(say(f"{count + i}") for i in range(5)))
            count += 5


async def _witness(server: Server, room: str, seen: list[int]) -> None:
    """Collects the seqs of announcements, which are delivered to everyone without exception."""
    async with connect(server.gateway_url, room, lambda: server.token(room, "witness"), join_timeout_s=30, backoff_max_s=1) as entered:
        async for item in entered:
            if isinstance(item, RoomEvent) and isinstance(item.event, AnnouncementSet):
                seen.append(item.seq)


def _read_story(config: Config) -> tuple[dict[tuple[str, str, str], list[Accepted | Refused]], dict[str, list[int]]]:
    """From the journal alone: the outcomes of every command id, and the seqs of announcements; checks that seqs have no gap."""
    outcomes: dict[tuple[str, str, str], list[Accepted | Refused]] = {}
    announced: dict[str, list[int]] = {room: [] for room in ROOMS}
    next_seq: Counter[str] = Counter()
    for record in _accepted_records(config):
        for room, span in record.rooms.items():
            assert span.from_ == next_seq[room], f"{room}: a gap at {next_seq[room]}"
            next_seq[room] += len(span.events)
            announced[room] += [seq for seq, event in enumerate(span.events, span.from_) if isinstance(event, AnnouncementSet)]
        for answer in record.replies:
            if not answer.repeated:
                outcomes.setdefault((answer.room, answer.user, answer.reply.id), []).append(answer.reply)
    return outcomes, announced


def _accepted_records(config: Config) -> list[Record]:
    records = []
    with open_stored_log(config) as stored_log:
        for partition in range(stored_log.partitions):
            acceptance = Acceptance()
            for stored in stored_log.entries(partition):
                if acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                    assert isinstance(stored.entry, Record)
                    records.append(stored.entry)
    return records


def _assert_replay_is_the_same(config: Config, restored: list[tuple[PartitionState, int]]) -> None:
    """The fold of the whole log equals a snapshot with its tail, and every keyframe that was ever published is found again on the way."""
    assert any(start > 0 for _, start in restored), "no snapshot was taken: the load was no load"
    with open_stored_log(config) as stored_log:
        for partition, (resumed, start) in enumerate(restored):
            whole = PartitionState(EngineConfig())
            for stored in stored_log.entries(partition):
                for state, begins in ((whole, 0), (resumed, start)):
                    if stored.offset >= begins and state.acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                        assert isinstance(stored.entry, Record)
                        state.fold(stored.entry)
                        for published in stored.entry.keyframes:
                            assert keyframe(published.room, state.rooms[published.room], published.time_ms, RoomsConfig()) == published
            assert {r: encode_state(s) for r, s in whole.rooms.items()} == {r: encode_state(s) for r, s in resumed.rooms.items()}
            assert outcomes_of(whole.outcomes) == outcomes_of(resumed.outcomes)
