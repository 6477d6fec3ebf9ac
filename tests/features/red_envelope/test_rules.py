"""Red envelopes by example: shares, times, and public events."""

from __future__ import annotations

from random import Random

import pytest

from liveroom.features.chat.messages import SendChat, SetChatBudget
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RoomClosed
from liveroom.features.moderation.messages import BanUser, MuteUser
from liveroom.features.red_envelope import rules as red_envelope
from liveroom.features.red_envelope.fairness import commitment_of, split
from liveroom.features.red_envelope.messages import (
    CancelRedEnvelope,
    DropRedEnvelope,
    EnvelopeCondition,
    EnvelopeWinner,
    GrabRedEnvelope,
    RedEnvelopeClosed,
    RedEnvelopeDropped,
    RedEnvelopeGrabbed,
    RedEnvelopeOpened,
    RedEnvelopeSealed,
)
from liveroom.features.red_envelope.rules import OVER_MAX, WINNERS_KEPT_MAX
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.protocol.codec import encode
from liveroom.protocol.events import Event
from liveroom.protocol.records import Sender
from liveroom.rooms.room import decode_state, due_ms, encode_state
from tests.features.play import ANCHOR, BELLA, MODERATOR, PLATFORM, VERA, VICTOR, Play

OPENS_IN_MS = 5_000
OPEN_FOR_MS = 60_000


def dropped(play: Play, total_fen: int = 1_000, shares: int = 3, **more: object) -> int:
    """An envelope that was just announced; its id."""
    return int(play.does(ANCHOR, DropRedEnvelope(total_fen, shares, **more))["envelope"])  # type: ignore[arg-type]


def opened(play: Play, total_fen: int = 1_000, shares: int = 3, **more: object) -> int:
    """An envelope that opens at once; its id."""
    return dropped(play, total_fen, shares, opens_in_ms=0, **more)


def user(number: int) -> Sender:
    return Sender(f"u{number}", f"User {number}")


def shares_of(play: Play, envelope: int) -> list[int]:
    state = red_envelopes_of(play.room).live[envelope]
    return split(state.seed, state.total_fen, state.shares, state.split)


def told(play: Play, kind: type[Event]) -> list[Event]:
    return [event for _seq, _time_ms, event in play.story if isinstance(event, kind)]


def test_a_drop_is_announced_and_sealed() -> None:
    """It shows before it opens; the commitment is public, the seed is not."""
    play = Play()
    seq = play.room.seq
    announced, sealed = play.events(ANCHOR, DropRedEnvelope(1_000, 3, title="好运", condition=EnvelopeCondition("发财")))
    assert isinstance(announced, RedEnvelopeDropped)
    assert isinstance(sealed, RedEnvelopeSealed)
    assert (announced.total_fen, announced.shares, announced.split, announced.title, announced.by) == (1_000, 3, "lucky", "好运", "anna")
    assert (announced.opens_ms, announced.closes_ms) == (play.now_ms + OPENS_IN_MS, play.now_ms + OPENS_IN_MS + OPEN_FOR_MS)
    assert sealed.envelope == seq
    assert (len(sealed.seed), commitment_of(sealed.seed)) == (64, announced.commitment)
    (view,) = play.keyframe.envelopes
    assert (view.envelope, view.shares_left, view.left_fen, view.open, view.commitment) == (seq, 3, 1_000, False, announced.commitment)
    assert view.condition == EnvelopeCondition("发财")
    assert sealed.seed.encode() not in encode(play.detail)


def test_the_answer_to_a_drop_names_the_envelope() -> None:
    """Its id, its times and its commitment."""
    play = Play()
    seq = play.room.seq
    result = play.does(PLATFORM, DropRedEnvelope(1_000, 3, opens_in_ms=0, open_for_ms=1_000))
    commitment = red_envelopes_of(play.room).live[seq].commitment
    assert result == {"envelope": seq, "opens_ms": play.now_ms, "closes_ms": play.now_ms + 1_000, "commitment": commitment}


def test_every_drop_has_a_seed_of_its_own() -> None:
    """256 bits of chance each."""
    play = Play()
    first, second = dropped(play), dropped(play)
    assert red_envelopes_of(play.room).live[first].seed != red_envelopes_of(play.room).live[second].seed
    other = Play()
    other.rng = Random(2)
    third = dropped(other)
    assert red_envelopes_of(play.room).live[first].seed != red_envelopes_of(other.room).live[third].seed


def test_it_opens_and_closes_by_itself() -> None:
    """It opens and closes at exactly its times; the rest is refunded."""
    play = Play()
    envelope = dropped(play)
    assert due_ms(play.room) == play.now_ms + OPENS_IN_MS
    assert play.passes(OPENS_IN_MS - 1) == ()
    assert play.passes(1) == (RedEnvelopeOpened(envelope),)
    assert play.keyframe.envelopes[0].open
    assert due_ms(play.room) == play.now_ms + OPEN_FOR_MS
    amount_fen = int(play.does(VERA, GrabRedEnvelope(envelope))["amount_fen"])
    assert play.passes(OPEN_FOR_MS - 1) == ()
    (end,) = play.passes(1)
    assert isinstance(end, RedEnvelopeClosed)
    assert (end.reason, end.granted_fen, end.refunded_fen) == ("expired", amount_fen, 1_000 - amount_fen)
    assert end.best == (EnvelopeWinner("vera", "Vera", amount_fen),)
    assert play.keyframe.envelopes == ()
    assert due_ms(play.room) is None


def test_after_a_long_sleep_it_opens_and_closes_at_once() -> None:
    """Both events, in order, none twice."""
    play = Play()
    envelope = dropped(play)
    first, second = play.passes(OPENS_IN_MS + OPEN_FOR_MS)
    assert first == RedEnvelopeOpened(envelope)
    assert isinstance(second, RedEnvelopeClosed)
    assert (second.reason, second.refunded_fen) == ("expired", 1_000)
    assert play.passes(1) == ()


def test_shares_are_granted_in_the_order_of_the_grabs() -> None:
    """Shares are granted as they were drawn. The last grab ends the envelope in the same decision, with the seed and the luckiest."""
    play = Play()
    envelope = opened(play, 100, 7)
    shares, seed = shares_of(play, envelope), red_envelopes_of(play.room).live[envelope].seed
    left_fen = 100
    for number, share in enumerate(shares[:-1]):
        left_fen -= share
        grabbed = RedEnvelopeGrabbed(envelope, f"u{number}", f"User {number}", share, 6 - number, left_fen)
        assert play.events(user(number), GrabRedEnvelope(envelope)) == (grabbed,)
        view = play.keyframe.envelopes[0]
        assert (view.shares_left, view.left_fen) == (6 - number, left_fen)
    last, end = play.events(user(6), GrabRedEnvelope(envelope))
    assert last == RedEnvelopeGrabbed(envelope, "u6", "User 6", shares[-1], 0, 0)
    ranked = sorted(range(7), key=lambda number: (-shares[number], number))[:5]
    best = tuple(EnvelopeWinner(f"u{number}", f"User {number}", shares[number]) for number in ranked)
    assert end == RedEnvelopeClosed(envelope, "empty", 100, 0, seed, best)
    assert play.keyframe.envelopes == ()


def test_of_equal_shares_the_earlier_is_the_luckier() -> None:
    """The best list is the same for everybody who makes it from the events."""
    play = Play()
    envelope = opened(play, 70, 7, split="equal")
    for number in range(7):
        play.does(user(number), GrabRedEnvelope(envelope))
    (end,) = told(play, RedEnvelopeClosed)
    assert isinstance(end, RedEnvelopeClosed)
    assert [winner.user for winner in end.best] == ["u0", "u1", "u2", "u3", "u4"]


@pytest.mark.parametrize(("total_fen", "count"), [(1, 1), (10, 10), (11, 10), (10_000, 10_000)])
def test_the_smallest_sums_reach_everybody(total_fen: int, count: int) -> None:
    """One fen a part is enough; one fen less is refused."""
    play = Play()
    assert play.refused(ANCHOR, DropRedEnvelope(count - 1, count)).code == "out_of_range"
    envelope = opened(play, total_fen, count)
    shares = shares_of(play, envelope)
    assert (len(shares), sum(shares), min(shares)) == (count, total_fen, 1)


def test_a_user_has_one_share() -> None:
    """A second grab is refused under any id, while the envelope is open and after its end; the refusal repeats the amount."""
    play = Play()
    envelope = opened(play, 100, 2)
    amount_fen = play.does(VERA, GrabRedEnvelope(envelope))["amount_fen"]
    for _ in range(2):
        refusal = play.refused(VERA, GrabRedEnvelope(envelope))
        assert refusal.code == "already_grabbed"
        assert f": {amount_fen} fen" in refusal.detail
    play.does(VICTOR, GrabRedEnvelope(envelope))
    refusal = play.refused(VERA, GrabRedEnvelope(envelope))
    assert (refusal.code, f": {amount_fen} fen" in refusal.detail) == ("already_grabbed", True)
    assert play.refused(BELLA, GrabRedEnvelope(envelope)).code == "envelope_empty"


def test_a_winner_is_told_so_at_the_very_end() -> None:
    """Having a share comes before being too late."""
    play = Play()
    envelope = opened(play)
    play.does(VERA, GrabRedEnvelope(envelope))
    play.now_ms += OPEN_FOR_MS
    assert play.refused(VERA, GrabRedEnvelope(envelope)).code == "already_grabbed"
    play.passes(0)
    assert play.refused(VERA, GrabRedEnvelope(envelope)).code == "already_grabbed"
    assert play.refused(VICTOR, GrabRedEnvelope(envelope)).code == "envelope_closed"


def test_a_grab_before_the_opening_is_told_how_long_to_wait() -> None:
    """To the millisecond."""
    play = Play()
    envelope = dropped(play)
    play.passes(OPENS_IN_MS - 1)
    refusal = play.refused(VERA, GrabRedEnvelope(envelope))
    assert (refusal.code, refusal.retry_after_ms) == ("envelope_not_open", 1)


def test_time_counts_and_not_the_timer() -> None:
    """A grab that comes at the opening before the timer opens it; one that comes at the end before the timer finds it closed."""
    play = Play()
    envelope = dropped(play)
    play.now_ms += OPENS_IN_MS
    first, second = play.events(VERA, GrabRedEnvelope(envelope))
    assert (first, type(second)) == (RedEnvelopeOpened(envelope), RedEnvelopeGrabbed)
    assert play.passes(0) == ()
    play.now_ms += OPEN_FOR_MS - 1
    play.does(VICTOR, GrabRedEnvelope(envelope))
    play.now_ms += 1
    assert play.refused(BELLA, GrabRedEnvelope(envelope)).code == "envelope_closed"
    assert [type(event) for event in play.passes(0)] == [RedEnvelopeClosed]


def test_one_part_goes_to_the_first() -> None:
    """Opening, grant and end may come in one decision."""
    play = Play()
    envelope = dropped(play, 500, 1)
    play.now_ms += OPENS_IN_MS
    events = play.events(VERA, GrabRedEnvelope(envelope))
    assert [type(event) for event in events] == [RedEnvelopeOpened, RedEnvelopeGrabbed, RedEnvelopeClosed]
    assert due_ms(play.room) is None


@pytest.mark.parametrize("sender", [ANCHOR, PLATFORM])
def test_those_who_run_the_room_take_nothing(sender: Sender) -> None:
    """Nor may viewers and moderators drop or cancel."""
    play = Play()
    envelope = opened(play)
    assert play.refused(sender, GrabRedEnvelope(envelope)).code == "forbidden"
    assert play.refused(MODERATOR, DropRedEnvelope(100, 1)).code == "forbidden"
    assert play.refused(VERA, CancelRedEnvelope(envelope)).code == "forbidden"
    play.does(MODERATOR, GrabRedEnvelope(envelope))


def test_the_banned_get_nothing_the_muted_do() -> None:
    """A ban refuses all, a mute only words."""
    play = Play()
    envelope = opened(play)
    play.does(MODERATOR, BanUser("vera", 60_000))
    play.does(MODERATOR, MuteUser("victor", 60_000))
    assert play.refused(VERA, GrabRedEnvelope(envelope)).code == "banned"
    play.does(VICTOR, GrabRedEnvelope(envelope))


def test_what_never_was_is_not_found() -> None:
    """For grabs and cancels; another event's seq is no envelope."""
    play = Play()
    for number in (0, 7):
        assert play.refused(VERA, GrabRedEnvelope(number)).code == "envelope_not_found"
        assert play.refused(ANCHOR, CancelRedEnvelope(number)).code == "envelope_not_found"


# Cancelling, closing the room


def test_before_it_opens_it_can_be_taken_back() -> None:
    """Everything is refunded; late grabs and a second cancel are refused as closed."""
    play = Play()
    envelope = dropped(play)
    (end,) = play.events(ANCHOR, CancelRedEnvelope(envelope))
    assert isinstance(end, RedEnvelopeClosed)
    assert (end.reason, end.granted_fen, end.refunded_fen, end.best) == ("cancelled", 0, 1_000, ())
    assert play.refused(VERA, GrabRedEnvelope(envelope)).code == "envelope_closed"
    assert play.refused(ANCHOR, CancelRedEnvelope(envelope)).code == "envelope_closed"
    assert play.passes(OPENS_IN_MS + OPEN_FOR_MS) == ()


def test_once_open_it_cannot_be_taken_back() -> None:
    """Nor when its time has come and the timer has not."""
    play = Play()
    assert play.refused(ANCHOR, CancelRedEnvelope(opened(play))).code == "already_open"
    envelope = dropped(play)
    play.now_ms += OPENS_IN_MS
    assert play.refused(ANCHOR, CancelRedEnvelope(envelope)).code == "already_open"


def test_closing_the_room_ends_its_envelopes_first() -> None:
    """The rest is refunded. The reason is the closed room, or the time if it had run out before."""
    play = Play()
    late, live, waiting = opened(play, open_for_ms=1_000), opened(play), dropped(play)
    amount_fen = int(play.does(VERA, GrabRedEnvelope(live))["amount_fen"])
    play.now_ms += 1_000
    *ends, end = play.events(ANCHOR, CloseRoom())
    assert isinstance(end, RoomClosed)
    told = [(one.envelope, one.reason, one.granted_fen, one.refunded_fen) for one in ends if isinstance(one, RedEnvelopeClosed)]
    assert told == [(late, "expired", 0, 1_000), (live, "room_closed", amount_fen, 1_000 - amount_fen), (waiting, "room_closed", 0, 1_000)]
    assert due_ms(play.room) is None
    assert play.refused(VICTOR, GrabRedEnvelope(live)).code == "envelope_closed"
    assert play.refused(VERA, GrabRedEnvelope(live)).code == "already_grabbed"
    assert play.refused(ANCHOR, DropRedEnvelope(100, 1)).code == "room_closed"
    play.does(ANCHOR, OpenRoom("Again"))
    assert play.refused(VICTOR, GrabRedEnvelope(live)).code == "envelope_closed"


# Conditions


def test_a_keyword_must_be_said_since_the_drop() -> None:
    """The keyword counts in any decoration, inside a longer line, shown or not; earlier lines do not count."""
    play = Play(chat_interval_ms=0)
    play.says(VERA, "发财")
    envelope = opened(play, 1_000, 5, condition=EnvelopeCondition("  Good Luck发 "))
    refusal = play.refused(VERA, GrabRedEnvelope(envelope))
    assert (refusal.code, "Good Luck发" in refusal.detail) == ("condition_not_met", True)
    play.says(VERA, "ＧＯＯＤ luck\u200b发, all!")
    play.does(VERA, GrabRedEnvelope(envelope))
    play.says(VICTOR, "good")
    assert play.refused(VICTOR, GrabRedEnvelope(envelope)).code == "condition_not_met"
    play.does(ANCHOR, SetChatBudget(1))
    play.says(BELLA)
    assert play.says(BELLA, "good luck发")["shown"] is False
    play.does(BELLA, GrabRedEnvelope(envelope))


def test_a_line_that_was_refused_does_not_count() -> None:
    """A muted user's line does not count."""
    play = Play()
    envelope = opened(play, condition=EnvelopeCondition("luck"))
    play.does(MODERATOR, MuteUser("vera", 60_000))
    assert play.refused(VERA, SendChat("luck")).code == "muted"
    assert play.refused(VERA, GrabRedEnvelope(envelope)).code == "condition_not_met"


def test_each_envelope_waits_for_its_own_word() -> None:
    """One line may hold several."""
    play = Play(chat_interval_ms=0)
    first = opened(play, condition=EnvelopeCondition("luck"))
    second = opened(play, condition=EnvelopeCondition("joy"))
    play.says(VERA, "joy")
    assert play.refused(VERA, GrabRedEnvelope(first)).code == "condition_not_met"
    play.does(VERA, GrabRedEnvelope(second))
    play.says(VICTOR, "luck and joy")
    play.does(VICTOR, GrabRedEnvelope(first))
    play.does(VICTOR, GrabRedEnvelope(second))


def test_those_who_said_the_word_are_never_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """When more said it than are remembered it counts as said by everybody."""
    monkeypatch.setattr(red_envelope, "SAID_MAX", 3)
    play = Play()
    envelope = opened(play, 1_000, 5, condition=EnvelopeCondition("luck"))
    for number in range(2):
        play.says(user(number), "luck")
    assert play.refused(user(7), GrabRedEnvelope(envelope)).code == "condition_not_met"
    for number in range(2, 4):
        play.says(user(number), "luck")
    play.does(user(3), GrabRedEnvelope(envelope))
    play.does(user(7), GrabRedEnvelope(envelope))
    assert len(red_envelopes_of(play.room).live[envelope].said) == 3


def test_watching_must_be_long_enough() -> None:
    """The gateway's count decides, and the refusal says how much is missing."""
    play = Play()
    envelope = opened(play, condition=EnvelopeCondition(watched_s=300))
    refusal = play.refused(Sender("vera", "Vera", watched_s=299), GrabRedEnvelope(envelope))
    assert (refusal.code, refusal.retry_after_ms) == ("condition_not_met", 1_000)
    assert play.refused(VERA, GrabRedEnvelope(envelope)).retry_after_ms == 300_000
    play.does(Sender("vera", "Vera", watched_s=300), GrabRedEnvelope(envelope))


def test_both_conditions_must_be_met() -> None:
    """Each refuses by itself."""
    play = Play()
    envelope = opened(play, condition=EnvelopeCondition("luck", 10))
    watcher = Sender("vera", "Vera", watched_s=10)
    assert play.refused(watcher, GrabRedEnvelope(envelope)).code == "condition_not_met"
    play.says(VERA, "luck")
    assert play.refused(VERA, GrabRedEnvelope(envelope)).code == "condition_not_met"
    play.does(watcher, GrabRedEnvelope(envelope))


# Refusals and forgetting


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"title": "\u200b"}, "empty_text", "title"),
        ({"title": "a\nb"}, "control_characters", "title"),
        ({"condition": EnvelopeCondition("a\x00b")}, "control_characters", "condition.keyword"),
        ({"condition": EnvelopeCondition("\u200b")}, "empty_text", "condition.keyword"),
        ({"condition": EnvelopeCondition("\u0336")}, "empty_text", "condition.keyword"),
        ({"condition": EnvelopeCondition("\ufdfa" * 3)}, "too_long", "condition.keyword"),
    ],
)
def test_words_that_cannot_be_shown_or_said_are_refused(more: dict[str, object], code: str, field: str) -> None:
    """The title must be visible. The normalized keyword must not be empty, and be no longer than a banned word."""
    refusal = Play().refused(ANCHOR, DropRedEnvelope(1_000, 3, **more))  # type: ignore[arg-type]
    assert (refusal.code, refusal.field) == (code, field)


def test_a_room_has_only_so_many_at_once() -> None:
    """Envelopes whose time is over do not count, even before the timer fires."""
    play = Play(red_envelopes_live_max=2)
    opened(play, open_for_ms=1_000)
    dropped(play)
    assert play.refused(ANCHOR, DropRedEnvelope(100, 1)).code == "limit_reached"
    play.now_ms += 1_000
    dropped(play)


def test_the_last_envelopes_are_remembered() -> None:
    """Older ones are as if they never were."""
    play = Play()
    envelopes = [dropped(play) for _ in range(1)]
    play.does(ANCHOR, CancelRedEnvelope(envelopes[0]))
    for _ in range(OVER_MAX):
        assert play.refused(VERA, GrabRedEnvelope(envelopes[0])).code == "envelope_closed"
        envelopes.append(dropped(play))
        play.does(ANCHOR, CancelRedEnvelope(envelopes[-1]))
    assert play.refused(VERA, GrabRedEnvelope(envelopes[0])).code == "envelope_not_found"
    assert play.refused(VERA, GrabRedEnvelope(envelopes[1])).code == "envelope_closed"
    assert len(red_envelopes_of(play.room).over) == OVER_MAX


def test_winners_of_the_last_envelopes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest envelopes' are forgotten first; that they are over is not."""
    monkeypatch.setattr(red_envelope, "WINNERS_KEPT_MAX", 5)
    play = Play()
    envelopes = []
    for _ in range(3):
        envelopes.append(opened(play, 100, 2))
        play.does(VERA, GrabRedEnvelope(envelopes[-1]))
        play.does(VICTOR, GrabRedEnvelope(envelopes[-1]))
    codes = [play.refused(VERA, GrabRedEnvelope(envelope)).code for envelope in envelopes]
    assert codes == ["envelope_empty", "already_grabbed", "already_grabbed"]
    assert WINNERS_KEPT_MAX >= 10_000, "the last envelope's winners always fit"


def test_a_full_envelope_survives_json() -> None:
    """The largest there is, half granted, goes on where it was after its state was written and read."""
    play = Play()
    envelope = opened(play, 5_000_000, 10_000)
    shares = shares_of(play, envelope)
    for number in range(100):
        play.does(user(number), GrabRedEnvelope(envelope))
    play.state = decode_state(encode_state(play.room))
    assert play.refused(user(99), GrabRedEnvelope(envelope)).code == "already_grabbed"
    assert play.does(user(100), GrabRedEnvelope(envelope))["amount_fen"] == shares[100]
