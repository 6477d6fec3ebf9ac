"""Checking a red envelope from its events: a right one passes, and every change is found and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from liveroom.accounting.verify_envelope import EnvelopeDiffers, verify_envelope
from liveroom.features.red_envelope.fairness import commitment_of
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.records import Sender
from tests.features.play import ANCHOR, ROOM, Play

Object = dict[str, Any]
Forgery = Callable[[dict[str, list[Object]]], None]


def user(number: int) -> Sender:
    return Sender(f"u{number}", f"User {number}")


def told(play: Play) -> list[Object]:
    """A room's story as `liveroom tail` prints it, parsed."""
    return [orjson.loads(encode({"room": ROOM, "time_ms": time_ms, **event_object(event, seq)})) for seq, time_ms, event in play.story]


def lines(story: list[Object]) -> list[bytes]:
    return [orjson.dumps(event) for event in story]


def a_room_with_envelopes() -> tuple[Play, int]:
    """One envelope of 7 shares that is empty in the end, between others; its id."""
    play = Play()
    play.does(ANCHOR, DropRedEnvelope(100, 2, opens_in_ms=0))
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10_000, 7))["envelope"])
    other = int(play.does(ANCHOR, DropRedEnvelope(50, 5, opens_in_ms=0))["envelope"])
    play.passes(5_000)
    for number in range(7):
        play.says(user(number), "red_envelope_grabbed")
        play.does(user(number), GrabRedEnvelope(envelope))
        play.tries(user(number), GrabRedEnvelope(other))
    return play, envelope


def an_expired_envelope() -> tuple[Play, int]:
    """Three of its 7 shares were granted; its id."""
    play = Play()
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10_000, 7))["envelope"])
    play.passes(5_000)
    for number in range(3):
        play.does(user(number), GrabRedEnvelope(envelope))
    play.passes(60_000)
    return play, envelope


def test_an_envelope_that_is_not_there_is_answered_with_the_newest_that_are() -> None:
    """An id is hard to guess: it is a seq. At most five are named, the newest last."""
    play = Play()
    ids = []
    for _ in range(7):
        ids.append(int(play.does(ANCHOR, DropRedEnvelope(100, 1, opens_in_ms=0))["envelope"]))
        play.passes(120_000)  # over before the next one
    with pytest.raises(EnvelopeDiffers, match=f"; the newest are {', '.join(map(str, ids[-5:]))}$"):
        verify_envelope(lines(told(play)), ROOM, ids[-1] + 1)


def test_an_empty_envelope_passes() -> None:
    """All shares, the sums, the best list; other envelopes in between do not matter."""
    play, envelope = a_room_with_envelopes()
    proof = verify_envelope(lines(told(play)), ROOM, envelope)
    assert proof.granted_fen == 10_000
    assert [event.amount_fen for event in proof.granted.values()] == proof.amounts_fen
    words = proof.words()
    for part in ("7 of 7 granted", "10000 granted + 0 refunded = 10000 fen", proof.seed, "verdict"):
        assert part in words


def test_an_expired_and_a_cancelled_envelope_pass() -> None:
    """With what was refunded."""
    play, envelope = an_expired_envelope()
    proof = verify_envelope(lines(told(play)), ROOM, envelope)
    assert len(proof.granted) == 3
    assert f"{proof.granted_fen} granted + {10_000 - proof.granted_fen} refunded" in proof.words()
    cancelled = Play()
    envelope = int(cancelled.does(ANCHOR, DropRedEnvelope(10, 7))["envelope"])
    cancelled.does(ANCHOR, CancelRedEnvelope(envelope))
    assert "0 granted + 10 refunded" in verify_envelope(lines(told(cancelled)), ROOM, envelope).words()


def test_what_viewers_saw_is_enough() -> None:
    """Event objects out of frames, without times, without what is internal; as text or bytes, with empty lines."""
    play, envelope = a_room_with_envelopes()
    seen = [event_object(event, seq) for seq, _, event in play.story if event.delivery != "internal"]
    assert verify_envelope(["", *(encode(event).decode() + "\n" for event in seen), "\n"], ROOM, envelope).granted_fen == 10_000


def test_an_envelope_that_lives_is_checked_as_far_as_it_is_told() -> None:
    """From the journal, which knows the seed; the seed is not printed."""
    play = Play()
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10_000, 7, opens_in_ms=0))["envelope"])
    play.does(user(1), GrabRedEnvelope(envelope))
    proof = verify_envelope(lines(told(play)), ROOM, envelope)
    assert "1 of 7 granted" in proof.words()
    assert "not over yet" in proof.words()
    assert proof.seed not in proof.words()


def test_without_the_seed_nothing_can_be_checked() -> None:
    """Viewers have it when the envelope is over."""
    play = Play()
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10_000, 7))["envelope"])
    seen = [event for event in told(play) if event["type"] != "red_envelope_sealed"]
    with pytest.raises(EnvelopeDiffers, match="the seed is not among these events"):
        verify_envelope(lines(seen), ROOM, envelope)


def test_without_the_drop_nothing_can_be_checked() -> None:
    """Events that begin after the drop lack the commitment and the sum; the error says that the drop is missing."""
    play, envelope = a_room_with_envelopes()
    late = [event for event in told(play) if event["type"] != "red_envelope_dropped"]
    with pytest.raises(EnvelopeDiffers, match=f"no red envelope {envelope} was dropped in room {ROOM} as far as these events go$"):
        verify_envelope(lines(late), ROOM, envelope)


@pytest.mark.parametrize(("room", "envelope"), [("room-2", 4), (ROOM, 0), (ROOM, 5), (ROOM, 99)])
def test_an_envelope_that_is_not_there_is_said_so(room: str, envelope: int) -> None:
    """Another room's events do not count, nor does another event's seq."""
    play, _ = a_room_with_envelopes()
    with pytest.raises(EnvelopeDiffers, match=f"no red envelope {envelope} was dropped in room {room}"):
        verify_envelope(lines(told(play)), room, envelope)


@pytest.mark.parametrize("line", [b"hello", b"[]", b'{"type":"red_envelope_opened"}', b'{"type":"red_envelope_opened","seq":5}', b"\xff{}", b'"'])
def test_a_line_that_is_no_event_is_named(line: bytes) -> None:
    """By its number."""
    play, envelope = a_room_with_envelopes()
    story = lines(told(play))
    with pytest.raises(EnvelopeDiffers, match="line 3 is no event"):
        verify_envelope([*story[:2], line, *story[2:]], ROOM, envelope)


def test_events_out_of_order_are_named() -> None:
    """Twice the same line, too."""
    play, envelope = a_room_with_envelopes()
    story = lines(told(play))
    with pytest.raises(EnvelopeDiffers, match="comes after event"):
        verify_envelope([*story, story[-2]], ROOM, envelope)


def changed(kind: str, index: int, **values: Any) -> Forgery:
    def change(by_kind: dict[str, list[Object]]) -> None:
        by_kind[kind][index].update(values)

    return change


def more(kind: str, index: int, **differences: int) -> Forgery:
    def change(by_kind: dict[str, list[Object]]) -> None:
        for field, difference in differences.items():
            by_kind[kind][index][field] = by_kind[kind][index].get(field, 0) + difference

    return change


def lost(kind: str, index: int) -> Forgery:
    def change(by_kind: dict[str, list[Object]]) -> None:
        by_kind[kind][index].clear()

    return change


def swapped(first: int, second: int) -> Forgery:
    """Two users change their turns, each with the other's amount."""

    def change(by_kind: dict[str, list[Object]]) -> None:
        grabs = by_kind["grabbed"]
        grabs[first]["amount_fen"], grabs[second]["amount_fen"] = grabs[second]["amount_fen"], grabs[first]["amount_fen"]

    return change


def best_without_its_first(by_kind: dict[str, list[Object]]) -> None:
    del by_kind["closed"][0]["best"][0]


def best_in_another_order(by_kind: dict[str, list[Object]]) -> None:
    by_kind["closed"][0]["best"].reverse()


OTHER_SEED = "ab" * 32


@pytest.mark.parametrize(
    ("forgery", "words"),
    [
        (changed("closed", 0, seed=OTHER_SEED), "was promised when the envelope was dropped"),
        (changed("sealed", 0, seed=OTHER_SEED), "was promised when the envelope was dropped"),
        (changed("closed", 0, seed="00"), "is not 32 bytes"),
        (changed("closed", 0, seed="G" * 64), "is not 32 bytes"),
        (changed("dropped", 0, commitment=commitment_of(OTHER_SEED)), "was promised when the envelope was dropped"),
        (changed("dropped", 0, total_fen=9_999), "by the seed"),
        (changed("dropped", 0, total_fen=6), "cannot be split"),
        (changed("dropped", 0, shares=8), "by the seed"),
        (changed("dropped", 0, split="equal"), "by the seed"),
        (more("grabbed", 2, amount_fen=1), "share 3 is"),
        (swapped(0, 1), "share 1 is"),
        (more("grabbed", 3, left_fen=1), "left_fen is"),
        (more("grabbed", 3, shares_left=1), "shares_left is"),
        (changed("grabbed", 1, user="u0"), "u0 got a second share"),
        (lost("grabbed", 0), "share 1 is"),
        (lost("grabbed", 6), "closed as empty with 1 shares left"),
        (lost("opened", 0), "before the envelope opened"),
        (more("opened", 0, time_ms=-1), "before its time"),
        (more("grabbed", 6, time_ms=60_000), "time ended"),
        (more("closed", 0, granted_fen=-1), "granted_fen is 9999"),
        (more("closed", 0, refunded_fen=1), "refunded_fen is 1"),
        (changed("closed", 0, reason="expired"), "closed as expired with 0 shares left"),
        (best_without_its_first, "the luckiest are"),
        (best_in_another_order, "the luckiest are"),
        (changed("closed", 0, best=[]), "the luckiest are"),
    ],
)
def test_whatever_is_changed_is_found(forgery: Forgery, words: str) -> None:
    """Each promise that an event makes is held against the seed and the events before it; the event is named."""
    play, envelope = a_room_with_envelopes()
    story = told(play)
    mine = [event for event in story if event.get("envelope") == envelope or event["seq"] == envelope]
    by_kind: dict[str, list[Object]] = {}
    for event in mine:
        by_kind.setdefault(event["type"].rpartition("_")[2], []).append(event)
    forgery(by_kind)
    with pytest.raises(EnvelopeDiffers, match=words):
        verify_envelope(lines([event for event in story if event]), ROOM, envelope)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"reason": "empty"}, "closed as empty with 4 shares left"),
        ({"reason": "cancelled"}, "after it had opened"),
        ({"time_ms": 5}, "it expired at 5"),
    ],
)
def test_a_false_end_is_found(values: Object, words: str) -> None:
    """The reason must fit what happened."""
    play, envelope = an_expired_envelope()
    story = told(play)
    story[-1].update(values)
    with pytest.raises(EnvelopeDiffers, match=words):
        verify_envelope(lines(story), ROOM, envelope)


@pytest.mark.parametrize("kind", ["red_envelope_grabbed", "red_envelope_opened", "red_envelope_closed", "red_envelope_sealed"])
def test_nothing_happens_after_the_end(kind: str) -> None:
    """And nothing that happens once happens twice."""
    play, envelope = a_room_with_envelopes()
    story = told(play)
    again = next(event for event in story if event["type"] == kind and event["envelope"] == envelope)
    with pytest.raises(EnvelopeDiffers, match="after the envelope was over"):
        verify_envelope(lines([*story, {**again, "seq": story[-1]["seq"] + 1}]), ROOM, envelope)


def test_opening_twice_and_sealing_late_are_found() -> None:
    """The seed stands right behind the drop, an envelope opens once."""
    play = Play()
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10_000, 7, opens_in_ms=0))["envelope"])
    story = told(play)
    for again, words in ((story[-1], "opened twice"), (story[-2], "sealed twice")):
        with pytest.raises(EnvelopeDiffers, match=words):
            verify_envelope(lines([*story, {**again, "seq": story[-1]["seq"] + 1}]), ROOM, envelope)


def test_one_share_too_many_is_found() -> None:
    """Even with the sums made to fit."""
    play, envelope = a_room_with_envelopes()
    story = told(play)
    ends = next(event for event in story if event["type"] == "red_envelope_closed" and event["envelope"] == envelope)
    extra = {**next(event for event in story if event["type"] == "red_envelope_grabbed" and event["envelope"] == envelope), "user": "zoe"}
    at = story.index(ends)
    moved = [{**event, "seq": event["seq"] + 1} for event in story[at:]]
    with pytest.raises(EnvelopeDiffers, match="all 7 were gone"):
        verify_envelope(lines([*story[:at], {**extra, "seq": ends["seq"]}, *moved]), ROOM, envelope)
