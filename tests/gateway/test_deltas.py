"""Deltas: the events of a span that go out, and their bytes."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from liveroom.features.audience.messages import AudienceReported
from liveroom.features.chat.messages import ChatSent
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.showcase.messages import ProductUnpinned, TryOnRequested
from liveroom.gateway.deltas import build_deltas
from liveroom.gateway.wire import payload_of
from liveroom.messages.fields import Delivery, Role
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Delta

EVENTS = st.one_of(
    st.builds(
        ChatSent,
        user=st.just("u"),
        name=st.just("U"),
        text=st.text(max_size=200),
        role=st.sampled_from(Role),
        buyer=st.booleans(),
        shown=st.booleans(),
    ),
    st.builds(LikesAdded, count=st.integers(1, 9), total=st.integers(1, 9)),
    st.builds(TryOnRequested, product=st.sampled_from(["p1", "p2"]), user=st.just("u"), count=st.integers(1, 9)),
    st.builds(AudienceReported, gateway=st.just("g"), viewers=st.integers(0, 9)),
    st.builds(ProductUnpinned, product=st.just("p1")),
)


def chosen(events: list[Event]) -> list[int]:
    """The rule in words, slowly: every must, the last per key of latest, what is shown of lossy."""
    keep = []
    for i, e in enumerate(events):
        later = events[i + 1 :]
        if e.delivery is Delivery.must or (isinstance(e, ChatSent) and e.shown):
            keep.append(i)
        elif isinstance(e, LikesAdded):
            keep += [] if any(isinstance(x, LikesAdded) for x in later) else [i]
        elif isinstance(e, TryOnRequested):
            keep += [] if any(isinstance(x, TryOnRequested) and x.product == e.product for x in later) else [i]
    return keep


@given(st.lists(EVENTS, min_size=1, max_size=40), st.integers(0, 10**6))
def test_a_delta_is_the_encoded_frame_of_the_chosen_events(events: list[Event], from_: int) -> None:
    """The bytes are those of `messages.frames.Delta`; what is left out is counted by class."""
    frames = build_deltas(from_, events, 77, 1_000_000)
    assert len(frames) == 1
    keep = chosen(events)
    omitted: dict[str, int] = {}
    for i, e in enumerate(events):
        if i not in keep:
            omitted[e.delivery.value] = omitted.get(e.delivery.value, 0) + 1
    delta = Delta(from_, from_ + len(events), 77, tuple(event_object(events[i], from_ + i) for i in keep), omitted)
    assert msgspec.json.decode(payload_of(frames[0].plain)) == msgspec.json.decode(encode(delta))


@given(st.lists(EVENTS, min_size=1, max_size=60), st.integers(400, 3_000))
@settings(max_examples=200)
def test_frames_are_contiguous_bounded_and_lose_only_lossy_events(events: list[Event], bytes_max: int) -> None:
    """Spans meet, every must event comes once and in order, counts add up, and only a lone event may exceed the limit."""
    frames = build_deltas(5, events, 1, bytes_max)
    deltas = [msgspec.json.decode(payload_of(f.plain)) for f in frames]
    assert deltas[0]["from"] == 5
    assert deltas[-1]["to"] == 5 + len(events)
    assert all(a["to"] == b["from"] for a, b in pairwise(deltas))
    for frame, delta in zip(frames, deltas, strict=True):
        assert (frame.from_, frame.to) == (delta["from"], delta["to"])
        assert len(delta["events"]) + sum(delta.get("omitted", {}).values()) == delta["to"] - delta["from"]
        assert len(payload_of(frame.plain)) <= bytes_max or len(delta["events"]) == 1
        assert all(delta["from"] <= e["seq"] < delta["to"] for e in delta["events"])
    sent = [e["seq"] for d in deltas for e in d["events"]]
    assert sent == sorted(set(sent))
    must = {5 + i for i in chosen(events) if events[i].delivery is not Delivery.lossy}
    assert must <= set(sent)


def test_the_lowest_rank_and_the_oldest_stay_out_first() -> None:
    """Under the limit of bytes the anchor's line outlives a buyer's, a buyer's a viewer's, a newer one an older."""
    lines: list[Event] = [
        ChatSent("a", "A", "x" * 100, Role.anchor),
        ChatSent("b", "B", "x" * 100, Role.viewer, buyer=True),
        ChatSent("c", "C", "x" * 100),
        ChatSent("d", "D", "x" * 100),
        ChatSent("m", "M", "x" * 100, Role.moderator),
    ]
    kept: list[list[str]] = []
    for bytes_max in (5_000, 910, 750, 600, 430):
        (frame,) = build_deltas(0, lines, 1, bytes_max)
        kept.append([e["user"] for e in msgspec.json.decode(payload_of(frame.plain))["events"]])
    assert kept == [["a", "b", "c", "d", "m"], ["a", "b", "d", "m"], ["a", "b", "m"], ["a", "m"], ["a"]]
