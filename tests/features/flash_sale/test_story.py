"""Whatever is claimed, reserved, paid and given back, by whomever and whenever: every answer is the one of a plain model.

The model keeps lists of facts and adds them up for each question; the rules keep sums. Time may pass with timers
or without them, and the state may be written and read again at any moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from liveroom.features.coupon import messages as cp
from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.flash_sale import messages as fs
from liveroom.features.flash_sale.messages import SaleView
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.records import Sender
from liveroom.rooms.room import Decided, RoomState, decide_due, decode_state, due_ms, encode_state, evolve
from tests.features.flash_sale.sale_facts import CodeFacts, CouponFacts, HoldFacts, SaleFacts, cents_off
from tests.features.play import ANCHOR, BELLA, MODERATOR, PLATFORM, SHIRT, VERA, VICTOR, Play

BUYERS = (VERA, VICTOR, BELLA, MODERATOR)
TERMS = (
    CouponTerms(amount_fen=300),
    CouponTerms(amount_fen=300, min_spend_fen=200),
    CouponTerms(percent_off=33),
    CouponTerms(percent_off=50, min_spend_fen=199, discount_max_fen=70),
)
DURATIONS_MS = st.sampled_from([1, 1, 400, 999, 1_000, 2_500, 30_000])
LIMITS: dict[str, Any] = {
    "coupons_live_max": 3,
    "coupon_codes_max": 9,
    "flash_sales_live_max": 3,
    "holds_per_room_max": 5,
    "unpaid_holds_per_user_max": 6,
}
UNKNOWN = 999_999


class Money(RuleBasedStateMachine):
    """A room that sells, beside the model."""

    @initialize()
    def begin(self) -> None:
        self.play = Play(**LIMITS)
        self.play.adds(SHIRT)
        self.sales: dict[int, SaleFacts] = {}
        self.holds: dict[int, HoldFacts] = {}
        self.coupons: dict[int, CouponFacts] = {}
        self.codes: dict[str, CodeFacts] = {}
        self.heard = 0
        self.told_stock: dict[int, fs.StockChanged] = {}
        self.told_left: dict[int, int] = {}
        for begins in (self.announce, self.issue):
            begins(Random(1))

    @property
    def now_ms(self) -> int:
        return self.play.now_ms

    def pick(self, chance: Random, things: dict[Any, Any], unknown: Any = UNKNOWN) -> Any:
        """One of the last things mostly, now and then any, or one that never was."""
        if not things or chance.random() < 0.04:
            return unknown
        return chance.choice(list(things)[-4:] if chance.random() < 0.8 else list(things))

    def answer(self, sender: Sender, command: Command, expected: str) -> Decided | None:
        """The room's decision, which must be the model's: "" or a refusal's code."""
        decision = self.play.tries(sender, command)
        if isinstance(decision, Decided):
            assert not expected, f"{command} must be refused as {expected}"
            return decision
        assert decision.code == expected, f"{command}: {decision} instead of {expected or 'yes'}"
        return None

    # Sums of the model.

    def open_holds(self, sale: int | None = None) -> list[HoldFacts]:
        return [hold for hold in self.holds.values() if not hold.how and sale in (None, hold.sale)]

    def units(self, sale: int, user: str | None = None) -> tuple[int, int]:
        """Held and sold."""
        mine = [hold for hold in self.holds.values() if hold.sale == sale and user in (None, hold.user)]
        return sum(hold.quantity for hold in mine if not hold.how), sum(hold.sold for hold in mine)

    def available(self, sale: int) -> int:
        return self.sales[sale].stock - sum(self.units(sale))

    def claims(self, coupon: int, user: str | None = None) -> int:
        return sum(code.coupon == coupon and user in (None, code.user) for code in self.codes.values())

    def is_live(self, sale: int) -> bool:
        return not self.sales[sale].closed or bool(self.open_holds(sale))

    # Expectations of the model.

    def sale_problem(self, sale: int) -> str:
        if sale not in self.sales:
            return "sale_not_found"
        return "sale_closed" if self.sales[sale].closed or self.sales[sale].closes_ms <= self.now_ms else ""

    def coupon_problem(self, coupon: int) -> str:
        if coupon not in self.coupons:
            return "coupon_not_found"
        facts = self.coupons[coupon]
        if facts.expired or facts.issued_ms + facts.command.valid_ms <= self.now_ms:
            return "coupon_expired"
        return "coupon_stopped" if facts.stopped or facts.issued_ms + facts.command.claimable_ms <= self.now_ms else ""

    def code_problem(self, code: str) -> str:
        if code not in self.codes:
            return "coupon_not_found"
        return "coupon_expired" if self.coupon_problem(self.codes[code].coupon) == "coupon_expired" else ""

    def use_problem(self, code: str, spend_fen: int) -> str:
        if problem := self.code_problem(code):
            return problem
        if self.codes[code].order:
            return "coupon_used"
        terms = self.coupons[self.codes[code].coupon].command.terms
        if spend_fen < terms.min_spend_fen:
            return "spend_too_small"
        return "" if cents_off(terms, spend_fen) else "no_discount"

    def full(self, users_max: int, users: set[str], sender: Sender) -> bool:
        """Whether an address is full; `users` are those who count for it."""
        return bool(users_max and sender.address_hash and sender.user not in users and len(users) >= users_max)

    def reserve_problem(self, sender: Sender, command: fs.ReserveStock) -> str:
        user = sender.user
        if problem := self.sale_problem(command.sale):
            return problem
        sale = self.sales[command.sale]
        if sale.opens_ms > self.now_ms:
            return "sale_not_open"
        if sum(self.units(command.sale, user)) + command.quantity > sale.command.per_user_max:
            return "per_user_limit"
        if problem := self.unpaid_problem(user, command):
            return problem
        if command.quantity > self.available(command.sale):
            return "sold_out"
        here = [hold for hold in self.holds.values() if hold.sale == command.sale and hold.address_hash == sender.address_hash]
        if self.full(sale.command.users_per_address_max, {hold.user for hold in here if not hold.how or hold.sold}, sender):
            return "address_limit"
        if len(self.open_holds()) >= LIMITS["holds_per_room_max"]:
            return "limit_reached"
        return self.use_problem(command.coupon_code, sale.command.price_fen * command.quantity) if command.coupon_code else ""

    def unpaid_problem(self, user: str, command: fs.ReserveStock) -> str:
        unpaid = [hold for hold in self.holds.values() if (hold.sale, hold.user) == (command.sale, user) and not hold.sold]
        if sum(hold.made_ms > self.now_ms - 3_600_000 for hold in unpaid) >= LIMITS["unpaid_holds_per_user_max"]:
            return "unpaid_limit"
        kept = [hold for hold in unpaid if hold.how and hold.ended_ms + min(hold.ended_ms - hold.made_ms, 60_000) > self.now_ms]
        left = self.available(command.sale) - command.quantity
        return "others_first" if kept and left * 10 <= self.sales[command.sale].stock else ""

    def resolution_problem(self, hold: int) -> str:
        if hold not in self.holds:
            return "hold_not_found"
        facts = self.holds[hold]
        if facts.how:
            return f"hold_{facts.how}"
        return "hold_expired" if facts.until_ms <= self.now_ms else ""

    def resolve(self, hold: HoldFacts, how: str) -> None:
        hold.how, hold.ended_ms = how, self.now_ms
        if hold.code and how != "confirmed" and not self.code_problem(hold.code):
            self.codes[hold.code].order = ""

    def timers(self) -> None:
        for coupon in self.coupons:
            self.coupons[coupon].expired |= self.coupon_problem(coupon) == "coupon_expired"
            self.coupons[coupon].stopped |= self.coupon_problem(coupon) == "coupon_stopped"
        for hold in self.open_holds():
            if hold.until_ms <= self.now_ms:
                self.resolve(hold, "expired")
        for sale in self.sales.values():
            sale.closed |= sale.closes_ms <= self.now_ms

    # Actions.

    def announce(self, chance: Random) -> None:
        command = fs.AnnounceFlashSale(
            "shirt",
            price_fen=chance.choice([0, 1, 99, 100]),
            stock=chance.choice([1, 3, 6, 12]),
            per_user_max=chance.choice([1, 2, 4, 6]),
            opens_in_ms=chance.choice([0, 0, 1_000]),
            open_for_ms=chance.choice([2_000, 60_000, 60_000]),
            hold_ms=chance.choice([1_000, 3_500, 100_000]),
            users_per_address_max=chance.choice([0, 0, 1, 2]),
        )
        full = sum(map(self.is_live, self.sales)) >= LIMITS["flash_sales_live_max"]
        decided = self.answer(ANCHOR, command, "" if self.play.room.open and not full else "limit_reached" if self.play.room.open else "room_closed")
        if decided:
            self.sales[int(decided.result["sale"])] = SaleFacts(command, self.now_ms + command.opens_in_ms, command.stock)

    def buyer(self, chance: Random) -> Sender:
        """Somebody at one of two addresses, or at one that nobody knows."""
        return replace(chance.choice(BUYERS), address_hash=chance.choice(["", "a", "a", "b"]))

    def reserve(self, chance: Random) -> None:
        sender, quantity = self.buyer(chance), chance.choice([1, 1, 2, 3, 4])
        code = self.pick(chance, self.codes, "A" * 16) if chance.random() < 0.6 else ""
        selling = {sale: None for sale in self.sales if not self.sale_problem(sale)}
        command = fs.ReserveStock(self.pick(chance, selling if chance.random() < 0.9 else self.sales), quantity, code)
        decided = self.answer(sender, command, self.reserve_problem(sender, command))
        if decided is None:
            return
        facts, number = self.sales[command.sale], int(decided.result["hold"])
        terms = self.coupons[self.codes[command.coupon_code].coupon].command.terms if command.coupon_code else None
        spend_fen = facts.command.price_fen * quantity
        discount_fen = cents_off(terms, spend_fen) if terms else 0
        until_ms = self.now_ms + facts.command.hold_ms
        assert decided.result == {"hold": number, "until_ms": until_ms, "due_fen": spend_fen - discount_fen, "discount_fen": discount_fen}
        self.holds[number] = HoldFacts(command.sale, sender.user, quantity, until_ms, command.coupon_code, terms, self.now_ms, sender.address_hash)
        if command.coupon_code:
            self.codes[command.coupon_code].order = f"hold-{number}"

    def confirm(self, chance: Random) -> None:
        payment = chance.choice(["p1", "p2", f"p{len(self.holds)}", f"p{len(self.holds)}"])
        quantity = chance.choice([0, 0, 1, 1, 2, 4])
        command = fs.ConfirmHold(self.pick(chance, self.holds), payment, quantity)
        facts = self.holds.get(command.hold)
        repeated = facts is not None and (facts.how, facts.payment) == ("confirmed", payment)
        expected = "" if repeated else self.resolution_problem(command.hold)
        if facts is not None and not facts.how and any(hold.payment == payment for hold in self.holds.values()):
            expected = "payment_used"
        if facts is not None and not facts.how and not expected and quantity > facts.quantity:
            expected = "out_of_range"
        decided = self.answer(PLATFORM, command, expected)
        if decided is None or facts is None:
            return
        if repeated:
            assert (decided.events, decided.result) == ((), facts.receipt)
            return
        facts.sold, facts.payment, facts.receipt = quantity or facts.quantity, payment, decided.result
        spend_fen = self.sales[facts.sale].command.price_fen * facts.sold
        paid_fen = spend_fen - (cents_off(facts.terms, spend_fen) if facts.terms else 0)
        assert decided.result == {"quantity": facts.sold, "returned": facts.quantity - facts.sold, "paid_fen": paid_fen}
        self.resolve(facts, "confirmed")
        if facts.terms and not cents_off(facts.terms, spend_fen) and not self.code_problem(facts.code):
            self.codes[facts.code].order = ""

    def cancel(self, chance: Random) -> None:
        sender, command = chance.choice([*BUYERS, PLATFORM, PLATFORM]), fs.CancelHold(self.pick(chance, self.holds))
        facts = self.holds.get(command.hold)
        other = facts is not None and facts.user != sender.user and sender.role is not Role.platform
        if self.answer(sender, command, "not_owner" if other else self.resolution_problem(command.hold)) and facts:
            self.resolve(facts, "cancelled")

    def restock(self, chance: Random) -> None:
        command = fs.RestockFlashSale(self.pick(chance, self.sales), chance.randint(1, 3))
        if self.answer(ANCHOR, command, self.sale_problem(command.sale)):
            self.sales[command.sale].stock += command.quantity

    def close_sale(self, chance: Random) -> None:
        command = fs.CloseFlashSale(self.pick(chance, self.sales))
        if self.answer(ANCHOR, command, self.sale_problem(command.sale)):
            self.sales[command.sale].closed = True

    def issue(self, chance: Random) -> None:
        stock, claimable_ms = chance.randint(1, 4), chance.choice([1_000, 60_000])
        per_address = chance.choice([0, 0, 1, 2])
        command = cp.IssueCoupon("Less", chance.choice(TERMS), stock, chance.randint(1, 2), claimable_ms, claimable_ms + 2_000, per_address)
        live = {seq: facts for seq, facts in self.coupons.items() if not facts.expired}
        codes = sum(self.claims(seq) if facts.stopped else facts.command.stock for seq, facts in live.items())
        full = len(live) >= LIMITS["coupons_live_max"] or codes + stock > LIMITS["coupon_codes_max"]
        decided = self.answer(ANCHOR, command, "" if self.play.room.open and not full else "limit_reached" if self.play.room.open else "room_closed")
        if decided:
            self.coupons[int(decided.result["coupon"])] = CouponFacts(command, self.now_ms)

    def claim(self, chance: Random) -> None:
        sender, command = self.buyer(chance), cp.ClaimCoupon(self.pick(chance, self.coupons))
        expected = self.coupon_problem(command.coupon)
        if not expected:
            terms = self.coupons[command.coupon].command
            mine, all_of_it = self.claims(command.coupon, sender.user), self.claims(command.coupon)
            expected = "per_user_limit" if mine >= terms.per_user_max else "coupon_gone" if all_of_it >= terms.stock else ""
            here = {code.user for code in self.codes.values() if (code.coupon, code.address_hash) == (command.coupon, sender.address_hash)}
            if not expected and self.full(terms.users_per_address_max, here, sender):
                expected = "address_limit"
        if decided := self.answer(sender, command, expected):
            code = str(decided.result["code"])
            assert code not in self.codes
            self.codes[code] = CodeFacts(command.coupon, sender.user, sender.address_hash)
            left = self.coupons[command.coupon].command.stock - self.claims(command.coupon)
            assert decided.result == {"coupon": command.coupon, "code": code, "left": left}

    def stop(self, chance: Random) -> None:
        command = cp.StopCoupon(self.pick(chance, self.coupons))
        if self.answer(ANCHOR, command, self.coupon_problem(command.coupon)):
            self.coupons[command.coupon].stopped = True

    def redeem(self, chance: Random) -> None:
        order, spend_fen = chance.choice(["o1", "o1", "o2", "hold-3"]), chance.choice([0, 199, 200, 1_000])
        command = cp.RedeemCoupon(self.pick(chance, self.codes, "A" * 16), order, spend_fen)
        facts = self.codes.get(command.code)
        if order.startswith("hold-"):
            self.answer(PLATFORM, command, "bad_value")
            return
        repeated = facts is not None and facts.order == order
        expected = "" if repeated else self.use_problem(command.code, spend_fen)
        decided = self.answer(PLATFORM, command, expected)
        if decided is None or facts is None:
            return
        if repeated:
            assert (decided.events, decided.result) == ((), facts.result)
            return
        discount_fen = cents_off(self.coupons[facts.coupon].command.terms, spend_fen)
        assert decided.result == {"coupon": facts.coupon, "discount_fen": discount_fen}
        facts.order, facts.result = order, decided.result

    def release(self, chance: Random) -> None:
        name = self.pick(chance, self.codes, "A" * 16)
        facts = self.codes.get(name)
        order = (facts.order if facts and chance.random() < 0.7 else "") or chance.choice(["o1", "o2", "hold-3"])
        expected = self.code_problem(name)
        if not expected and facts and facts.order != order:
            expected = "coupon_not_used"
        elif not expected and any(hold.code == name for hold in self.open_holds()):
            expected = "coupon_used"
        if self.answer(PLATFORM, cp.ReleaseCoupon(name, order), expected) and facts:
            facts.order = ""

    def close_or_open(self, chance: Random) -> None:
        if not self.play.room.open:
            self.play.does(ANCHOR, OpenRoom("Again"))
            return
        if chance.random() < 0.9:
            return
        self.play.does(ANCHOR, CloseRoom())
        for sale in self.sales.values():
            sale.closed = True
        for coupon in self.coupons.values():
            coupon.stopped = True

    @rule(chance=st.randoms(use_true_random=True), count=st.integers(1, 80))
    def trade(self, chance: Random, count: int) -> None:
        for _ in range(count):
            self.check()
            chance.choices(tuple(ACTIONS), tuple(ACTIONS.values()))[0](self, chance)

    def wait(self, chance: Random) -> None:
        duration_ms = chance.choice([1, 200, 500])
        if chance.random() < 0.5:
            self.time_passes(duration_ms)
        else:
            self.time_passes_and_timers_are_late(duration_ms)

    @rule(duration_ms=DURATIONS_MS)
    def time_passes(self, duration_ms: int) -> None:
        self.play.passes(duration_ms)
        self.timers()

    @rule(duration_ms=DURATIONS_MS)
    def time_passes_and_timers_are_late(self, duration_ms: int) -> None:
        self.play.now_ms += duration_ms

    @rule()
    def recover(self) -> None:
        """Go on with the state that was written and read again."""
        encoded = encode_state(self.play.room)
        self.play.state = decode_state(encoded)
        assert encode_state(self.play.room) == encoded

    # Invariants.

    @invariant()
    def check(self) -> None:
        self.listen()
        keyframe = self.play.keyframe
        self.stock_adds_up({view.sale: view for view in keyframe.sales})
        self.nobody_has_more_than_one_user_may()
        self.coupons_left_add_up({view.coupon: view.left for view in keyframe.coupons})
        self.a_timer_is_due_exactly_when_something_happens()

    def listen(self) -> None:
        """Read the newest public figures from the events since the last check."""
        for _seq, _time_ms, event in self.play.story[self.heard :]:
            if isinstance(event, fs.StockChanged):
                self.told_stock[event.sale] = event
            elif isinstance(event, cp.CouponLeft):
                self.told_left[event.coupon] = event.left
        self.heard = len(self.play.story)

    def stock_adds_up(self, views: dict[int, SaleView]) -> None:
        held, sold = Counter[int](), Counter[int]()
        for hold in self.holds.values():
            held[hold.sale] += 0 if hold.how else hold.quantity
            sold[hold.sale] += hold.sold
        assert set(views) == {sale for sale, facts in self.sales.items() if not facts.closed or held[sale]}
        for sale, facts in self.sales.items():
            available = facts.stock - held[sale] - sold[sale]
            assert available >= 0
            if view := views.get(sale):
                assert (view.stock, view.available, view.held, view.sold) == (facts.stock, available, held[sale], sold[sale])
            if told := self.told_stock.get(sale):
                assert (told.available, told.held, told.sold) == (available, held[sale], sold[sale])

    def nobody_has_more_than_one_user_may(self) -> None:
        units, claims = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
        for hold in self.holds.values():
            units[hold.sale, hold.user] += (0 if hold.how else hold.quantity) + hold.sold
        for code in self.codes.values():
            claims[code.coupon, code.user] += 1
        for (sale, _), count in units.items():
            assert count <= self.sales[sale].command.per_user_max
        for (coupon, _), count in claims.items():
            assert count <= self.coupons[coupon].command.per_user_max

    def coupons_left_add_up(self, views: dict[int, int]) -> None:
        claimed = Counter(code.coupon for code in self.codes.values())
        assert set(views) == {seq for seq, facts in self.coupons.items() if not facts.stopped and not facts.expired}
        for coupon, facts in self.coupons.items():
            left = facts.command.stock - claimed[coupon]
            assert left >= 0
            assert self.told_left.get(coupon, left) == views.get(coupon, left) == left

    def a_timer_is_due_exactly_when_something_happens(self) -> None:
        due = due_ms(self.play.room)
        assert bool(decide_due(self.play.room, self.now_ms)) == (due is not None and due <= self.now_ms)
        if due is not None and due > self.now_ms:
            assert decide_due(self.play.room, due)
            assert not decide_due(self.play.room, due - 1)

    def teardown(self) -> None:
        """Each hold was resolved at most once, and each payment paid one hold.

        One order at a time used each code, with a discount. The events alone give the state, to the byte.
        """
        story = self.play.story
        payments = [event.payment for _, _, event in story if isinstance(event, fs.HoldConfirmed)]
        assert len(payments) == len(set(payments))
        resolved = [event.hold for _, _, event in story if isinstance(event, (fs.HoldConfirmed, fs.HoldCancelled, fs.HoldExpired))]
        assert len(resolved) == len(set(resolved))
        in_use: dict[str, str] = {}
        for _, _, event in story:
            if isinstance(event, cp.CouponRedeemed):
                assert event.code not in in_use
                assert event.discount_fen > 0
                in_use[event.code] = event.order
            elif isinstance(event, cp.CouponReleased):
                assert in_use.pop(event.code) == event.order
        assert all(event.due_fen >= 0 for _, _, event in story if isinstance(event, fs.StockReserved))
        half = fold(None, story[: len(story) // 2])
        for state in (fold(None, story), fold(decode_state(encode_state(half)) if half else None, story[len(story) // 2 :])):
            assert state == self.play.state
            assert encode_state(state) == encode_state(self.play.state)


#: Actions and their frequency.
ACTIONS: dict[Callable[[Money, Random], None], int] = {
    Money.announce: 3,
    Money.reserve: 12,
    Money.confirm: 6,
    Money.cancel: 3,
    Money.restock: 1,
    Money.close_sale: 1,
    Money.issue: 3,
    Money.claim: 6,
    Money.stop: 1,
    Money.redeem: 4,
    Money.release: 4,
    Money.close_or_open: 1,
    Money.wait: 8,
}


def fold(state: RoomState | None, story: list[tuple[int, int, Event]]) -> RoomState | None:
    for seq, time_ms, event in story:
        state = evolve(state, event, seq, time_ms)
    return state


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=120, stateful_step_count=20, deadline=None)
