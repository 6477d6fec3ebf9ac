"""liveroom.js: its own tests under node, and its state against the rooms' own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from liveroom.features.chat.messages import DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon, StopCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, SetAnnouncement
from liveroom.features.likes.messages import SendLikes
from liveroom.features.moderation.messages import MuteUser, SetBannedWords
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion
from liveroom.features.questions.state import of as questions_of
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RemoveProduct, RequestTryOn, UnpinProduct
from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Entitlements, Personal
from liveroom.protocol.records import Sender
from liveroom.rooms.room import Decided
from tests.features.play import ANCHOR, BELLA, MODERATOR, PLATFORM, VERA, VICTOR, Play
from tests.trades import added, in_order, owned

HERE = Path(__file__).parent
NODE = shutil.which("node")
#: Fields that a client cannot know from events: when a keyframe was made.
UNKNOWN_TO_CLIENTS = {"type", "time_ms"}

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed: liveroom.js is tested in Chromium only")


def test_unit_tests_pass_under_node() -> None:
    """Gap, skip, resume, drain, close codes, retries, limits: each has its test in liveroom.test.mjs."""
    done = subprocess.run([str(NODE), "--test", str(HERE / "liveroom.test.mjs")], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("seed", range(5))
def test_folded_state_is_what_a_keyframe_would_say(seed: int) -> None:
    """A client that folds the deltas of any story has the state that a newcomer's keyframe has, and knows what its user owns."""
    play = Play(chat_interval_ms=0, chat_burst=100, questions_per_user_max=10)
    chance = Random(seed)
    for _ in range(20):
        _one_command(play, chance)
    first = [play.keyframe, owned(play.room, "vera")]
    told = len(play.story)
    frames = []
    for _ in range(250):
        play.passes(chance.choice([0, 40, 700]))
        _one_command(play, chance)
        frames += _personals(play, told) + _deltas(play, told)
        told = len(play.story)
    last = play.keyframe
    folded = _folded([*map(_as_sent, first), *frames])
    _compare(folded["state"], {**_defaults(), **msgspec.to_builtins(last)})
    mine = msgspec.convert({"type": "entitlements", **folded["entitlements"]}, Entitlements, strict=False)
    assert in_order(mine) == in_order(owned(play.room, "vera"))


def _one_command(play: Play, chance: Random) -> None:
    """A command as it may come; what the room refuses changes nothing."""
    seqs = [seq for seq, _, _ in play.story]
    someone = chance.choice([VERA, VICTOR, BELLA])
    product = chance.choice(["p1", "p2", "p3"])
    seq = chance.choice(seqs)
    choices: list[tuple[Command, Sender]] = [
        (SendChat(f"line {chance.random()}"), someone),
        (SendChat("from the anchor"), ANCHOR),
        (AskQuestion(f"question {chance.random()}?"), someone),
        (PickQuestion(chance.choice(list(questions_of(play.room).live) or [seq])), MODERATOR),
        (AnswerQuestion(chance.choice(list(questions_of(play.room).live) or [seq]), chance.choice(["", "yes"])), ANCHOR),
        (DismissQuestion(chance.choice(list(questions_of(play.room).live) or [seq])), ANCHOR),
        (DeleteMessage(seq), MODERATOR),
        (AddProduct(Product(product, f"Product {chance.randint(1, 3)}", 100)), ANCHOR),
        (RemoveProduct(product), ANCHOR),
        (PinProduct(product), MODERATOR),
        (UnpinProduct(), MODERATOR),
        (RequestTryOn(product), someone),
        (SendLikes(chance.randint(1, 50)), someone),
        (SetAnnouncement(chance.choice(["", "hello", "again"])), ANCHOR),
        (SetSlowMode(chance.choice([0, 1_000])), MODERATOR),
        (SetChatBudget(chance.choice([2, 50])), ANCHOR),
        (MuteUser("someone", 60_000), MODERATOR),
        (SetBannedWords(("gold",)), MODERATOR),
        *_deals(play, chance, someone),
        (CloseRoom(), PLATFORM),
        (OpenRoom(f"Title {chance.randint(1, 9)}"), ANCHOR),
    ]
    command, sender = chance.choice(choices)
    if not play.room.open and not isinstance(command, OpenRoom) and chance.random() < 0.5:
        command, sender = OpenRoom("Open again"), ANCHOR
    decision = play.tries(sender, command)
    assert isinstance(decision, Decided) or decision.code


def _deals(play: Play, chance: Random, someone: Sender) -> list[tuple[Command, Sender]]:
    """Commands about money that are possible now."""
    room = play.room
    envelope, coupon, sale = (
        chance.choice([0, *things]) for things in (red_envelopes_of(room).live, coupons_of(room).live, flash_sales_of(room).live)
    )
    hold = chance.choice([0, *(hold for one in flash_sales_of(room).live.values() for hold in one.holds)])
    opens_in_ms = chance.choice([0, 0, 500])
    ends: list[Command] = [CloseFlashSale(sale), StopCoupon(coupon), CancelRedEnvelope(envelope)]
    return [
        (DropRedEnvelope(100, chance.randint(1, 4), opens_in_ms=opens_in_ms, open_for_ms=5_000), ANCHOR),
        (GrabRedEnvelope(envelope), someone),
        (IssueCoupon("Less", CouponTerms(amount_fen=5), chance.randint(1, 3), 2, 5_000, chance.choice([5_000, 9_000])), ANCHOR),
        (ClaimCoupon(coupon), someone),
        (AnnounceFlashSale(chance.choice(["p1", "p2", "p3"]), 100, 4, 4, opens_in_ms, 9_000, chance.choice([1_000, 20_000])), ANCHOR),
        (ReserveStock(sale, chance.randint(1, 2)), someone),
        (ReserveStock(sale), someone),
        (ConfirmHold(hold, "p1", chance.randint(0, 1)), PLATFORM),
        (CancelHold(hold), PLATFORM),
        (RestockFlashSale(sale, 1), ANCHOR),
        (chance.choice(ends), ANCHOR),
    ]


def _deltas(play: Play, told: int) -> list[dict[str, Any]]:
    """New events as a gateway sends them to everybody: without internal and personal events and hidden chat lines."""
    news = play.story[told:]
    if not news:
        return []
    told_to_all = [(seq, event) for seq, _, event in news if event.delivery not in (Delivery.internal, Delivery.personal)]
    events = [event_object(event, seq) for seq, event in told_to_all if getattr(event, "shown", True)]
    return [{"type": "delta", "from": news[0][0], "to": news[-1][0] + 1, "time_ms": news[-1][1], "events": events}]


def _personals(play: Play, told: int) -> list[dict[str, Any]]:
    """New events that concern `vera` alone."""
    news = [(seq, time_ms, event) for seq, time_ms, event in play.story[told:] if event.delivery is Delivery.personal]
    mine = [one for one in news if getattr(one[2], "user", "") == "vera"]
    return [_as_sent(Personal(seq, time_ms, event_object(event, seq), **added(play, event))) for seq, time_ms, event in mine]


def _as_sent(frame: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(encode(frame))
    return plain


def _folded(frames: list[dict[str, Any]]) -> dict[str, Any]:
    done = subprocess.run([str(NODE), str(HERE / "fold.mjs")], input=json.dumps(frames), capture_output=True, text=True, timeout=60, check=True)
    folded: dict[str, Any] = json.loads(done.stdout)
    return folded


def _defaults() -> dict[str, Any]:
    empty: dict[str, Any] = {"announcement": "", "close_reason": "", "pinned": None, "try_ons": {}, "unique_estimated": False}
    lists = ("envelopes", "coupons", "sales", "questions", "chat")
    numbers = ("showcase_version", "showcase_count", "slow_mode_ms", "chat_budget", "likes", "viewers", "unique", "peak")
    return empty | dict.fromkeys(numbers, 0) | {name: [] for name in lists}


def _compare(state: dict[str, Any], keyframe: dict[str, Any]) -> None:
    """Field by field; a keyframe holds only the last lines and questions, of which the client has at least these."""
    for name, value in keyframe.items():
        if name in UNKNOWN_TO_CLIENTS:
            continue
        mine = state[name]
        if name in ("chat", "questions"):
            mine = [_plain(item) for item in mine if not value or item["seq"] >= value[0]["seq"]]
            value = [_plain(item) for item in value]
        if name == "coupons":
            value = [{"users_per_address_max": 0, **item} for item in value]
        if name == "envelopes":
            value = [{"open": False, "condition": {}, "users_per_address_max": 0, **item} for item in value]
        if name == "sales":
            value = [{"users_per_address_max": 0, **item} for item in value]
        assert mine == value, name


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Without what has its default, as `omit_defaults` leaves it out."""
    defaults = {"role": "viewer", "buyer": False, "state": "asked", "answer": "", "answered_seq": 0}
    return {name: value for name, value in item.items() if name not in defaults or value != defaults[name]}
