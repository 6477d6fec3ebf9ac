"""The memory of command ids, compared with a plain list."""

from __future__ import annotations

import asyncio
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine.partition import PartitionState
from liveroom.features.chat.messages import SendChat
from liveroom.features.flash_sale.messages import CancelHold
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope
from liveroom.journal.idempotency import DETAIL_CHARS_KEPT, CommandKey, IdempotencyStore, Outcome, key_of, size_of
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import CommandReply, Record, Sender
from tests.collector import looked_at
from tests.engine.conftest import Client, Clock, open_demo, outcomes_of, running_engine

WINDOW_MS, COUNT_MAX, MONEY_MAX, PER_USER_MAX = 1_000, 100, 100, 60
BYTES_MAX, MONEY_BYTES_MAX = 40_000, 45_000  # some 60 outcomes: with many ids these bind, otherwise the numbers do
CONFIG = EngineConfig(dedupe_window_ms=WINDOW_MS, dedupe_count_max=COUNT_MAX, dedupe_money_max=MONEY_MAX, dedupe_money_per_user_max=PER_USER_MAX)

#: The time since the previous record, the run of ids that the record replies (first to last), and the role of the sender
#: if they moved money.
ROLES = st.sampled_from([None, *Role])
RUNS = st.tuples(st.integers(0, 200), st.integers(0, 90), ROLES).map(lambda run: [(id_, run[2]) for id_ in range(run[0], run[0] + run[1])])
RECORDS = st.lists(st.tuples(st.sampled_from([0, 1, 500, 999, 1_000, 1_001]), RUNS), max_size=8)


class Plain:
    """The same by looking through all of it."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.money: list[tuple[int, str, int]] = []
        self.sizes: dict[str, int] = {}
        self.roles: dict[str, Role] = {}
        self.others: list[tuple[int, str, int]] = []

    @property
    def all(self) -> list[tuple[int, str, int]]:
        return self.others + self.money

    def find(self, command_id: str) -> int | None:
        return next((digest for _, kept_id, digest in self.all if kept_id == command_id), None)

    def shortage(self, role: Role) -> str:
        moved = [self.roles[kept_id] for _, kept_id, _ in self.money]
        if role is not Role.platform and sum(one is not Role.platform for one in moved) >= PER_USER_MAX:
            return "user"
        viewers = sum(one in (Role.viewer, Role.moderator) for one in moved)
        full = len(moved) >= MONEY_MAX or (role in (Role.viewer, Role.moderator) and viewers >= MONEY_MAX * 3 // 4)
        bytes_max = self.config.dedupe_money_bytes_max
        of_all, of_viewers = (self.bytes(ids) for ids in (set(Role), {Role.viewer, Role.moderator}))
        full = full or of_all >= bytes_max or (role in (Role.viewer, Role.moderator) and of_viewers >= bytes_max - bytes_max // 4)
        return "all" if full else ""

    def bytes(self, roles: set[Role]) -> int:
        return sum(self.sizes[kept_id] for _, kept_id, _ in self.money if self.roles[kept_id] in roles)

    def forget(self, now_ms: int) -> None:
        self.money = [one for one in self.money if one[0] > now_ms - WINDOW_MS]
        self.others = [one for one in self.others if one[0] > now_ms - WINDOW_MS][-COUNT_MAX:]
        while sum(self.sizes[kept_id] for _, kept_id, _ in self.others) > self.config.dedupe_bytes_max:
            del self.others[0]


def key(command_id: str) -> CommandKey:
    return ("demo", "vera", command_id)


def digest_of(command_reply: CommandReply | None) -> int | None:
    return command_reply.digest if command_reply is not None else None


def reply_to(command_id: str, role: Role | None) -> Accepted | Refused:
    """Accept commands that moved money. Refuse every third of the others, with details of different length."""
    number = int(command_id)
    if role is None and number % 3 == 0:
        return Refused(command_id, "muted", "é" * (number * 7), retry_after_ms=1)
    return Accepted(command_id, 0, {"hold": number} if number % 2 else {})


@given(RECORDS, st.booleans(), st.booleans())
def test_an_id_is_known_for_so_long_and_among_so_many(
    records: list[tuple[int, list[tuple[int, Role | None]]]], through_a_snapshot: bool, few_bytes: bool
) -> None:
    """After each record all money of the window is known, and the newest of the rest: as many as the number and the bytes allow.

    It is the same through a snapshot.
    """
    config = replace(CONFIG, dedupe_bytes_max=BYTES_MAX, dedupe_money_bytes_max=MONEY_BYTES_MAX) if few_bytes else CONFIG
    outcomes, plain, now_ms = IdempotencyStore(config), Plain(config), 1_000
    for number, (passed_ms, ids) in enumerate(records):
        now_ms += passed_ms
        for command_id, role in ((str(id_), role) for id_, role in ids):
            known = outcomes.find(key(command_id))
            assert digest_of(known) == plain.find(command_id)
            if known is None:
                assert [outcomes.shortage("vera", one) for one in Role] == [plain.shortage(one) for one in Role]
                outcomes.remember(key(command_id), CommandReply("demo", "vera", number + 1, reply_to(command_id, role), "gw/1", 7, money_role=role))
                remembered = outcomes.find(key(command_id))
                assert remembered is not None
                plain.sizes[command_id] = size_of(remembered)
                (plain.money if role else plain.others).append((now_ms, command_id, number + 1))
                if role:
                    plain.roles[command_id] = role
        outcomes.end_record(now_ms)
        plain.forget(now_ms)
        if through_a_snapshot:
            written = msgspec.json.decode(encode(outcomes_of(outcomes)), type=list[Outcome])
            outcomes, half = IdempotencyStore(config), len(written) // 2
            outcomes.add(written[:half])
            outcomes.add(written[half:])
        assert (len(outcomes), outcomes._others.bytes) == (len(plain.all), sum(plain.sizes[kept_id] for _, kept_id, _ in plain.others))
        assert outcomes._money.bytes == plain.bytes(set(Role))
        assert [(o.time_ms, o.reply.id, o.digest) for o in outcomes_of(outcomes)] == plain.all


def answered(kind: str, number: int) -> CommandReply:
    """An outcome as a record of the log holds it."""
    short, long = (f"u{number}", "demo", f"{number:032x}"), (f"u{number}".ljust(128, "x"), "r" * 64, f"{number:064}")
    user, room, command_id = long if kind.startswith("long") else short
    replies: dict[str, Accepted | Refused] = {
        "chat": Accepted(command_id, number + 1_000),
        "hold": Accepted(command_id, number + 1_000, {"hold": number, "until_ms": 10**12 + number, "due_fen": number + 500, "discount_fen": 0}),
        "refusal": Refused(command_id, "product_not_found", f"there is no product 'p{number}' in the showcase", number + 1_000, "product", 1_000),
        "long refusal": Refused(command_id, "muted", f"you are muted until 2026: {number} " + "\U0001f600" * 300, number + 1_000, "", 1_000),
    }
    command_reply = CommandReply(room, user, number + 10**12, replies[kind], "gateway/abcdef", number + 1_000)
    return msgspec.json.decode(encode(command_reply), type=CommandReply)


@pytest.mark.parametrize("kind", ["chat", "hold", "refusal", "long refusal"])
def test_outcomes_take_no_more_memory_than_they_may(kind: str) -> None:
    """However long ids and words are, the outcomes that moved no money stay within `dedupe_bytes_max`, and come near to it."""
    outcomes = IdempotencyStore(replace(CONFIG, dedupe_count_max=1_000_000, dedupe_bytes_max=2_000_000))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(4_000):
            command_reply = answered(kind, number)
            outcomes.remember(key_of(command_reply), command_reply)
            if number % 50 == 0:
                outcomes.end_record(1_000)
        outcomes.end_record(1_000)
        del command_reply
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 1_000_000 < taken <= 2_000_000
    assert len(outcomes) < 4_000


def test_outcomes_are_no_work_for_the_garbage_collector() -> None:
    """However many are remembered, a full collection looks at some objects only."""

    def make() -> IdempotencyStore:
        outcomes = IdempotencyStore(CONFIG)
        for number in range(2_000):
            command_reply = answered("hold" if number % 2 else "refusal", number)
            outcomes.remember(key_of(command_reply), replace(command_reply, money_role=Role.viewer if number % 2 else None))
            outcomes.end_record(1_000)
        return outcomes

    assert looked_at(make) < 100


def test_a_refusal_is_kept_without_too_many_words() -> None:
    """A repeated command gets the code, the fields and the time of its refusal again, and the beginning of its words."""
    outcomes, first = IdempotencyStore(CONFIG), answered("long refusal", 1)
    outcomes.remember(key_of(first), first)
    again = outcomes.find(key_of(first))
    assert again is not None
    assert isinstance(first.reply, Refused)
    assert again.reply == replace(first.reply, detail=first.reply.detail[: DETAIL_CHARS_KEPT - 1] + "…")


def test_money_whose_outcomes_take_too_many_bytes_does_not_move() -> None:
    """Viewers may use three quarters of `dedupe_money_bytes_max`, staff all of it; what is remembered stays."""
    outcomes = IdempotencyStore(replace(CONFIG, dedupe_money_bytes_max=20_000))
    kept = 0
    for role, allowed in ((Role.viewer, 15_000), (Role.platform, 20_000)):
        while not outcomes.shortage(f"{role}-{kept}", role):
            command_reply = replace(answered("chat", kept), user=f"{role}-{kept}", money_role=role)
            outcomes.remember(key_of(command_reply), command_reply)
            outcomes.end_record(kept)
            kept += 1
        assert allowed <= outcomes._money.bytes < allowed + 1_000
    assert len(outcomes) == kept
    outcomes.end_record(WINDOW_MS + kept)
    assert (len(outcomes), outcomes._money.bytes, outcomes._viewers_bytes) == (0, 0, 0)
    assert not outcomes.shortage("vera", Role.viewer)


def test_the_first_outcome_of_an_id_stays() -> None:
    """A record that tells of an id once more, say after a longer memory was set, changes nothing."""
    state = PartitionState(EngineConfig())
    for step, result in enumerate(("first", "second")):
        command_reply = CommandReply("demo", "vera", 7, Accepted("again", 0, {"outcome": result}))
        state.fold(Record(v=1, fencing_epoch=0, step=step, from_=step, to=step + 1, time_ms=step, replies=(command_reply,)))
    assert [(o.time_ms, o.reply) for o in outcomes_of(state.outcomes)] == [(0, Accepted("again", 0, {"outcome": "first"}))]


@pytest.mark.parametrize("kept", [None, Role.viewer])
@pytest.mark.parametrize("kept_again", [None, Role.viewer])
def test_an_id_that_is_remembered_twice_keeps_its_newest_answer(kept: Role | None, kept_again: Role | None) -> None:
    """Forgetting the older one leaves the newer one known, and each counts in its share for as long as it is remembered."""
    outcomes = IdempotencyStore(CONFIG)
    for time_ms, role in ((0, kept), (500, kept_again)):
        outcomes.remember(key("twice"), CommandReply("demo", "vera", time_ms, Accepted("twice", 0), money_role=role))
        outcomes.end_record(time_ms)
    outcomes.end_record(WINDOW_MS)
    assert digest_of(outcomes.find(key("twice"))) == 500
    assert outcomes._by_user.get("vera", 0) == (1 if kept_again else 0)
    outcomes.end_record(WINDOW_MS + 500)
    assert (outcomes.find(key("twice")), len(outcomes), outcomes._by_user) == (None, 0, {})


async def test_others_never_make_money_forgotten() -> None:
    """However much is refused or said meanwhile, a repeated command that moved money gets its outcome; the money moves once."""
    config = Config(journal=JournalConfig(kind="memory", partitions=1), engine=EngineConfig(dedupe_count_max=100))
    journal = MemoryJournal(config.journal)
    async with running_engine(journal, config, Clock()):
        client = Client(journal)
        await open_demo(client)
        drop = DropRedEnvelope(1_000, 10, opens_in_ms=0)
        first = await client.accepted("demo", drop, command_id="drop-1")
        await asyncio.gather(*(client.refused("demo", CancelHold(9_999), Sender("mallory", "Mallory")) for _ in range(300)))
        again = await client.send("demo", drop, command_id="drop-1")
        assert (again.repeated, again.reply) == (True, first)
        await client.close()
    await journal.close()


async def test_money_that_could_not_be_remembered_does_not_move() -> None:
    """When viewers have used their part of `dedupe_money_max`, their commands about money are refused until the oldest are too old to be
    repeated. The platform's are not.
    """
    config = Config(journal=JournalConfig(kind="memory", partitions=1), engine=EngineConfig(dedupe_money_max=100, dedupe_window_ms=60_000))
    journal, clock = MemoryJournal(config.journal), Clock()
    async with running_engine(journal, config, clock):
        client = Client(journal)
        await open_demo(client)
        envelope = int((await client.accepted("demo", DropRedEnvelope(10_000, 200, opens_in_ms=0, open_for_ms=600_000))).result["envelope"])
        for number in range(75):
            await client.accepted("demo", GrabRedEnvelope(envelope), Sender(f"user-{number}", "U"), "grab")
        refused = await client.refused("demo", GrabRedEnvelope(envelope), Sender("late", "Late"), "grab")
        assert refused.code == "overloaded"
        await client.accepted("demo", DropRedEnvelope(100, 1), Sender("platform", "Platform", Role.platform))
        await client.accepted("demo", SendChat("chat goes on"), Sender("late", "Late"))
        assert (await client.send("demo", GrabRedEnvelope(envelope), Sender("user-7", "U"), "grab")).repeated
        clock.now_ms += 60_001
        await client.accepted("demo", SendChat("a minute later"), Sender("late", "Late"))
        await client.accepted("demo", GrabRedEnvelope(envelope), Sender("late", "Late"), "grab")
        await client.close()
    await journal.close()
