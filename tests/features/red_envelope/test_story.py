"""Whatever happens around red envelopes, in any order, at any time: every fen is accounted for, and the events alone prove it."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from liveroom.accounting.verify_envelope import verify_envelope
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.features.red_envelope.fairness import split
from liveroom.features.red_envelope.messages import (
    CancelRedEnvelope,
    DropRedEnvelope,
    EnvelopeCondition,
    GrabRedEnvelope,
    RedEnvelopeClosed,
    RedEnvelopeDropped,
    RedEnvelopeGrabbed,
    RedEnvelopeOpened,
    RedEnvelopeSealed,
)
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from liveroom.rooms.room import Decided, Refusal, RoomState, decode_state, due_ms, encode_state, evolve
from tests.features.play import ANCHOR, PLATFORM, ROOM, Play

LIVE_MAX = 3
WORD = "luck"
CONDITIONS = [EnvelopeCondition(), EnvelopeCondition(WORD), EnvelopeCondition(watched_s=60), EnvelopeCondition(WORD, 60)]
USERS = [f"u{number}" for number in range(8)]
ADDRESS_HASHES = ["", "a", "a", "b"]


class Envelope:
    """One envelope as a careful bystander knows it."""

    def __init__(self, dropped: RedEnvelopeDropped) -> None:
        self.dropped = dropped
        self.amounts_fen: list[int] = []
        self.granted: dict[str, int] = {}
        self.said: set[str] = set()
        self.came_from: list[str] = []  # the address hashes of those who have a share
        self.opened = False
        self.over = ""

    @property
    def left_fen(self) -> int:
        return self.dropped.total_fen - sum(self.granted.values())

    def outcome(self, sender: Sender, now_ms: int) -> str | int:
        """The code that a grab must be refused with, or the share that it must win."""
        dropped, condition = self.dropped, self.dropped.condition
        if sender.user in self.granted:
            return "already_grabbed"
        if self.over:
            return "envelope_empty" if self.over == "empty" else "envelope_closed"
        if now_ms >= dropped.closes_ms:
            return "envelope_closed"
        if now_ms < dropped.opens_ms:
            return "envelope_not_open"
        if (condition.keyword and sender.user not in self.said) or sender.watched_s < condition.watched_s:
            return "condition_not_met"
        if sender.address_hash and dropped.users_per_address_max and self.came_from.count(sender.address_hash) >= dropped.users_per_address_max:
            return "address_limit"
        return self.amounts_fen[len(self.granted)]


class Envelopes(RuleBasedStateMachine):
    """One room and its envelopes, beside a model made of events and answers."""

    @initialize()
    def begin(self) -> None:
        self.play = Play(red_envelopes_live_max=LIVE_MAX, chat_interval_ms=0)
        self.envelopes: dict[int, Envelope] = {}
        self.seen = 0
        self.drop(6, 94, "lucky", 0, 60_000, EnvelopeCondition(), 0)

    def tries(self, sender: Sender, command: Command) -> Decided | Refusal:
        decision = self.play.tries(sender, command)
        self.look()
        return decision

    def look(self) -> None:
        """Take note of the events since the last time; each must be right by itself."""
        for seq, time_ms, event in self.play.story[self.seen :]:
            match event:
                case RedEnvelopeDropped():
                    assert 1 <= event.shares <= event.total_fen
                    self.envelopes[seq] = Envelope(event)
                case RedEnvelopeSealed(envelope=number, seed=seed):
                    one = self.envelopes[number]
                    one.amounts_fen = split(seed, one.dropped.total_fen, one.dropped.shares, one.dropped.split)
                    assert min(one.amounts_fen) >= 1
                case RedEnvelopeOpened(envelope=number):
                    one = self.envelopes[number]
                    assert not one.opened
                    assert not one.over
                    assert time_ms >= one.dropped.opens_ms
                    one.opened = True
                case RedEnvelopeGrabbed(envelope=number):
                    self.look_at_grab(self.envelopes[number], event, time_ms)
                case RedEnvelopeClosed(envelope=number):
                    one = self.envelopes[number]
                    assert not one.over
                    assert event.granted_fen == sum(one.granted.values())
                    assert event.granted_fen + event.refunded_fen == one.dropped.total_fen
                    assert (event.reason == "empty") == (len(one.granted) == one.dropped.shares)
                    assert (event.reason == "expired") == (time_ms >= one.dropped.closes_ms)
                    one.over = event.reason
        self.seen = len(self.play.story)

    def look_at_grab(self, one: Envelope, event: RedEnvelopeGrabbed, time_ms: int) -> None:
        assert one.opened
        assert not one.over
        assert one.dropped.opens_ms <= time_ms < one.dropped.closes_ms
        assert event.user not in one.granted
        assert event.amount_fen == one.amounts_fen[len(one.granted)]
        one.granted[event.user] = event.amount_fen
        assert (event.left_fen, event.shares_left) == (one.left_fen, one.dropped.shares - len(one.granted))

    def pick(self, back: int) -> int:
        return list(self.envelopes)[-back:][0] if self.envelopes else 0

    @rule(
        shares=st.integers(1, 6),
        more=st.sampled_from([0, 1, 5, 50, 1_000, 1_000, -1]),
        how=st.sampled_from(["lucky", "lucky", "equal"]),
        opens_in_ms=st.sampled_from([0, 0, 1_000, 5_000]),
        open_for_ms=st.sampled_from([1_000, 60_000, 60_000]),
        condition=st.sampled_from(CONDITIONS),
        per_address=st.sampled_from([0, 0, 1, 2]),
    )
    def drop(self, shares: int, more: int, how: Any, opens_in_ms: int, open_for_ms: int, condition: EnvelopeCondition, per_address: int) -> None:
        now_ms, total_fen = self.play.now_ms, shares + more
        live = sum(not one.over and one.dropped.closes_ms > now_ms for one in self.envelopes.values())
        decision = self.tries(ANCHOR, DropRedEnvelope(total_fen, shares, how, "Luck", opens_in_ms, open_for_ms, condition, per_address))
        if not self.play.room.open:
            assert isinstance(decision, Refusal)
            assert decision.code == "room_closed"
        elif total_fen < shares:
            assert isinstance(decision, Refusal)
            assert decision.code == "out_of_range"
        else:
            assert isinstance(decision, Decided) == (live < LIVE_MAX)

    @rule(
        name=st.sampled_from(USERS),
        back=st.integers(1, 5),
        watched_s=st.sampled_from([60, 600, 59, 0]),
        address_hash=st.sampled_from(ADDRESS_HASHES),
        times=st.integers(1, 2),
    )
    def grab(self, name: str, back: int, watched_s: int, address_hash: str, times: int) -> None:
        number = self.pick(back)
        for _ in range(times):
            sender = Sender(name, name.upper(), watched_s=watched_s, address_hash=address_hash)
            right = self.envelopes[number].outcome(sender, self.play.now_ms) if self.envelopes else "envelope_not_found"
            decision = self.tries(sender, GrabRedEnvelope(number))
            if isinstance(decision, Refusal):
                assert decision.code == right
                if right == "already_grabbed":
                    assert f": {self.envelopes[number].granted[name]} fen" in decision.detail
            else:
                assert decision.result["amount_fen"] == right == self.envelopes[number].granted[name]
                self.envelopes[number].came_from.append(address_hash)

    @rule(names=st.lists(st.sampled_from(USERS), min_size=1, max_size=12), back=st.integers(1, 2), address_hash=st.sampled_from(ADDRESS_HASHES))
    def crowd_grabs(self, names: list[str], back: int, address_hash: str) -> None:
        for name in names:
            self.grab(name, back, 60, address_hash, 1)

    @rule(sender=st.sampled_from([ANCHOR, PLATFORM, Sender("u0", "U0")]), number=st.integers(0, 1_000))
    def grab_what_is_not_theirs(self, sender: Sender, number: int) -> None:
        if number in self.envelopes and sender.user == "u0":
            return
        decision = self.tries(sender, GrabRedEnvelope(number))
        assert isinstance(decision, Refusal)
        assert decision.code == ("envelope_not_found" if sender.user == "u0" else "forbidden")

    @rule(name=st.sampled_from(USERS), text=st.sampled_from(["luck", "Good LUCK!", "l\u200buck", "ＬＵＣＫ", "lu ck"]))
    def talk(self, name: str, text: str) -> None:
        decision = self.tries(Sender(name, name), SendChat(text))
        if isinstance(decision, Decided) and text != "lu ck":
            for one in self.envelopes.values():
                one.said.add(name)

    @rule(back=st.integers(1, 4))
    def cancel(self, back: int) -> None:
        number, now_ms = self.pick(back), self.play.now_ms
        one = self.envelopes.get(number)
        right = "envelope_not_found"
        if one is not None:
            over = "envelope_empty" if one.over == "empty" else "envelope_closed"
            right = over if one.over else "already_open" if now_ms >= one.dropped.opens_ms else ""
        decision = self.tries(ANCHOR, CancelRedEnvelope(number))
        assert (decision.code if isinstance(decision, Refusal) else "") == right
        if one is not None and not right:
            assert (one.over, one.granted) == ("cancelled", {})

    @rule(really=st.sampled_from([False, False, False, True]))
    def close_and_open(self, really: bool) -> None:
        if not really:
            return
        self.tries(ANCHOR, CloseRoom())
        assert all(one.over for one in self.envelopes.values())
        self.tries(ANCHOR, OpenRoom("Again"))

    @rule(duration_ms=st.sampled_from([0, 1, 999, 1_000, 1_000, 5_000, 60_000]))
    def time_passes(self, duration_ms: int) -> None:
        due = due_ms(self.play.room)
        assert bool(self.play.passes(duration_ms)) == (due is not None and due <= self.play.now_ms)
        self.look()
        for one in self.envelopes.values():
            assert one.opened or one.over or self.play.now_ms < one.dropped.opens_ms
            assert one.over or self.play.now_ms < one.dropped.closes_ms

    @rule(duration_ms=st.sampled_from([1, 1, 1_000, 1_000, 5_000, 60_000]))
    def time_passes_before_the_timer_does(self, duration_ms: int) -> None:
        self.play.now_ms += duration_ms

    @rule()
    def recover(self) -> None:
        """Go on with the state that was written and read again."""
        encoded = encode_state(self.play.room)
        self.play.state = decode_state(encoded)
        assert encode_state(self.play.room) == encoded

    @invariant()
    def every_fen_is_accounted_for(self) -> None:
        """The state and what viewers see say what the events say."""
        live = {number: one for number, one in self.envelopes.items() if not one.over}
        views = {view.envelope: view for view in self.play.keyframe.envelopes}
        assert list(red_envelopes_of(self.play.room).live) == list(views) == list(live)
        for number, one in live.items():
            assert sum(one.granted.values()) + views[number].left_fen == one.dropped.total_fen
            assert (views[number].left_fen, views[number].shares_left) == (one.left_fen, one.dropped.shares - len(one.granted))
            assert views[number].open == one.opened

    def teardown(self) -> None:
        """The events alone tell the state, to the byte; and anybody can verify every envelope from them."""
        state: RoomState | None = None
        for seq, time_ms, event in self.play.story:
            state = evolve(state, event, seq, time_ms)
        assert encode_state(state) == encode_state(self.play.state)
        lines = [encode({"room": ROOM, "time_ms": time_ms, **event_object(event, seq)}) for seq, time_ms, event in self.play.story]
        public = [encode(event_object(event, seq)) for seq, _, event in self.play.story if event.delivery is not Delivery.internal]
        for number, one in self.envelopes.items():
            for told in (lines, public) if one.over else (lines,):
                proof = verify_envelope(told, ROOM, number)
                assert {user: event.amount_fen for user, event in proof.granted.items()} == one.granted
                assert (proof.closed.reason if proof.closed else "") == one.over


TestEnvelopes = Envelopes.TestCase
TestEnvelopes.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
