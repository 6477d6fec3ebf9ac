"""No record is larger than `journal.record_bytes_max`, whatever happens in it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.config.settings import settings
from liveroom.console.view import RoomView
from liveroom.engine.keyframes import KEYFRAMES_PER_RECORD_MAX
from liveroom.engine.sizes import RECORD_HEAD_BYTES, ROOM_DUE_BYTES_MAX, SPAN_HEAD_BYTES
from liveroom.engine.state_transfer import detail_parts
from liveroom.engine.step import measure
from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import ChatSent, DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon, RedeemCoupon, ReleaseCoupon, StopCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RequestKeyframe, SetAnnouncement
from liveroom.features.likes.messages import ReportLikes, SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SetBannedWords, UnbanUser, UnmuteUser
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion, Question
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, EnvelopeCondition, GrabRedEnvelope, RedEnvelopeClosed
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RemoveProduct, RequestTryOn, UnpinProduct
from liveroom.journal.base import PAYLOAD_CHARS_MAX, CommandBatch, DeadLetter
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import COMMANDS, Command
from liveroom.protocol.frames import Accepted, Refused, RoomDetail
from liveroom.protocol.records import CommandReply, Entry, Record, Request, Sender
from liveroom.rooms.keyframe import KEYFRAME_BYTES_MAX
from liveroom.rooms.room import Decided, decide, decide_due, detail
from tests.engine.conftest import Client, Clock, running_engine
from tests.engine.full import ANCHOR, DAY_MS, ORDER, PLATFORM, REASON, RULES, START_MS, TITLE, URL, WIDE, Full, sender, user

#: The least that `journal.record_bytes_max` may be set to.
RECORD_BYTES_LEAST = 600_000
BACKEND = Sender("g" * 128, "gateway", backend=True)
Attempt = tuple[Sender, Command]


def request_of(full: Full, who: Sender, command: Command) -> Request:
    """With an id and a source that take as much room as they may."""
    return Request(ORDER, full.room, who, command, "\x01" * 200, 2**53 - 1)


def added_bytes(full: Full, who: Sender, command: Command) -> int:
    """The bytes that a command adds to a record: its reply and its events."""
    request = request_of(full, who, command)
    decision = decide(full.now, request, full.now_ms, full.rng, full.rules)
    reply: Accepted | Refused
    events: tuple[object, ...] = ()
    if isinstance(decision, Decided):
        reply, events = Accepted(request.id, full.now.seq, decision.result), decision.events
    else:
        reply = Refused(request.id, decision.code, decision.detail, full.now.seq, decision.field, decision.retry_after_ms)
    command_reply = CommandReply(request.room, who.user, 2**32, reply, request.source, request.connection, repeated=True, money_role=Role.moderator)
    return len(encode(command_reply)) + len(encode(events))


def bytes_max(full: Full, who: Sender, command: Command) -> int:
    """The bound that is reckoned with before the command is decided."""
    return measure(CommandBatch(0, (request_of(full, who, command),))).bytes_max


def closing(full: Full) -> Attempt:
    for _ in range(8):
        full.drops()
    for _ in range(1_000):
        full.issues()
    full.does(ANCHOR, AddProduct(full.product()))
    for _ in range(200):
        full.sells()
    return ANCHOR, CloseRoom(REASON)


def last_share(full: Full) -> Attempt:
    envelope = full.drops()
    return sender(9), GrabRedEnvelope(envelope)


def refused_for_a_keyword(full: Full) -> Attempt:
    command = DropRedEnvelope(100, 1, opens_in_ms=0, condition=EnvelopeCondition(WIDE * 50))
    return sender(9), GrabRedEnvelope(int(full.does(ANCHOR, command)["envelope"]))


def banned(full: Full) -> Attempt:
    full.does(ANCHOR, BanUser(user(9), DAY_MS, REASON))
    return sender(9), SendChat("hello")


def pinned_anew(full: Full) -> Attempt:
    full.does(ANCHOR, AddProduct(Product(full.product().id, "old", 1)))
    full.does(ANCHOR, PinProduct(full.product().id))
    return ANCHOR, AddProduct(full.product())


def with_product(command: Callable[[Full], Command], who: Sender = ANCHOR, *, pinned: bool = False) -> Callable[[Full], Attempt]:
    def prepare(full: Full) -> Attempt:
        full.does(ANCHOR, AddProduct(full.product()))
        if pinned:
            full.does(ANCHOR, PinProduct(full.product().id))
        return who, command(full)

    return prepare


def asked(command: Callable[[int], Command]) -> Callable[[Full], Attempt]:
    return lambda full: (ANCHOR, command(int(full.does(sender(9), AskQuestion(WIDE * 300))["question"])))


def with_hold(command: Callable[[int], Command], who: Callable[[], Sender]) -> Callable[[Full], Attempt]:
    def prepare(full: Full) -> Attempt:
        full.does(ANCHOR, AddProduct(full.product()))
        return who(), command(full.reserves(full.sells(), sender(9), coupon=full.issues()))

    return prepare


def with_code(full: Full) -> str:
    return str(full.does(sender(9), ClaimCoupon(full.issues()))["code"])


def released(full: Full) -> Attempt:
    code = with_code(full)
    full.does(PLATFORM, RedeemCoupon(code, ORDER, 100_000_000_000))
    return PLATFORM, ReleaseCoupon(code, ORDER)


ATTEMPTS: dict[str, Callable[[Full], Attempt]] = {
    "open_room": lambda full: ((full.does(ANCHOR, CloseRoom()) and ANCHOR) or ANCHOR, OpenRoom(TITLE)),
    "close_room": closing,
    "set_announcement": lambda full: (ANCHOR, SetAnnouncement("\n" + WIDE * 999)),
    "send_chat": lambda full: (sender(9), SendChat(WIDE * 300)),
    "delete_message": lambda full: (ANCHOR, DeleteMessage(int(full.does(sender(9), SendChat("hello"))["message"]))),
    "mute_user": lambda full: (ANCHOR, MuteUser(user(9), DAY_MS, REASON)),
    "unmute_user": lambda full: ((full.does(ANCHOR, MuteUser(user(9), DAY_MS)) and ANCHOR) or ANCHOR, UnmuteUser(user(9))),
    "ban_user": lambda full: (ANCHOR, BanUser(user(9), DAY_MS, REASON)),
    "unban_user": lambda full: ((full.does(ANCHOR, BanUser(user(9), DAY_MS)) and ANCHOR) or ANCHOR, UnbanUser(user(9))),
    "set_slow_mode": lambda full: (ANCHOR, SetSlowMode(3_600_000)),
    "set_banned_words": lambda full: (ANCHOR, SetBannedWords(tuple(f"{number:04}" + WIDE * 46 for number in range(500)))),
    "set_chat_budget": lambda full: (ANCHOR, SetChatBudget(1_000)),
    "ask_question": lambda full: (sender(9), AskQuestion(WIDE * 300)),
    "pick_question": asked(PickQuestion),
    "answer_question": asked(lambda question: AnswerQuestion(question, WIDE * 1_000)),
    "dismiss_question": asked(DismissQuestion),
    "send_likes": lambda full: (sender(9), SendLikes(50)),
    "report_likes": lambda full: (BACKEND, ReportLikes(10_000_000)),
    "add_product": pinned_anew,
    "remove_product": with_product(lambda full: RemoveProduct(full.product().id), pinned=True),
    "pin_product": with_product(lambda full: PinProduct(full.product().id)),
    "unpin_product": with_product(lambda full: UnpinProduct(), pinned=True),
    "request_try_on": with_product(lambda full: RequestTryOn(full.product().id), sender(9)),
    "report_audience": lambda full: (BACKEND, ReportAudience("g" * 64, 10_000_000, tuple(range(2**53 - 1_000, 2**53)))),
    "request_keyframe": lambda full: (BACKEND, RequestKeyframe()),
    "drop_red_envelope": lambda full: (
        ANCHOR,
        DropRedEnvelope(100_000_000_000, 10_000, "lucky", TITLE, 0, DAY_MS, EnvelopeCondition(WIDE * 50, 7_200), 10_000),
    ),
    "grab_red_envelope": last_share,
    "grab_red_envelope, refused": refused_for_a_keyword,
    "any command of who is banned": banned,
    "cancel_red_envelope": lambda full: (ANCHOR, CancelRedEnvelope(int(full.does(ANCHOR, DropRedEnvelope(10**11, 1, title=TITLE))["envelope"]))),
    "issue_coupon": lambda full: (ANCHOR, IssueCoupon(TITLE, CouponTerms(0, 50, 10**11, 10**11), 1_000_000, 100, DAY_MS, DAY_MS, 10_000)),
    "claim_coupon": lambda full: (sender(9), ClaimCoupon(full.issues())),
    "stop_coupon": lambda full: (ANCHOR, StopCoupon(full.issues())),
    "redeem_coupon": lambda full: (PLATFORM, RedeemCoupon(with_code(full), ORDER, 100_000_000_000)),
    "release_coupon": released,
    "announce_flash_sale": with_product(lambda full: AnnounceFlashSale(full.product().id, 10**11, 1_000_000, 1_000, 0, DAY_MS, 3_600_000, 10_000)),
    "reserve_stock": with_product(lambda full: ReserveStock(full.sells(), 1_000, with_code(full)), sender(9)),
    "confirm_hold": with_hold(lambda hold: ConfirmHold(hold, ORDER), lambda: PLATFORM),
    "cancel_hold": with_hold(CancelHold, lambda: sender(9)),
    "restock_flash_sale": with_product(lambda full: RestockFlashSale(full.sells(), 1_000)),
    "close_flash_sale": with_product(lambda full: CloseFlashSale(full.sells())),
}


def test_every_command_is_attempted() -> None:
    """A new command has to be tried at its limits, too."""
    assert set(COMMANDS) <= set(ATTEMPTS)


@pytest.mark.parametrize("short", [False, True], ids=["long names", "short names"])
@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_command_adds_more_than_is_reckoned_with(name: str, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds with every text at its longest, in a room where everything is at its limit, for senders with long and short names."""
    if short:
        here = sys.modules[__name__]
        for actor in ("ANCHOR", "PLATFORM", "BACKEND"):
            monkeypatch.setattr(here, actor, replace(getattr(here, actor), user=actor[0], name="N"))
        monkeypatch.setattr(here, "sender", lambda number, real=sender: replace(real(number), user=f"s{number}", name="N"))
        monkeypatch.setattr(here, "user", lambda number: f"s{number}")
    full = Full()
    who, command = ATTEMPTS[name](full)
    if "refused" not in name and "banned" not in name:
        decision = decide(full.now, request_of(full, who, command), full.now_ms, full.rng, full.rules)
        assert isinstance(decision, Decided), decision
        assert decision.events or isinstance(command, RequestKeyframe), "the attempt is a real one"
    assert added_bytes(full, who, command) <= bytes_max(full, who, command)


def test_every_envelope_may_end_in_one_batch() -> None:
    """The last share of each is grabbed in it: the bound of the batch holds them all."""
    full = Full()
    envelopes = [full.drops() for _ in range(8)]
    attempts = [(sender(9), GrabRedEnvelope(envelope)) for envelope in envelopes for _ in range(2)]
    batch = CommandBatch(0, tuple(request_of(full, *attempt) for attempt in attempts))
    added = 0
    for who, command in attempts:
        added += added_bytes(full, who, command)
        if command.envelope in red_envelopes_of(full.now).live:
            full.does(who, command)
    assert not red_envelopes_of(full.now).live
    assert added <= measure(batch).bytes_max


def test_what_time_adds_to_a_room_is_bounded() -> None:
    """Everything that a room may have is due at once: gateways, envelopes, coupons, sales and as many holds as expire together."""
    full = Full()
    full.does(ANCHOR, AddProduct(full.product()))
    full.issues(stock=600, valid_ms=2 * DAY_MS)
    (coupon,) = coupons_of(full.now).live
    sales = [full.sells(hold_ms=DAY_MS // 24) for _ in range(2)]
    for number in range(600):
        full.reserves(sales[number % 2], sender(number), coupon=coupon)
    for _ in range(198):
        full.does(ANCHOR, AnnounceFlashSale(full.product().id, 1, 1, 1, 1_000, 1_000))
    for _ in range(999):
        full.issues(valid_ms=DAY_MS)
    for number in range(1_000):
        full.does(BACKEND, ReportAudience(f"{number}".rjust(64, "g"), 10_000))
    for number in range(8):
        full.drops(opens_in_ms=number % 2)
    full.now_ms += DAY_MS
    due = decide_due(full.now, full.now_ms)
    assert {type(event).__name__ for event in due} >= {"AudienceReported", "RedEnvelopeClosed", "CouponExpired", "CouponReleased", "HoldExpired"}
    assert ROOM_DUE_BYTES_MAX * 0.7 < len(encode(due)) <= ROOM_DUE_BYTES_MAX


def test_the_smallest_record_holds_what_comes_in_one_piece() -> None:
    """Each part that cannot be split fits into the smallest record that may be set: a timer's events, one command, all keyframes of a record."""
    (setting,) = (s for s in settings() if s.path == "journal.record_bytes_max")
    least = RECORD_BYTES_LEAST - RECORD_HEAD_BYTES
    assert f"from {RECORD_BYTES_LEAST} " in setting.expected
    assert least >= ROOM_DUE_BYTES_MAX + SPAN_HEAD_BYTES
    assert least >= KEYFRAMES_PER_RECORD_MAX * (KEYFRAME_BYTES_MAX + 1)
    for name in ("set_banned_words", "close_room", "report_audience", "add_product"):
        full = Full()
        assert bytes_max(full, *ATTEMPTS[name](full)) <= least


class Scales(MemoryJournal):
    """Measures every appended record, and counts the records in flight."""

    def __init__(self, config: JournalConfig) -> None:
        super().__init__(config)
        self.bytes_max = 0
        self.records: list[Record] = []
        self.under_way = self.under_way_max = 0
        self.dead: list[DeadLetter] = []

    def append(self, partition: int, entry: Entry) -> asyncio.Future[int]:
        future = super().append(partition, entry)
        if isinstance(entry, Record):
            self.bytes_max = max(self.bytes_max, len(encode(entry)))
            self.records.append(entry)
            self.under_way += 1
            self.under_way_max = max(self.under_way_max, self.under_way)
            future.add_done_callback(self._landed)
        return future

    def _landed(self, _: object) -> None:
        self.under_way -= 1

    async def write_dead_letter(self, letter: DeadLetter) -> None:
        self.dead.append(letter)


CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=1, record_bytes_max=RECORD_BYTES_LEAST),
    engine=EngineConfig(snapshot_records_max=1_000_000, snapshot_interval_ms=3_600_000, dedupe_count_max=10_000_000, steps_in_flight_max=3),
    rooms=RULES,
)


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Scales, Client, Clock]]:
    """An engine on scales; at the end no record was too large and no more were under way than may be."""
    journal, clock = Scales(CONFIG.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, CONFIG, clock):
        yield journal, client, clock
        assert journal.bytes_max <= RECORD_BYTES_LEAST
        assert journal.under_way_max <= CONFIG.engine.steps_in_flight_max
    await client.close()
    await journal.close()


async def many(client: Client, attempts: Iterable[tuple[str, Sender, Command]]) -> list[CommandReply]:
    """Send all at once; all must be answered."""
    return await asyncio.gather(*(client.send(room, command, who) for room, who, command in attempts))


async def test_envelopes_of_many_rooms_that_close_at_once_fill_more_than_one_record() -> None:
    """One step serves its most rooms, each with the most envelopes and the longest names of winners."""
    rooms = [f"room-{number}".ljust(64, "x") for number in range(60)]
    drop = DropRedEnvelope(100_000, 10, "lucky", TITLE, 0, 1_000)
    async with stage() as (journal, client, clock):
        await many(client, [(room, ANCHOR, OpenRoom(TITLE)) for room in rooms])
        dropped = await many(client, [(room, ANCHOR, drop) for room in rooms for _ in range(8)])
        numbers = [(one.room, int(one.reply.result["envelope"])) for one in dropped]  # type: ignore[union-attr]
        grabs = [(room, sender(n), GrabRedEnvelope(number)) for room, number in numbers for n in range(5)]
        assert all(isinstance(command_reply.reply, Accepted) for command_reply in await many(client, grabs))
        clock.now_ms += 1_000
        await many(client, [(rooms[0], sender(1), SendChat("wake up"))])
        await client.until(lambda: sum(isinstance(e, RedEnvelopeClosed) for room in rooms for _, e in client.events(room)) == 8 * len(rooms))
        closings = [r for r in journal.records if any(isinstance(e, RedEnvelopeClosed) for s in r.rooms.values() for e in s.events)]
        assert len(closings) > 1, "all of them would have been too much for one"


async def test_keyframes_that_do_not_fit_come_in_a_record_of_their_own() -> None:
    """Rooms with as large a keyframe as there is, which all change in a step that is full of words."""
    rooms = [f"room-{number}" for number in range(KEYFRAMES_PER_RECORD_MAX)]
    drop = DropRedEnvelope(100_000, 10, "lucky", TITLE, 600_000, 1_000, EnvelopeCondition(WIDE * 50))
    async with stage() as (journal, client, clock):
        await many(client, [(room, ANCHOR, OpenRoom(TITLE)) for room in rooms])
        await many(client, [(room, ANCHOR, SetAnnouncement(WIDE * 1_000)) for room in rooms])
        await many(client, [(room, ANCHOR, drop) for room in rooms for _ in range(8)])
        before = len(journal.records)
        clock.now_ms += 60_000
        await many(client, [(room, sender(n), AskQuestion(WIDE * 300)) for n in range(16) for room in rooms])
        await client.until(lambda: len({k.room for r in journal.records[before:] for k in r.keyframes}) == len(rooms))
        assert any(r.keyframes and not r.rooms and not r.replies for r in journal.records[before:]), "it would have been too much for one"


async def test_a_batch_larger_than_a_record_is_answered_as_far_as_there_is_room() -> None:
    """The other commands are refused for now, and can be sent again under the same ids."""
    words = [SetBannedWords(tuple(f"{number:02}{i:03}" + WIDE * 45 for i in range(500))) for number in range(12)]
    async with stage() as (journal, client, _):
        await many(client, [("demo", ANCHOR, OpenRoom(TITLE))])
        requests = [Request(f"w{number}", "demo", ANCHOR, command, "mine", number) for number, command in enumerate(words)]
        done: dict[str, Accepted | Refused] = {}
        tries = 0
        while len(done) < len(words):
            tries += 1
            before = len(journal.records)
            await journal.send_commands(0, [request for request in requests if request.id not in done])
            await client.until(lambda: any(r.replies for r in client.records[0][-1:]) and len(journal.records) > before)  # noqa: B023
            replies = [a for r in journal.records[before:] for a in r.replies if a.source == "mine"]
            assert {a.reply.code for a in replies if isinstance(a.reply, Refused)} <= {"overloaded"}
            accepted = {a.reply.id: a.reply for a in replies if isinstance(a.reply, Accepted)}
            assert accepted, "some get through each time"
            done |= accepted
        assert tries > 1


async def test_a_batch_that_no_record_could_even_refuse_is_set_aside() -> None:
    """Somebody else's program wrote it; the partition goes on."""
    async with stage() as (journal, client, _):
        await many(client, [("demo", ANCHOR, OpenRoom(TITLE))])
        await journal.send_commands(0, [Request(f"x{n}", "demo", sender(n), SendChat("hi"), "\x01" * 200) for n in range(500)])
        assert isinstance((await client.send("demo", SetAnnouncement("fine"), ANCHOR)).reply, Accepted)
        (letter,) = journal.dead
        assert letter.reason == "too_large: replies to all of the list would not fit into a record"
        assert letter.payload.startswith('[{"id":"x0"')
        assert '{"id":"x1"' in letter.payload, "more than the first of them"
        assert len(letter.payload) == PAYLOAD_CHARS_MAX


async def test_details_wait_for_their_turn() -> None:
    """However many are asked for at once, no more records are under way than may be, and commands are answered in between."""
    rooms = [f"room-{number}" for number in range(100)]
    async with stage() as (journal, client, _):
        await many(client, [(room, ANCHOR, OpenRoom(TITLE)) for room in rooms])
        await journal.send_commands(0, [Request(f"k{n}", room, BACKEND, RequestKeyframe()) for n, room in enumerate(rooms)])
        chats = await many(client, [(room, sender(1), SendChat("hello")) for room in rooms[:20]])
        assert all(isinstance(command_reply.reply, Accepted) for command_reply in chats)
        await client.until(lambda: sum(len(r.details) for r in client.records[0]) == len(rooms))
        first = next(i for i, r in enumerate(journal.records) if r.details)
        said = next(i for i, r in enumerate(journal.records) if any(isinstance(e, ChatSent) for s in r.rooms.values() for e in s.events))
        assert said <= first + 2


async def test_a_detail_larger_than_a_record_comes_in_parts_with_nothing_in_between() -> None:
    """A reader of the parts ends with the room's exact state."""
    async with stage() as (journal, client, _):
        await many(client, [("demo", ANCHOR, OpenRoom(TITLE))])
        products = [Product(f"{number}".rjust(64, "p"), TITLE, 1, URL, URL) for number in range(400)]
        await many(client, [("demo", ANCHOR, AddProduct(product)) for product in products])
        await many(client, [("demo", ANCHOR, BanUser(user(n), DAY_MS, REASON)) for n in range(1, 51)])
        await journal.send_commands(0, [Request("k", "demo", BACKEND, RequestKeyframe(entitlements=True))])
        await many(client, [("demo", sender(n + 51), SendChat("hello")) for n in range(50)])
        await client.until(lambda: sum(len(d.products) for r in client.records[0] for d in r.details) == len(products))
        at = [i for i, r in enumerate(journal.records) if r.details]
        assert len(at) > 2
        assert at == list(range(at[0], at[0] + len(at)))
        parts = [detail for i in at for detail in journal.records[i].details]
        assert [part.continues for part in parts] == [False] + [True] * (len(parts) - 1)
        assert len(parts[0].banned) == 50
        view = RoomView(0, parts[0], 50)
        for part in parts[1:]:
            view.go_on(part)
        assert list(view.details["products"]) == products


def test_parts_of_a_detail_are_the_detail() -> None:
    """Whatever is in it, in its order, and none larger than is allowed."""
    full = Full()
    whole = replace(
        full_detail(full),
        banned={user(n): START_MS for n in range(3_000)},
        muted={user(n): START_MS for n in range(3_000, 6_000)},
        products=tuple(full.product(n) for n in range(200)),
        questions=tuple(Question(n, user(n), WIDE * 64, WIDE * 300, "answered", WIDE * 1_000) for n in range(300)),
        banned_words=tuple(f"{n:04}" + WIDE * 46 for n in range(500)),
        entitlements=7,
    )
    for limit in (RECORD_BYTES_LEAST, 2 * RECORD_BYTES_LEAST, 10**8):
        parts = list(detail_parts(whole, limit))
        assert max(len(encode(part)) for part in parts) <= limit
        assert len(parts) == 1 or sum(len(encode(part)) for part in parts) > (len(parts) - 1) * limit * 0.9, "they are filled"
        joined = parts[0]
        for part in parts[1:]:
            assert part.continues
            assert (part.keyframe, part.entitlements) == (whole.keyframe, 7)
            joined = replace(
                joined,
                banned=joined.banned | part.banned,
                muted=joined.muted | part.muted,
                products=joined.products + part.products,
                questions=joined.questions + part.questions,
                banned_words=joined.banned_words + part.banned_words,
            )
        assert joined == whole


def full_detail(full: Full) -> RoomDetail:
    return detail(full.room, full.now, full.now_ms, full.rules)
