"""The line before scarce things, against the rules themselves: what an admission queue says is what the engine would have said."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveroom.features.coupon.messages import StopCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.messages import CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.lifecycle.messages import CloseRoom
from liveroom.features.red_envelope.messages import GrabRedEnvelope
from liveroom.gateway.admission_queue import AdmissionQueue
from liveroom.gateway.admission_queues import AdmissionQueues
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import Request, Sender
from tests.gateway.market import ANCHOR, MARGIN, WATCHED_S, Market

USERS = [f"u{i}" for i in range(12)]
PLATFORM = Sender("platform", "Platform", Role.platform)

users = st.integers(0, len(USERS) - 1)
arrivals = st.tuples(st.just("claim"), users, st.integers(0, 2), st.integers(1, 3))
delays = st.one_of(st.tuples(st.just("decide"), st.integers(1, 4)), st.tuples(st.just("read"), st.integers(0, 1)))
losses = st.tuples(st.just("lose"), st.integers(0, 1))
waits = st.just(("wait",))
returns = st.one_of(
    st.tuples(st.just("restock"), st.integers(1, 3)), st.tuples(st.just("cancel"), st.integers(0, 20)), st.tuples(st.just("due"), st.booleans())
)


def steps(*kinds: st.SearchStrategy[tuple[object, ...]]) -> st.SearchStrategy[list[tuple[object, ...]]]:
    """Mostly arrivals, so that there is a crowd."""
    return st.lists(st.one_of(arrivals, arrivals, arrivals, *kinds), min_size=12, max_size=80)


def address_hash_of(user: int) -> str:
    """Users have three addresses, one of them unknown."""
    return ("", "a", "b")[user // 3 % 3]


def play(market: Market, story: Iterable[tuple[object, ...]]) -> None:
    """Let a story happen, and then everything that is still to come."""
    for kind, *args in story:
        numbers = [int(str(a)) if not isinstance(a, bool) else int(a) for a in args]
        at = numbers[0] % len(market.sides) if numbers else 0
        match kind:
            case "claim":
                user, attempt, quantity = numbers
                quantity = min(quantity, market.per_user_max)
                watched_s = WATCHED_S if user % 3 else 0
                market.claim(
                    user % len(market.sides), USERS[user], f"c{attempt}-{quantity}", quantity, watched_s=watched_s, address_hash=address_hash_of(user)
                )
            case "decide":
                market.decide(numbers[0])
            case "read":
                market.read(at)
            case "lose":
                market.lose(at)
            case "wait":
                market.wait()
            case "restock":
                market.make(RestockFlashSale(market.thing, numbers[0]))
            case "cancel":
                cancel(market, numbers[0])
            case "due":
                market.pass_due(3_600_000 if numbers[0] else 1)
    market.wait()
    assert all(len(replies) == 1 for replies in market.told.values())
    assert len(market.told) == market.sent, "everybody has one answer"


def cancel(market: Market, which: int) -> None:
    """One of the open holds is given back."""
    assert market.state is not None
    sale = flash_sales_of(market.state).live.get(market.thing)
    if sale is not None and sale.holds:
        market.make(CancelHold(list(sale.holds)[which % len(sale.holds)]), PLATFORM)


def winners(market: Market) -> list[str]:
    """Users in the order in which the engine granted them something."""
    won: dict[str, None] = {}
    for claim, reply in market.decided:
        if isinstance(reply, Accepted):
            won[claim.request.sender.user] = None
    return list(won)


def first_who_may(arrived: Iterable[int], shares: int, per_address: int) -> list[int]:
    """Whom the rules alone choose: who has watched, up to the limit at their address."""
    chosen: list[int] = []
    for user in arrived:
        full = per_address and address_hash_of(user) and sum(address_hash_of(other) == address_hash_of(user) for other in chosen) >= per_address
        if user % 3 and not full:
            chosen.append(user)
    return chosen[:shares]


@given(st.integers(1, 6), steps(delays, losses, waits), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_an_envelope_goes_to_the_first_who_may_have_it(shares: int, story: list[tuple[object, ...]], per_address: int) -> None:
    """The winners are those whom the rules alone would have chosen, in the same order; the engine hears of few others."""
    market = Market("envelope", shares, conditional=True, per_address=per_address)
    play(market, story)
    arrived = dict.fromkeys(int(str(args[0])) for kind, *args in story if kind == "claim")
    assert winners(market) == [USERS[user] for user in first_who_may(arrived, shares, per_address)]
    in_vain = sum(getattr(reply, "code", "") in ("condition_not_met", "already_grabbed", "address_limit") for _, reply in market.decided)
    retries = len(market.decided) - len(market.sides[0].counted)
    assert len(market.decided) <= shares + MARGIN + in_vain + market.lost + retries
    assert sum(getattr(reply, "code", "") == "envelope_empty" for _, reply in market.decided) <= MARGIN + market.lost


@given(st.integers(1, 6), steps(delays, losses, waits), st.booleans(), st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_two_gateways_refuse_nobody_while_shares_are_left(
    shares: int, story: list[tuple[object, ...]], replay_buffer: bool, per_address: int
) -> None:
    """Each knows of the other's winners by the stream alone; one that begins without a past knows less, and asks the engine more."""
    market = Market("envelope", shares, conditional=True, per_address=per_address)
    for user in USERS[:2]:
        market.claim(0, user, "c0-1")
    market.catch_up()
    market.sides.append(market.side(replay_buffer=replay_buffer))
    play(market, story)
    others = {int(str(args[0])) for kind, *args in story if kind == "claim"} - {0, 1}
    assert len(winners(market)) == min(shares, 2 + len(first_who_may(others, len(USERS), per_address)))


@given(st.integers(1, 8), st.integers(1, 3), steps(delays, losses, waits), st.booleans(), st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_coupons_go_out_to_the_last(stock: int, per_user_max: int, story: list[tuple[object, ...]], second: bool, per_address: int) -> None:
    """No coupon stays while somebody who may have it was refused."""
    market = Market("coupon", stock, per_user_max=per_user_max, per_address=per_address)
    if second:
        market.sides.append(market.side())
    play(market, story)
    assert market.state is not None
    left = coupons_of(market.state).live[market.thing].left
    assert not left or not market.refused_here


@given(st.integers(1, 8), st.integers(1, 3), steps(delays, losses, waits, returns), st.booleans(), st.booleans(), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_a_sale_is_refused_only_when_there_is_none_and_first_come_first_served(
    stock: int, per_user_max: int, story: list[tuple[object, ...]], second: bool, replay_buffer: bool, per_address: int
) -> None:
    """Returned stock lets queued claims through in their order; `Market` checks every refusal as it is made."""
    market = Market("sale", stock, per_user_max=per_user_max, per_address=per_address)
    if second:
        market.sides.append(market.side(replay_buffer=replay_buffer))
    play(market, story)
    if not second and not market.lost:
        through = set(map(id, market.sides[0].counted))
        assert not any(id(claim) in through and getattr(reply, "code", "") == "sold_out" for claim, reply in market.decided)


def test_stock_that_comes_back_goes_to_the_first_in_the_line() -> None:
    """Held stock may come back: queued claims are let through then, and refused if it did not return in time."""
    market = Market("sale", 1)
    first, second, third = (market.claim(0, user, "c1") for user in USERS[:3])
    market.catch_up()
    assert isinstance(market.told[first][0], Accepted)
    assert not market.told[second]
    assert len(market.decided) == 1, "the others wait here"
    cancel(market, 0)
    market.catch_up()
    assert isinstance(market.told[second][0], Accepted)
    assert not market.told[third]
    market.wait()
    assert [reply.code for reply in market.told[third]] == ["sold_out"]  # type: ignore[union-attr]


def test_a_smaller_claim_goes_first_only_when_the_one_before_it_cannot_have_enough() -> None:
    """A claim of two units waits for the answer to the claim before it, not behind later claims of one unit."""
    market = Market("sale", 3, per_user_max=2)
    two, next_two, one = market.claim(0, "u1", "c1", 2), market.claim(0, "u2", "c1", 2), market.claim(0, "u3", "c1", 1)
    assert [claim.request.sender.user for _, claim in market.queue] == ["u1"]
    market.catch_up()
    assert isinstance(market.told[two][0], Accepted)
    assert isinstance(market.told[one][0], Accepted)
    assert not market.told[next_two]
    market.make(RestockFlashSale(market.thing, 2))
    market.catch_up()
    assert isinstance(market.told[next_two][0], Accepted)


@pytest.mark.parametrize(
    ("kind", "ends", "code"),
    [
        ("sale", lambda thing: CloseFlashSale(thing), "sale_closed"),
        ("coupon", lambda thing: StopCoupon(thing), "coupon_stopped"),
        ("envelope", lambda thing: CloseRoom(), "envelope_closed"),
    ],
)
def test_what_ends_with_units_left_is_refused_as_the_rules_do(kind: str, ends: Callable[[int], Command], code: str) -> None:
    """Queued and later claims are refused without the engine."""
    market = Market(kind, 2)
    market.make(ends(market.thing))
    taps = [market.claim(0, user, "c1") for user in USERS[: 2 + MARGIN + 2]]
    market.catch_up()
    late = market.claim(0, "late", "c1")
    assert not market.queue
    assert len(market.refused_here) >= 3
    assert {reply.code for number in [*taps, late] for reply in market.told[number]} == {code}  # type: ignore[union-attr]


def test_a_sold_out_sale_answers_at_once_until_there_is_more() -> None:
    """Without held units no claim waits; a restock opens the queue again."""
    market = Market("sale", 1)
    market.claim(0, "u1", "c1")
    market.catch_up()
    assert market.state is not None
    market.make(ConfirmHold(next(iter(flash_sales_of(market.state).live[market.thing].holds)), "order-1"), PLATFORM)
    market.catch_up()
    late = market.claim(0, "u2", "c1")
    assert [reply.code for reply in market.told[late]] == ["sold_out"]  # type: ignore[union-attr]
    market.make(RestockFlashSale(market.thing, 1), ANCHOR)
    market.catch_up()
    again = market.claim(0, "u2", "c2")
    market.catch_up()
    assert isinstance(market.told[again][0], Accepted)


def test_a_winner_that_asks_again_gets_the_first_outcome() -> None:
    """Also when everything is gone, at another gateway and at one that knows nothing of the past."""
    market = Market("envelope", 1)
    market.claim(0, "u1", "c1")
    market.catch_up()
    market.sides += [market.side(), market.side(replay_buffer=False)]
    for at in range(3):
        again = market.claim(at, "u1", "c1")
        market.catch_up()
        assert isinstance(market.told[again][0], Accepted)
    loser = market.claim(1, "u2", "c1")
    assert [reply.code for reply in market.told[loser]] == ["envelope_empty"]  # type: ignore[union-attr]


def test_a_winner_does_not_wait_to_hear_of_it_again() -> None:
    """While there is none the engine is asked once on a winner's behalf, past the line; asking on does not overtake those in it."""
    market = Market("sale", 1, per_user_max=2)
    market.claim(0, "u1", "c1")
    market.catch_up()
    waiting = market.claim(0, "u2", "c1")
    retry = market.claim(0, "u1", "c1")
    market.catch_up()
    assert isinstance(market.told[retry][0], Accepted)
    more = market.claim(0, "u1", "c2")
    cancel(market, 0)
    market.catch_up()
    assert isinstance(market.told[waiting][0], Accepted)
    assert not market.told[more]


def test_a_winner_that_wants_more_goes_to_the_end_of_the_line() -> None:
    """While there are units, having some already overtakes nobody."""
    market = Market("sale", 3, per_user_max=2)
    market.claim(0, "u1", "c1")
    market.catch_up()
    for user in ("u2", "u3", "u4", "u1"):
        market.claim(0, user, "c2")
    assert [claim.request.sender.user for _, claim in market.queue] == ["u2", "u3"]


def test_a_gateway_that_does_not_know_the_winners_refuses_nobody() -> None:
    """This gateway began in the middle. A user who asks after the end may have won before, so the engine answers all, a few at a time."""
    winners_before = USERS[: 2 * MARGIN]
    market = Market("envelope", len(winners_before) + 1)
    for user in winners_before:
        market.claim(0, user, "c1")
    market.catch_up()
    market.sides.append(market.side(replay_buffer=False))
    market.claim(0, "last", "c1")
    market.catch_up()
    retries = [market.claim(1, user, "c1") for user in [*winners_before, "loser"]]
    assert len(market.queue) == MARGIN
    market.catch_up()
    assert [isinstance(market.told[number][0], Accepted) for number in retries] == [True] * len(winners_before) + [False]


def test_after_a_gap_nobody_is_refused_who_may_have_won_in_it() -> None:
    """The gateway does not know what happened in the gap, only that the offer is over now."""
    winners_before = USERS[: 2 * MARGIN]
    market = Market("envelope", len(winners_before) + 1)
    market.sides.append(market.side())
    for user in winners_before:
        market.claim(1, user, "c1")
    market.decide(len(winners_before))
    market.leap(0)
    market.claim(1, "last", "c1")
    market.catch_up()
    retries = [market.claim(0, user, "c1") for user in winners_before]
    market.catch_up()
    assert all(isinstance(market.told[number][0], Accepted) for number in retries)


def test_as_many_go_on_as_there_are_units_and_a_margin() -> None:
    """The rule holds for a crowd that comes at once; a sale has no margin."""
    for kind, count in (("envelope", 2 + MARGIN), ("coupon", 2 + MARGIN), ("sale", 2)):
        market = Market(kind, 2)
        for user in USERS:
            market.claim(0, user, "c1")
        assert len(market.queue) == count


def test_whoever_waited_too_long_while_there_may_be_units_may_try_again() -> None:
    """The engine does not answer: that is no reason to say that there is nothing left."""
    queue = AdmissionQueue("sold_out", 1, 10.0, returns=True)
    for user in ("u1", "u2"):
        request = Request("c1", "room-1", Sender(user, user), ReserveStock(1))
        queue.claim(request, 1, lambda reply: None, 0.0)
    first = queue.next(0.0)
    assert first is not None
    assert not first.code
    assert queue.next(9.9) is None
    late = queue.next(10.0)
    assert late is not None
    assert late.code == "overloaded"
    assert queue.queued == 0
    queue.answered(first.claim, 10.0)
    assert queue.idle


def test_taps_of_one_user_have_one_place() -> None:
    """Whatever their ids and however many connections: they take one share, under one id, and repeating any of them says the same again."""
    market = Market("envelope", 2)
    taps = [market.claim(0, "u1", f"c{i}") for i in range(5)]
    other = market.claim(0, "u2", "c1")
    assert len(market.queue) == 2
    market.catch_up()
    assert [outcome(market, tap) for tap in taps] == ["accepted"] + ["already_grabbed"] * 4
    assert outcome(market, other) == "accepted"
    for order in ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0)):
        again = {i: market.claim(0, "u1", f"c{i}") for i in order}
        market.catch_up()
        assert [outcome(market, again[i]) for i in range(5)] == [outcome(market, tap) for tap in taps]


def test_retries_of_several_ids_at_once_get_the_outcome_of_each() -> None:
    """No id gets another's outcome, whichever comes first, even at a gateway that has just started."""
    for replay_buffer in (True, False):
        market = Market("envelope", 2)
        first = [market.claim(0, "u1", f"c{i}") for i in range(3)]
        market.catch_up()
        market.sides.append(market.side(replay_buffer=replay_buffer))
        again = [market.claim(1, "u1", f"c{i}") for i in (2, 0, 1)]
        market.catch_up()
        assert [outcome(market, again[i]) for i in (1, 2, 0)] == [outcome(market, tap) for tap in first]


def outcome(market: Market, number: int) -> str:
    """The one outcome of a command."""
    [reply] = market.told[number]
    return reply.code if isinstance(reply, Refused) else "accepted"


@pytest.mark.parametrize("kind", ["envelope", "coupon", "sale"])
def test_who_is_refused_for_the_address_lets_the_next_one_through(kind: str) -> None:
    """A crowd of one address before everybody else: no unit stays, and none of the others is turned away."""
    market = Market(kind, 3, per_address=1)
    crowd = [market.claim(0, user, "c1", address_hash="a") for user in USERS[:8]]
    others = [market.claim(0, user, "c1", address_hash=user) for user in USERS[8:10]]
    market.wait()
    assert [type(market.told[number][0]) for number in (crowd[0], *others)] == [Accepted] * 3
    codes = [getattr(market.told[number][0], "code", "") for number in crowd[1:]]
    assert set(codes) <= {"address_limit", "envelope_empty"}
    assert codes[0] == "address_limit"


def test_claims_name_their_address_where_it_counts_or_may() -> None:
    """A claim of an item without a limit has no address; a claim of an item unknown here has one."""
    for kind in ("envelope", "coupon", "sale"):
        for per_address, counts in ((0, False), (2, True)):
            market = Market(kind, 2, per_address=per_address)
            market.claim(0, "u1", "c1")
            assert [queue.counts_addresses for queue in market.sides[0].queues_met] == [counts]
            side = market.side(replay_buffer=False)
            assert [queue.counts_addresses for queue in side.admission_queues.take_changed()] == [counts]
    queue = AdmissionQueues(MARGIN, 10.0).find(GrabRedEnvelope(7), live=False)
    assert queue is not None
    assert queue.counts_addresses
