"""Chat: rate limit, slow mode, the room's budget of shown lines, deleting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.features.chat.messages import ChatSent, DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.chat.rules import MESSAGES_MAX
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RoomOpened
from liveroom.messages.fields import Role
from liveroom.protocol.records import Sender
from tests.features.play import ANCHOR, BELLA, MODERATOR, PLATFORM, VERA, VICTOR, Play


def user(number: int, *, buyer: bool = False) -> Sender:
    return Sender(f"u{number}", f"User {number}", buyer=buyer)


def test_a_line_is_named_by_its_seq() -> None:
    """The result names the message; the event says who spoke, as their token says."""
    play = Play()
    (event,) = play.events(BELLA, SendChat("how much?"))
    assert event == ChatSent("bella", "Bella", "how much?", Role.viewer, buyer=True, shown=True)
    assert play.says(VERA) == {"message": 2, "shown": True}


def test_a_viewer_may_burst_then_must_wait() -> None:
    """`chat_burst` lines at once, then one per interval, and the refusal says exactly when."""
    play = Play(chat_interval_ms=1_000, chat_burst=3)
    for _ in range(3):
        play.says(VERA)
    refusal = play.refused(VERA, SendChat("too much"))
    assert (refusal.code, refusal.retry_after_ms) == ("rate_limited", 1_000)
    play.passes(999)
    assert play.refused(VERA, SendChat("too much")).retry_after_ms == 1
    play.passes(1)
    play.says(VERA)
    assert play.refused(VERA, SendChat("too much")).retry_after_ms == 1_000


def test_each_viewer_has_a_rate_of_their_own() -> None:
    """One viewer's burst affects no other; buyers are limited like all viewers."""
    play = Play(chat_burst=1)
    for sender in (VERA, VICTOR, BELLA):
        play.says(sender)
        assert play.refused(sender, SendChat("again")).code == "rate_limited"


@pytest.mark.parametrize("sender", [MODERATOR, ANCHOR, PLATFORM])
def test_those_who_run_the_room_have_no_rate(sender: Sender) -> None:
    """Moderators and above speak as often as they like, in slow mode too."""
    play = Play(chat_burst=1)
    play.does(MODERATOR, SetSlowMode(60_000))
    for _ in range(50):
        assert play.says(sender)["shown"] is True


def test_a_rate_of_no_interval_is_no_limit() -> None:
    """`chat_interval_ms = 0` turns the rate limit off."""
    play = Play(chat_interval_ms=0, chat_burst=1)
    for _ in range(50):
        play.says(VERA)


def test_the_rate_is_the_one_the_room_was_opened_with() -> None:
    """Other settings take effect when the room is opened again, never in the middle: replay must not depend on them."""
    play = Play(chat_burst=1)
    play.rules = Play(chat_burst=100).rules
    play.says(VERA)
    assert play.refused(VERA, SendChat("again")).code == "rate_limited"
    play.does(ANCHOR, CloseRoom())
    play.does(ANCHOR, OpenRoom("Again"))
    play.says(VERA)


@given(st.lists(st.integers(0, 3_000), min_size=20, max_size=60), st.integers(1, 5))
def test_the_rate_holds_over_any_stretch(pauses_ms: list[int], burst: int) -> None:
    """Between any two lines of a viewer there are at most `burst` more than intervals have passed; waiting as told always suffices."""
    play = Play(chat_interval_ms=1_000, chat_burst=burst)
    said_ms: list[int] = []
    for pause_ms in pauses_ms:
        play.now_ms += pause_ms
        decision = play.tries(VERA, SendChat("x"))
        if wait_ms := getattr(decision, "retry_after_ms", 0):
            play.now_ms += wait_ms
            play.says(VERA)
        said_ms.append(play.now_ms)
    for first in range(len(said_ms)):
        for last in range(first, len(said_ms)):
            assert last - first + 1 <= burst + (said_ms[last] - said_ms[first]) // 1_000


def test_slow_mode_spaces_each_viewers_lines() -> None:
    """One line per interval for each viewer, buyers too, to the millisecond."""
    play = Play()
    play.does(MODERATOR, SetSlowMode(30_000))
    for sender in (VERA, BELLA):
        play.says(sender)
    play.passes(29_999)
    for sender in (VERA, BELLA):
        refusal = play.refused(sender, SendChat("again"))
        assert (refusal.code, refusal.retry_after_ms) == ("slow_mode", 1)
    play.passes(1)
    play.says(VERA)


def test_slow_mode_counts_from_when_it_was_set() -> None:
    """Lines said before do not hold anybody back; the same interval again is no event."""
    play = Play()
    play.says(VERA)
    play.passes(1)
    play.does(MODERATOR, SetSlowMode(30_000))
    play.says(VERA)
    assert play.events(MODERATOR, SetSlowMode(30_000)) == ()
    assert play.refused(VERA, SendChat("again")).code == "slow_mode"
    assert play.keyframe.slow_mode_ms == 30_000


def test_slow_mode_can_be_turned_off() -> None:
    """An interval of 0 leaves only the rate limit."""
    play = Play()
    play.does(MODERATOR, SetSlowMode(30_000))
    play.says(VERA)
    play.does(MODERATOR, SetSlowMode(0))
    play.says(VERA)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4_000)), max_size=80))
def test_slow_mode_is_exact_for_everybody(lines: list[tuple[int, int]]) -> None:
    """A line is refused if and only if the same viewer's last line is less than the interval ago, and the wait told is what is left."""
    play = Play(chat_interval_ms=0)
    play.does(MODERATOR, SetSlowMode(5_000))
    last_ms: dict[int, int] = {}
    for number, pause_ms in lines:
        play.now_ms += pause_ms
        wait_ms = last_ms.get(number, -5_000) + 5_000 - play.now_ms
        if wait_ms > 0:
            assert play.refused(user(number), SendChat("x")).retry_after_ms == wait_ms
        else:
            play.says(user(number))
            last_ms[number] = play.now_ms


def test_slow_mode_holds_however_many_others_speak() -> None:
    """Every speaker within the interval is remembered, while others come and go."""
    play = Play(chat_burst=1)
    play.does(MODERATOR, SetSlowMode(60_000))
    play.says(VICTOR)
    play.passes(29_000)
    play.says(VERA)
    for number in range(59):
        play.passes(1_000)
        play.says(user(number))
        assert play.refused(VERA, SendChat("again")).code == "slow_mode"
    play.passes(1_000)
    play.says(VERA)


def test_beyond_the_budget_lines_are_taken_but_not_shown() -> None:
    """The answer says so, the line has its seq, and the keyframe does not hold it."""
    play = Play()
    play.does(ANCHOR, SetChatBudget(2))
    play.says(user(1))
    play.says(user(2))
    assert play.says(user(3), "unseen") == {"message": play.room.seq - 1, "shown": False}
    assert [line.user for line in play.keyframe.chat] == ["u1", "u2"]
    play.passes(1_000)
    assert play.says(user(4))["shown"] is True


def test_a_part_of_the_budget_is_kept_for_buyers() -> None:
    """With 20 lines a second, 15 are for anyone, the rest for buyers only."""
    play = Play(chat_budget_lines_per_s=20)
    assert [play.says(user(number))["shown"] for number in range(20)] == [True] * 15 + [False] * 5
    assert [play.says(user(number, buyer=True))["shown"] for number in range(100, 110)] == [True] * 5 + [False] * 5


def test_those_who_run_the_room_are_always_shown() -> None:
    """Their lines do not use the budget up either."""
    play = Play(chat_budget_lines_per_s=1)
    for sender in (MODERATOR, ANCHOR, PLATFORM):
        assert play.says(sender)["shown"] is True
    assert play.says(VERA)["shown"] is True
    assert play.says(VICTOR)["shown"] is False
    assert play.says(ANCHOR)["shown"] is True


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=120))
def test_no_second_shows_more_than_the_budget(budget: int, lines: list[tuple[int, bool]]) -> None:
    """Wherever a second begins; and a buyer's line is left out only when the whole budget is used up."""
    play = Play(chat_interval_ms=0, chat_budget_lines_per_s=budget)
    shown_ms: list[int] = []
    for number, (pause_ms, buyer) in enumerate(lines):
        play.now_ms += pause_ms
        used = sum(at_ms > play.now_ms - 1_000 for at_ms in shown_ms)
        shown = play.says(user(number, buyer=buyer))["shown"]
        assert shown == (used < (budget if buyer else budget - budget // 4))
        if shown:
            shown_ms.append(play.now_ms)


def test_the_budget_that_was_set_outlives_a_closing() -> None:
    """It is the anchor's choice until the anchor makes another, and the event of the opening says so; the same number again is no event."""
    play = Play()
    play.does(ANCHOR, SetChatBudget(7))
    assert play.events(ANCHOR, SetChatBudget(7)) == ()
    play.does(ANCHOR, CloseRoom())
    (opened,) = play.events(ANCHOR, OpenRoom("Again"))
    assert isinstance(opened, RoomOpened)
    assert play.keyframe.chat_budget == opened.rules.chat_budget == 7


def test_a_budget_that_nobody_set_follows_the_settings() -> None:
    """From the next opening on."""
    play = Play(chat_budget_lines_per_s=20)
    play.does(ANCHOR, CloseRoom())
    play.rules = Play(chat_budget_lines_per_s=30).rules
    play.does(ANCHOR, OpenRoom("Again"))
    assert play.keyframe.chat_budget == 30


def test_a_deleted_line_leaves_the_keyframe() -> None:
    """Later viewers do not see it; deleting it twice is refused."""
    play = Play()
    first = play.says(VERA, "rude")["message"]
    play.says(VICTOR, "polite")
    play.does(MODERATOR, DeleteMessage(int(first)))
    assert [line.text for line in play.keyframe.chat] == ["polite"]
    assert play.refused(MODERATOR, DeleteMessage(int(first))).code == "message_not_found"


def test_only_shown_lines_can_be_deleted() -> None:
    """A seq that is another event's, not shown, or not there yet names no message."""
    play = Play(chat_budget_lines_per_s=1)
    play.says(VERA)
    unseen = play.says(VICTOR)["message"]
    for message in (0, unseen, 99):
        assert play.refused(MODERATOR, DeleteMessage(int(message))).code == "message_not_found"


def test_the_last_lines_can_be_deleted() -> None:
    """Exactly `MESSAGES_MAX` of them, however many were said."""
    play = Play()
    seqs = [int(play.says(ANCHOR)["message"]) for _ in range(2 * MESSAGES_MAX)]
    assert play.refused(MODERATOR, DeleteMessage(seqs[-MESSAGES_MAX - 1])).code == "message_not_found"
    play.does(MODERATOR, DeleteMessage(seqs[-MESSAGES_MAX]))
    assert play.keyframe.chat[-1].seq == seqs[-1]
