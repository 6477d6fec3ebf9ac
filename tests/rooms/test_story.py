"""Whatever happens in a room, in any order, at any time: the rules hold, and the events alone tell the state."""

from __future__ import annotations

from hashlib import blake2b
from importlib import import_module
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from liveroom.features.audience.messages import AudienceCounted, ReportAudience
from liveroom.features.audience.rules import USERS_EXACT_MAX
from liveroom.features.chat.messages import ChatSent, DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ReserveStock
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, SetAnnouncement
from liveroom.features.likes.messages import SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SetBannedWords, UnbanUser, UnmuteUser
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion, QuestionAsked
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, EnvelopeCondition, GrabRedEnvelope
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RemoveProduct, RequestTryOn, UnpinProduct
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from liveroom.protocol.refusals import REFUSALS
from liveroom.rooms.room import KEYFRAME_BYTES_MAX, Decided, RoomState, decode_state, due_ms, encode_state, evolve, keyframe
from liveroom.rooms.state import RULES
from tests.features.play import ANCHOR, BELLA, GATEWAY, MODERATOR, PLATFORM, ROOM, VERA, VICTOR, Play
from tests.protocol.strategies import messages
from tests.readers import Readers

SENDERS = st.sampled_from([VERA, VICTOR, BELLA, MODERATOR, ANCHOR, PLATFORM, GATEWAY])
TALKERS = st.sampled_from([VERA, VICTOR, BELLA, MODERATOR, ANCHOR])
USERS = st.sampled_from(["vera", "victor", "bella", "mo"])
PRODUCTS = st.sampled_from(["shirt", "shoes", "hat"])
TEXTS = st.sampled_from(["hi", "how much?", "说得好", "x" * 120, "a sc\u200bam", " ", "\x00"]) | st.text(max_size=20)
DURATIONS_MS = st.sampled_from([1_000, 60_000, 3_600_000])
MODERATING = st.one_of(
    st.builds(MuteUser, USERS, DURATIONS_MS, st.just("spam")),
    st.builds(UnmuteUser, USERS),
    st.builds(BanUser, USERS, DURATIONS_MS),
    st.builds(UnbanUser, USERS),
    st.builds(SetSlowMode, st.sampled_from([0, 0, 2_000])),
    st.builds(SetBannedWords, st.sampled_from([(), ("scam", "假货")])),
    st.builds(SetChatBudget, st.integers(1, 5)),
    st.builds(SetAnnouncement, st.sampled_from(["", "Two for one\nuntil nine"])),
)
SELLING = st.one_of(
    st.builds(AddProduct, st.builds(Product, PRODUCTS, st.just("A thing"), st.integers(1, 9))),
    st.builds(PinProduct, PRODUCTS),
    st.builds(UnpinProduct),
    st.builds(RemoveProduct, PRODUCTS),
)
TAKING_PART = st.one_of(st.builds(AskQuestion, st.just("which size?")), st.builds(SendLikes, st.integers(1, 50)), st.builds(RequestTryOn, PRODUCTS))
DROPPING = st.builds(
    DropRedEnvelope,
    st.integers(5, 50),
    st.integers(1, 5),
    opens_in_ms=st.sampled_from([0, 500, 40_000]),
    open_for_ms=st.sampled_from([1_000, 40_000]),
    condition=st.sampled_from([EnvelopeCondition(), EnvelopeCondition("hi"), EnvelopeCondition(watched_s=1)]),
)
OFFERING = st.one_of(
    st.builds(IssueCoupon, st.just("5 off"), st.just(CouponTerms(amount_fen=500)), st.integers(1, 5), claimable_ms=st.sampled_from([1_000, 40_000])),
    st.builds(AnnounceFlashSale, PRODUCTS, st.integers(0, 9), st.integers(1, 5), opens_in_ms=st.sampled_from([0, 500]), hold_ms=st.just(1_000)),
)
ON_QUESTIONS: Any = st.sampled_from([PickQuestion, AnswerQuestion, DismissQuestion])

#: Audience reports that gateways would send for users 0, 1, 2, ...
HASHES = tuple(int.from_bytes(blake2b(b"%d" % number, digest_size=8).digest(), "big") >> 11 for number in range(3_000))


def fold(state: RoomState | None, story: list[Any]) -> RoomState | None:
    for seq, time_ms, event in story:
        state = evolve(state, event, seq, time_ms)
    return state


def assert_no_shared_part_changed() -> None:
    """A room without a feature's part reads as an empty one, which all rooms share: nothing may ever have been written into it."""
    bare = Play().room
    for name, rules in RULES.items():
        if rules.state is not None:
            assert getattr(bare, name) is None
            assert import_module(f"liveroom.features.{name}.state").of(bare) == rules.state()


class RoomMachine(RuleBasedStateMachine):
    """One room, told by chance, beside a plain model of what must be true of it."""

    @initialize()
    def begin(self) -> None:
        self.play = Play(opened=False, chat_interval_ms=500, chat_burst=2, chat_budget_lines_per_s=3, products_max=2, questions_per_user_max=2)
        self.budget_max = 3
        self.sanctioned: dict[tuple[str, str], int] = {}
        self.shown_ms: list[int] = []
        self.reported: dict[str, tuple[int, int]] = {}
        self.users: set[int] = set()
        self.peak = 0
        self.lines: list[int] = []
        self.questions: list[int] = []
        self.does(ANCHOR, OpenRoom("Sale"))
        self.readers = Readers(self.play.detail, 200)
        self.told = len(self.play.story)

    def does(self, sender: Sender, command: Command) -> None:
        """Send a command, and hold its outcome against the model."""
        before = self.play.state.seq if self.play.state else 0
        decision = self.play.tries(sender, command)
        if not isinstance(decision, Decided):
            assert decision.code in REFUSALS
            assert decision.detail
            return
        assert self.play.room.seq == before + len(decision.events)
        assert all(isinstance(value, (str, int, bool)) for value in decision.result.values())
        for seq, event in enumerate(decision.events, before):
            if isinstance(event, (ChatSent, QuestionAsked)):
                (self.lines if isinstance(event, ChatSent) else self.questions).append(seq)
            if isinstance(event, (ChatSent, QuestionAsked)) and sender.role is not Role.platform:
                assert not self.bound("muted", sender)
                assert not self.bound("banned", sender)
            if isinstance(event, ChatSent) and event.shown and event.role is Role.viewer:
                self.shown_ms.append(self.play.now_ms)
        self.note(command)

    def bound(self, by: str, sender: Sender) -> bool:
        return self.sanctioned.get((by, sender.user), 0) > self.play.now_ms

    def note(self, command: Command) -> None:
        now_ms = self.play.now_ms
        match command:
            case MuteUser(user=user, duration_ms=duration_ms):
                self.sanctioned["muted", user] = now_ms + duration_ms
            case BanUser(user=user, duration_ms=duration_ms):
                self.sanctioned["banned", user] = now_ms + duration_ms
            case UnmuteUser(user=user):
                del self.sanctioned["muted", user]
            case UnbanUser(user=user):
                del self.sanctioned["banned", user]
            case SetChatBudget(lines_per_s=lines_per_s):
                self.budget_max = max(self.budget_max, lines_per_s)
            case ReportAudience(gateway=gateway, viewers=viewers, joined=joined):
                self.reported[gateway] = (viewers, now_ms + self.play.room.rules.audience_expiry_ms)
                self.users.update(joined)
                self.peak = max(self.peak, self.viewers())

    def viewers(self) -> int:
        return sum(viewers for viewers, expires_ms in self.reported.values() if expires_ms > self.play.now_ms)

    @rule(sender=SENDERS, command=messages(Command))
    def anything(self, sender: Sender, command: Command) -> None:
        self.does(sender, command)

    @rule(sender=TALKERS, texts=st.lists(TEXTS, min_size=1, max_size=6))
    def talk(self, sender: Sender, texts: list[str]) -> None:
        for text in texts:
            self.does(sender, SendChat(text))

    @rule(first=st.integers(0, 100), count=st.integers(1, 8), buyers=st.booleans())
    def crowd_talks(self, first: int, count: int, buyers: bool) -> None:
        for number in range(first, first + count):
            self.does(Sender(f"u{number}", "U", buyer=buyers), SendChat("hi"))

    @rule(command=st.sampled_from([CloseRoom(), OpenRoom("Again")]))
    def close_or_open(self, command: Command) -> None:
        self.does(ANCHOR, command)

    @rule(sender=st.sampled_from([MODERATOR, ANCHOR, PLATFORM]), command=MODERATING)
    def moderate(self, sender: Sender, command: Command) -> None:
        self.does(sender, command)

    @rule(commands=st.lists(SELLING, min_size=1, max_size=4))
    def sell(self, commands: list[Command]) -> None:
        for command in commands:
            self.does(ANCHOR, command)

    @rule(sender=TALKERS, command=TAKING_PART)
    def take_part(self, sender: Sender, command: Command) -> None:
        self.does(sender, command)

    @rule(command=DROPPING)
    def drop_an_envelope(self, command: Command) -> None:
        self.does(ANCHOR, command)

    @rule(sender=TALKERS, kind=st.sampled_from([GrabRedEnvelope, GrabRedEnvelope, CancelRedEnvelope]), back=st.integers(1, 2))
    def see_to_an_envelope(self, sender: Sender, kind: Any, back: int) -> None:
        self.does(sender, kind((list(red_envelopes_of(self.play.room).live)[-back:] or [0])[0]))

    @rule(command=OFFERING)
    def offer(self, command: Command) -> None:
        self.does(ANCHOR, command)

    @rule(sender=TALKERS, claims=st.booleans())
    def take_an_offer(self, sender: Sender, claims: bool) -> None:
        room = self.play.room
        self.does(
            sender,
            ClaimCoupon(next(reversed(coupons_of(room).live), 0)) if claims else ReserveStock(next(reversed(flash_sales_of(room).live), 0)),
        )

    @rule(back=st.integers(1, 4))
    def delete_a_line(self, back: int) -> None:
        self.does(MODERATOR, DeleteMessage((self.lines[-back:] or [0])[0]))

    @rule(kind=ON_QUESTIONS, back=st.integers(1, 4))
    def see_to_a_question(self, kind: Any, back: int) -> None:
        self.does(ANCHOR, kind((self.questions[-back:] or [0])[0]))

    @rule(gateway=st.sampled_from(["g1", "g2", "g3"]), viewers=st.integers(0, 50), first=st.integers(0, 2_300), count=st.sampled_from([0, 3, 700]))
    def gateway_reports(self, gateway: str, viewers: int, first: int, count: int) -> None:
        hashes = HASHES[first : first + count]
        self.does(GATEWAY, ReportAudience(gateway, viewers, hashes))

    @rule(duration_ms=st.sampled_from([1, 100, 500, 500, 1_000, 40_000]))
    def time_passes(self, duration_ms: int) -> None:
        due = due_ms(self.play.room)
        events = self.play.passes(duration_ms)
        assert bool(events) == (due is not None and due <= self.play.now_ms)

    @rule()
    def recover(self) -> None:
        """Go on with the state that was written and read again."""
        encoded = encode_state(self.play.room)
        self.play.state = decode_state(encoded)
        assert encode_state(self.play.room) == encoded

    def teardown(self) -> None:
        """The events alone tell the state, to the byte, at the end and half way; their seqs have no gap."""
        story = self.play.story
        assert [seq for seq, _time_ms, _event in story] == list(range(self.play.room.seq))
        half = fold(None, story[: len(story) // 2])
        for state in (fold(None, story), fold(decode_state(encode_state(half)) if half else None, story[len(story) // 2 :])):
            assert state == self.play.state
            assert encode_state(state) == encode_state(self.play.state)
        assert_no_shared_part_changed()

    @invariant()
    def keyframe_is_small_and_the_same_for_equal_states(self) -> None:
        frame = encode(self.play.keyframe)
        assert len(frame) <= KEYFRAME_BYTES_MAX
        again = decode_state(encode_state(self.play.room))
        assert encode(keyframe(ROOM, again, self.play.now_ms, self.play.rules)) == frame

    @invariant()
    def console_and_client_fold_what_the_engine_says(self) -> None:
        for seq, time_ms, event in self.play.story[self.told :]:
            self.readers.take(seq, (event,), time_ms)
        self.told = len(self.play.story)
        self.readers.agree_with(self.play.detail)

    @invariant()
    def detail_lists_only_who_is_bound_now(self) -> None:
        detail = self.play.detail
        active = {key: until_ms for key, until_ms in self.sanctioned.items() if until_ms > self.play.now_ms}
        assert {("muted", user): until_ms for user, until_ms in detail.muted.items()} | {
            ("banned", user): until_ms for user, until_ms in detail.banned.items()
        } == active

    @invariant()
    def no_second_shows_more_than_the_largest_budget(self) -> None:
        for first_ms, past_ms in zip(self.shown_ms, self.shown_ms[self.budget_max :], strict=False):
            assert past_ms - first_ms >= 1_000

    @invariant()
    def audience_is_what_was_reported(self) -> None:
        frame = self.play.keyframe
        due = due_ms(self.play.room)
        if due is None or due > self.play.now_ms:
            assert frame.viewers == self.viewers()
        assert frame.peak == self.peak
        assert frame.unique_estimated == (len(self.users) > USERS_EXACT_MAX)
        if frame.unique_estimated:
            assert abs(frame.unique - len(self.users)) < 0.065 * len(self.users)
        else:
            assert frame.unique == len(self.users)

    @invariant()
    def peak_and_unique_never_fall(self) -> None:
        counted = [event for _seq, _time_ms, event in self.play.story if isinstance(event, AudienceCounted)]
        for before, after in pairwise(counted):
            assert after.peak >= before.peak
            assert after.unique >= before.unique


TestStory = RoomMachine.TestCase
TestStory.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
