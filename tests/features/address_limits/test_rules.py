"""Limits per network address: of envelopes, coupons and flash sales, counted where something is got."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.address_limits.state import of as address_limits_of
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon, StopCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from liveroom.rooms.room import Refusal, encode_state
from tests.features.play import ANCHOR, PLATFORM, SHIRT, Play

HOME, WORK = "000000000000a0e1", "000000000000b0e2"
ANN, BEN, CAT, DAN = (Sender(name, name.title(), address_hash=HOME) for name in ("ann", "ben", "cat", "dan"))
UNKNOWN = Sender("una", "Una")


class Fair:
    """A room with one thing on offer, that one user or two of one address may have some of."""

    def __init__(self, kind: str, per_address: int, *, per_user: int = 1) -> None:
        self.play = Play()
        self.play.adds(SHIRT)
        commands: dict[str, Command] = {
            "envelope": DropRedEnvelope(1_000, 6, opens_in_ms=0, users_per_address_max=per_address),
            "coupon": IssueCoupon("Off", CouponTerms(10), 6, per_user, users_per_address_max=per_address),
            "sale": AnnounceFlashSale("shirt", 100, 6, per_user, 0, hold_ms=10_000, users_per_address_max=per_address),
        }
        self.thing = int(self.play.does(ANCHOR, commands[kind])[kind])
        claims: dict[str, Command] = {"envelope": GrabRedEnvelope(self.thing), "coupon": ClaimCoupon(self.thing), "sale": ReserveStock(self.thing)}
        self.claim = claims[kind]

    def tries(self, sender: Sender) -> str:
        """Empty when the sender gets some of it, else why not."""
        decision = self.play.tries(sender, self.claim)
        return decision.code if isinstance(decision, Refusal) else ""

    def counted(self) -> list[AddressCounted]:
        return [event for _, _, event in self.play.story if isinstance(event, AddressCounted)]


KINDS = pytest.mark.parametrize("kind", ["envelope", "coupon", "sale"])


@KINDS
def test_so_many_users_of_one_address_may_have_some(kind: str) -> None:
    """The next one is refused; users elsewhere are not."""
    fair = Fair(kind, 2)
    assert [fair.tries(sender) for sender in (ANN, BEN, CAT, replace(DAN, address_hash=WORK), CAT)] == ["", "", "address_limit", "", "address_limit"]
    assert [(event.item, event.user, event.address_hash) for event in fair.counted()] == [
        (fair.thing, "ann", HOME),
        (fair.thing, "ben", HOME),
        (fair.thing, "dan", WORK),
    ]


@KINDS
def test_who_comes_without_an_address_is_not_counted(kind: str) -> None:
    """Nor refused, however full the others' addresses are."""
    fair = Fair(kind, 1)
    assert [fair.tries(sender) for sender in (ANN, UNKNOWN, replace(UNKNOWN, user="ulf"), BEN)] == ["", "", "", "address_limit"]
    assert [event.user for event in fair.counted()] == ["ann"]


@KINDS
def test_without_a_limit_nothing_is_counted(kind: str) -> None:
    """No event and no state more than before."""
    fair = Fair(kind, 0)
    assert [fair.tries(sender) for sender in (ANN, BEN, CAT, DAN)] == [""] * 4
    assert not fair.counted()
    assert "address_limits" not in msgspec.json.decode(encode_state(fair.play.room))


@KINDS
def test_a_winner_that_asks_again_is_told_of_the_winning(kind: str) -> None:
    """Not of the address, which is full by then."""
    fair = Fair(kind, 1)
    assert fair.tries(ANN) == ""
    assert fair.tries(ANN) == ("already_grabbed" if kind == "envelope" else "per_user_limit")


@pytest.mark.parametrize("kind", ["coupon", "sale"])
def test_users_count_and_not_what_they_have(kind: str) -> None:
    """A user who has some already may have more, up to the limit per user."""
    fair = Fair(kind, 1, per_user=3)
    assert [fair.tries(sender) for sender in (ANN, ANN, BEN, ANN, ANN)] == ["", "", "address_limit", "", "per_user_limit"]


@pytest.mark.parametrize("kind", ["coupon", "sale"])
def test_a_user_counts_at_every_address_where_something_was_got(kind: str) -> None:
    """Moving on does not make room at either."""
    fair = Fair(kind, 1, per_user=2)
    assert [fair.tries(sender) for sender in (ANN, replace(ANN, address_hash=WORK))] == ["", ""]
    assert [fair.tries(replace(BEN, address_hash=mark)) for mark in (HOME, WORK)] == ["address_limit"] * 2


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_an_unpaid_hold_gives_its_place_back(how: str) -> None:
    """Then the next user of that address may have one."""
    fair = Fair("sale", 1)
    hold = int(fair.play.does(ANN, fair.claim)["hold"])
    assert fair.tries(BEN) == "address_limit"
    if how == "expired":
        fair.play.passes(10_000)
    else:
        fair.play.does(ANN, CancelHold(hold))
    assert [fair.tries(sender) for sender in (BEN, ANN)] == ["", "address_limit"]


def test_a_user_counts_until_the_last_of_the_unpaid_holds_is_resolved() -> None:
    """Each hold has a place of its own in the count."""
    fair = Fair("sale", 1, per_user=2)
    holds = [int(fair.play.does(ANN, fair.claim)["hold"]) for _ in range(2)]
    fair.play.does(ANN, CancelHold(holds[0]))
    assert fair.tries(BEN) == "address_limit"
    fair.play.does(ANN, CancelHold(holds[1]))
    assert fair.tries(BEN) == ""


def test_what_was_bought_counts_on() -> None:
    """Also when only a part of the hold was paid."""
    fair = Fair("sale", 1, per_user=2)
    hold = int(fair.play.does(ANN, ReserveStock(fair.thing, 2))["hold"])
    fair.play.does(PLATFORM, ConfirmHold(hold, "p1", 1))
    assert fair.tries(BEN) == "address_limit"


def test_of_what_is_over_no_address_is_kept() -> None:
    """A stopped coupon, a closed sale whose holds live on, an envelope that is empty."""
    envelope, coupon, sale = Fair("envelope", 6), Fair("coupon", 2), Fair("sale", 2)
    for fair in (coupon, sale):
        assert fair.tries(ANN) == ""
    coupon.play.does(ANCHOR, StopCoupon(coupon.thing))
    sale.play.does(ANCHOR, CloseFlashSale(sale.thing))
    for number in range(6):
        assert envelope.tries(replace(ANN, user=f"u{number}")) == ""
    assert len(flash_sales_of(sale.play.room).live[sale.thing].holds) == 1
    assert not red_envelopes_of(envelope.play.room).live
    assert [address_limits_of(fair.play.room).items for fair in (envelope, coupon, sale)] == [{}, {}, {}]
    sale.play.passes(10_000)
    assert not flash_sales_of(sale.play.room).live


def test_an_unpaid_hold_leaves_nothing_behind() -> None:
    """Only addresses that have something are kept."""
    fair = Fair("sale", 1)
    hold = int(fair.play.does(ANN, fair.claim)["hold"])
    fair.play.does(ANN, CancelHold(hold))
    limit = address_limits_of(fair.play.room).items[fair.thing]
    assert (limit.addresses, limit.hold_address_hashes) == ({}, {})


@KINDS
def test_viewers_see_the_limit_and_no_address(kind: str) -> None:
    """The rule is public, but users' addresses are not."""
    fair = Fair(kind, 1)
    fair.tries(ANN)
    frame = fair.play.keyframe
    views = [view.users_per_address_max for view in frame.envelopes]
    views += [view.users_per_address_max for view in frame.coupons]
    views += [view.users_per_address_max for view in frame.sales]
    assert views == [1]
    assert HOME not in str(fair.play.detail)


def test_the_address_is_looked_at_last() -> None:
    """A sold-out offer is refused as such before the address limit, as a gateway does that does not know which addresses are full."""
    for kind, code in (("envelope", "envelope_empty"), ("coupon", "coupon_gone"), ("sale", "sold_out")):
        fair = Fair(kind, 1)
        for number in range(6):
            assert fair.tries(Sender(f"u{number}", "U", address_hash=f"{number:016x}")) == ""
        assert fair.tries(Sender("late", "Late", address_hash=f"{0:016x}")) == code
