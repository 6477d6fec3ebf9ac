"""The view that the console folds equals the engine's."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from liveroom.config.schema import RoomsConfig
from liveroom.console.view import RoomView
from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon, StopCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, SetAnnouncement
from liveroom.features.likes.messages import SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SetBannedWords, UnbanUser, UnmuteUser
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RemoveProduct, RequestTryOn, UnpinProduct
from liveroom.journal.partition import partition_of
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Request, Sender
from liveroom.rooms.room import Refusal, RoomState, decide, decide_due, detail, evolve
from tests.console.live import SeenJournal, config_of, engine_on, serve, until, with_engine
from tests.readers import Readers

USERS = [Sender(f"u{i}", f"User {i}", role) for i, role in enumerate([Role.anchor, Role.moderator, Role.platform, *[Role.viewer] * 6])]
#: With more lines than a story has: a keyframe fills up after a deletion with older lines than the console keeps.
RULES = RoomsConfig(questions_per_user_max=20, chat_lines_kept=200)


def any_command(rng: random.Random, seq: int) -> Command:
    """Some command; many will be refused."""
    user, product, named = f"u{rng.randrange(12)}", f"p{rng.randrange(5)}", rng.randrange(seq + 1)
    makers: list[Any] = [
        lambda: OpenRoom(f"title {rng.randrange(3)}"),
        lambda: CloseRoom() if rng.random() < 0.1 else SendChat("hello"),
        lambda: SetAnnouncement(rng.choice(["", "a", "b"])),
        lambda: SendChat(f"line {rng.random()}"),
        lambda: DeleteMessage(named),
        lambda: MuteUser(user, rng.choice([1_000, 20_000])),
        lambda: UnmuteUser(user),
        lambda: BanUser(user, rng.choice([1_000, 20_000])),
        lambda: UnbanUser(user),
        lambda: SetSlowMode(rng.choice([0, 1_000])),
        lambda: SetBannedWords(tuple(rng.sample(["x1", "x2", "x3"], rng.randrange(3)))),
        lambda: SetChatBudget(rng.randrange(1, 50)),
        lambda: AskQuestion(f"question {rng.random()}"),
        lambda: PickQuestion(named),
        lambda: AnswerQuestion(named, "yes"),
        lambda: DismissQuestion(named),
        lambda: SendLikes(rng.randrange(1, 9)),
        lambda: AddProduct(Product(product, f"Product {rng.randrange(3)}", rng.randrange(9))),
        lambda: RemoveProduct(product),
        lambda: PinProduct(product),
        lambda: UnpinProduct(),
        lambda: RequestTryOn(product),
        lambda: ReportAudience(f"g{rng.randrange(3)}", rng.randrange(9), (rng.randrange(50),)),
    ]
    command: Command = rng.choice(makers)()
    return command


def any_deal(rng: random.Random, state: RoomState) -> Command:
    """Some command about money; many will be refused."""
    envelope, coupon, sale = (
        rng.choice([0, *things]) for things in (red_envelopes_of(state).live, coupons_of(state).live, flash_sales_of(state).live)
    )
    hold = rng.choice([0, *(hold for one in flash_sales_of(state).live.values() for hold in one.holds)])
    makers: list[Any] = [
        lambda: DropRedEnvelope(rng.randrange(5, 99), rng.randrange(1, 5), opens_in_ms=rng.choice([0, 3_000]), open_for_ms=20_000),
        lambda: GrabRedEnvelope(envelope),
        lambda: CancelRedEnvelope(envelope),
        lambda: IssueCoupon("Less", CouponTerms(amount_fen=5), rng.randrange(1, 4), 2, 5_000, rng.choice([5_000, 20_000])),
        lambda: ClaimCoupon(coupon),
        lambda: StopCoupon(coupon),
        lambda: AnnounceFlashSale(f"p{rng.randrange(5)}", 100, rng.randrange(1, 5), 3, rng.choice([0, 3_000]), 20_000, rng.choice([1_000, 60_000])),
        lambda: ReserveStock(sale, rng.randrange(1, 3)),
        lambda: ReserveStock(sale),
        lambda: ConfirmHold(hold, "p1", rng.randrange(2)),
        lambda: CancelHold(hold),
        lambda: RestockFlashSale(sale, 1),
        lambda: CloseFlashSale(sale) if rng.random() < 0.3 else ReserveStock(sale),
    ]
    command: Command = rng.choice(makers)()
    return command


def comparable(view: RoomView) -> dict[str, Any]:
    """Everything that can be read of a room."""
    return {**asdict(replace(view.keyframe, time_ms=0)), "details": view.details}


@pytest.mark.parametrize("seed", range(25))
def test_folding_events_gives_what_the_engine_shows(seed: int) -> None:
    """After any story, in records of any size, console and client have the engine's state of every feature."""
    rng = random.Random(seed)
    state: RoomState | None = None
    readers: Readers | None = None
    now_ms = 1_000
    for step in range(400):
        now_ms += rng.randrange(2_000)
        before, events = state.seq if state else 0, []
        for event in decide_due(state, now_ms) if state else ():
            state = evolve(state, event, state.seq if state else 0, now_ms)
            events.append(event)
        for _ in range(rng.randrange(1, 4)):
            sender = rng.choice(USERS)
            command = any_deal(rng, state) if state and rng.random() < 0.4 else any_command(rng, state.seq if state else 0)
            if isinstance(command, ReportAudience):
                sender = Sender("gateway", "gateway", backend=True)
            decision = decide(state, Request(f"{step}", "r1", sender, command), now_ms, rng, RULES)
            if isinstance(decision, Refusal):
                continue
            for event in decision.events:
                state = evolve(state, event, state.seq if state else 0, now_ms)
                events.append(event)
        if state is None or not events:
            continue
        truth = detail("r1", state, now_ms, RULES)
        if readers is None:
            readers = Readers(truth, RULES.chat_lines_kept)
        else:
            readers.take(before, tuple(events), now_ms)
        readers.agree_with(truth)
    assert state is not None
    assert state.seq > 50


async def test_a_directory_is_rebuilt_from_snapshot_and_tail() -> None:
    """A console that starts on an old journal knows every room as the one did that saw it all happen."""
    config = with_engine(config_of(), snapshot_records_max=10, snapshot_interval_ms=1_000)
    journal = SeenJournal(config.journal)
    rng = random.Random(3)
    async with engine_on(journal, config), serve(config, journal=journal) as live:
        for room in ("r1", "r2", "r3"):
            for i in range(60):
                sender = rng.choice(USERS[:3])
                request = Request(f"{room}-{i}", room, sender, OpenRoom("t") if i == 0 else any_command(rng, i))
                await journal.send_commands(partition_of(room, 2), [request])
        await until(lambda: all(journal._partitions[p].snapshots for p in range(2)))
        await live.do("set_announcement", {"text": "after the snapshot"})
        async with serve(config, journal=journal) as other:
            assert len(other.console._directory) == len(live.console._directory) == 3
            for room in ("r1", "r2", "r3"):
                one, two = (console._directory.find(room) for console in (live.console, other.console))
                assert one is not None
                assert two is not None
                assert comparable(one) == comparable(two)
            assert (await other.get("/v1/rooms/r1")).json["announcement"] == "after the snapshot"
            assert (await other.send("set_announcement", {"text": "new life"})).status == 200
    await journal.close()
