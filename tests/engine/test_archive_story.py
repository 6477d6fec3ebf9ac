"""Whatever happens in rooms that leave memory and come back: every outcome is the one without."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.engine.engine import Engine
from liveroom.features.chat.messages import SendChat
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RequestKeyframe, SetAnnouncement
from liveroom.features.moderation.messages import BanUser
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope
from liveroom.journal.base import SnapshotPart
from liveroom.journal.memory import MemoryJournal
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from liveroom.rooms.room import encode_state
from liveroom.telemetry.metrics import Metrics
from tests.engine.conftest import ANCHOR, GATEWAY, VIEWER, Client, Clock, leaping, outcomes_of
from tests.engine.test_archive import CONFIG, owner_of, snapshot_taken, until

ROOMS = ("red", "green", "blue")
STORY = st.lists(
    st.one_of(
        st.tuples(st.just("command"), st.sampled_from(ROOMS), st.integers(0, 9)),
        st.tuples(st.just("evening"), st.sampled_from(ROOMS), st.just(0)),
        st.tuples(st.just("again"), st.just(""), st.integers(0, 20)),
        st.tuples(st.just("passes"), st.just(""), st.sampled_from([100, 11_000, 70_000, 700_000])),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
        st.tuples(st.just("takeover"), st.just(""), st.just(0)),
        st.tuples(st.just("archive"), st.just(""), st.just(11_000)),
    ),
    max_size=40,
)


def command(number: int) -> tuple[Sender, Command]:
    """One of some commands of each kind."""
    commands: list[tuple[Sender, Command]] = [
        (ANCHOR, OpenRoom("Evening")),
        (ANCHOR, CloseRoom()),
        (ANCHOR, SetAnnouncement("Welcome")),
        (VIEWER, SendChat("hello")),
        (ANCHOR, BanUser("vera", 60_000)),
        (ANCHOR, DropRedEnvelope(1_000, 3, opens_in_ms=0)),
        (VIEWER, GrabRedEnvelope(1)),
        (ANCHOR, IssueCoupon("Less", CouponTerms(5), 3, claimable_ms=1_000, valid_ms=100_000)),
        (VIEWER, ClaimCoupon(1)),
        (GATEWAY, RequestKeyframe()),
    ]
    return commands[number]


class Told:
    """The result of a story: every reply, every event with its time, every room's state, every outcome."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.end: tuple[Any, ...] = ()
        self.archived = 0


async def play(story: list[tuple[str, str, int]], *, archives: bool) -> Told:
    """Play it. Without `archives` no room ever leaves memory, and an engine begins from the log alone."""
    engine_config = CONFIG.engine if archives else replace(CONFIG.engine, archive_after_ms=31_536_000_000)
    config = replace(CONFIG, engine=engine_config)
    journal = MemoryJournal(config.journal) if archives else ForgetfulJournal(config.journal)
    clock, told = Clock(), Told()
    client = Client(journal)
    sent: list[tuple[str, Sender, Command, str]] = []
    number = 0
    engines = [Engine(journal, config, name="engine-0", metrics=Metrics(), clock=leaping(clock), rng=random.Random(0))]
    await engines[0].start()
    await until(lambda: engines[-1].ready)
    try:
        for what, room, value in story:
            if what == "command" or (what == "again" and sent):
                number += 1
                one = (room, *command(value), f"c{number}") if what == "command" else sent[value % len(sent)]
                sent.append(one)
                command_reply = await client.send(one[0], one[2], one[1], one[3])
                told.replies.append(encode(command_reply.reply))
            elif what == "evening":
                for number_of_one in (0, 2, 3, 1):
                    number += 1
                    sent.append((room, *command(number_of_one), f"c{number}"))
                    told.replies.append(encode((await client.send(room, sent[-1][2], sent[-1][1], sent[-1][3])).reply))
            elif what in ("passes", "archive"):
                clock.now_ms += value
                await client.send("clockwork", SetAnnouncement("tick"))  # a step, so that what is due happens
                if what == "archive" and archives:
                    told.archived += await pressed(engines[-1])
            elif what in ("restart", "takeover"):
                if what == "restart":
                    await engines[-1].stop()
                engine = Engine(
                    journal, config, name=f"engine-{len(engines)}", metrics=Metrics(), clock=leaping(clock), rng=random.Random(len(engines))
                )
                await engine.start()
                await until(lambda engine=engine: engine.ready)
                if what == "takeover":
                    await engines[-1].stop()
                engines.append(engine)
        archive = owner_of(engines[-1])._archive
        await archive.load([room for room in archive.state.index if archive.state.is_archived(room)], archive.state.time_ms)
        states = {room: encode_state(archive.state.rooms[room]) for room in sorted(archive.state.rooms)}
        events = [(room, seq, encode(event)) for room in ROOMS for seq, event in client.events(room)]
        told.end = (states, events, [encode(outcome) for outcome in outcomes_of(archive.state.outcomes)])
    finally:
        for engine in engines:
            await engine.stop()
        await client.close()
        await journal.close()
    return told


class ForgetfulJournal(MemoryJournal):
    """Has no snapshot."""

    async def load_snapshots(self, partition: int) -> list[Any]:
        return []

    async def put_parts(self, partition: int, bodies: Any) -> list[SnapshotPart]:
        return [SnapshotPart(0, "") for _ in bodies]


async def pressed(engine: Engine) -> int:
    """Put every room out of memory that may go, once all is in a snapshot; how many went."""
    owner = owner_of(engine)
    await snapshot_taken(engine)
    count = 0
    while owner._archive._make_space(""):
        count += 1
    return count


@settings(max_examples=60, deadline=None)
@given(STORY)
async def test_no_outcome_tells_whether_a_room_was_away(story: list[tuple[str, str, int]]) -> None:
    """With rooms that leave memory, engines that restart from snapshots or take over, all replies, events and states are those without."""
    with_archives, without = await play(story, archives=True), await play(story, archives=False)
    assert with_archives.replies == without.replies
    assert with_archives.end == without.end
    event(f"rooms archived: {min(with_archives.archived, 5)}")
