"""Commands with an unknown outcome: no error says that a command which may have gone out did not."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.client import CommandRefused, CommandUnanswered, Disconnected, connect, outbox
from liveroom.client.outbox import RETRIES_MAX, SENT_IDS_MAX, Outbox, SentIds
from liveroom.features.flash_sale.messages import ReserveStock
from liveroom.protocol.frames import Accepted, Refused
from tests.client.conftest import Gateway
from tests.client.test_room import entered

BUY = ReserveStock(3)
AT_ONCE_S = 0.01


def online() -> Outbox:
    box = Outbox(lambda: None)
    box.restart()
    return box


async def unanswered(box: Outbox, id: str | None = "buy-1") -> CommandUnanswered:
    """The error of a call whose command no connection carries."""
    with pytest.raises(CommandUnanswered) as failed:
        await box.submit(id, BUY, None, AT_ONCE_S)
    return failed.value


async def goes_out(box: Outbox, id: str = "buy-1") -> asyncio.Task[Accepted]:
    """A call whose command a connection carried."""
    call = asyncio.create_task(box.submit(id, BUY, None, 60))
    assert id in await box.next_text(1_000)
    return call


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans())), st.integers(1, 4))
def test_an_id_that_went_out_is_known_until_its_outcome_is(calls: list[tuple[int, bool]], count_max: int) -> None:
    """Whatever was forgotten; while nothing had to be, ids that never went out are not taken for sent."""
    memory, unsettled, full = SentIds(), set[str](), False
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "SENT_IDS_MAX", count_max)
        for number, settled in calls:
            memory.note(str(number), settled=settled)
            (unsettled.discard if settled else unsettled.add)(str(number))
            full = full or len(unsettled) > count_max
            assert all(id in memory for id in unsettled)
            assert ("another" in memory) is full
            assert len(memory._ids) <= count_max


async def test_a_call_that_was_cancelled_after_it_went_out_is_remembered() -> None:
    """An application that gave up waiting never gets a later answer that nothing happened."""
    box = online()
    call = await goes_out(box)
    call.cancel()
    await asyncio.wait([call])
    assert (await unanswered(box)).sent
    assert not (await unanswered(box, "buy-2")).sent


async def test_an_outcome_that_is_known_needs_no_memory() -> None:
    """Accepted, or refused by the room: the caller knows the outcome."""
    box = online()
    for reply in (Accepted("buy-1", 7), Refused("buy-1", "sold_out", "all gone", seq=7)):
        call = await goes_out(box)
        box.on_reply(reply)
        await asyncio.wait([call])
        assert not (await unanswered(box)).sent


async def test_a_command_that_stays_unavailable_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal after the last retry leaves the outcome open."""
    monkeypatch.setattr(outbox, "full_jitter_s", lambda *_: 0.0)
    box = online()
    call = await goes_out(box)
    for _ in range(RETRIES_MAX):
        box.on_reply(Refused("buy-1", "unavailable", "not now"))
        await box.next_text(1_000)
    box.on_reply(Refused("buy-1", "unavailable", "not now"))
    with pytest.raises(CommandRefused, match="unavailable"):
        await call
    assert (await unanswered(box)).sent


async def test_a_new_id_of_the_client_never_went_out() -> None:
    """Not even when ids were forgotten; then every id of the caller may have."""
    box = online()
    for number in range(SENT_IDS_MAX + 1):
        box._sent_ids.note(f"buy-{number}", settled=False)
    assert not (await unanswered(box, None)).sent
    assert (await unanswered(box, "another")).sent


async def test_a_room_that_was_left_does_not_deny_what_went_out(gateway: Gateway) -> None:
    """Sent again under its id after the end: unanswered, with the room's end. Another id fails as the room does."""
    room = connect(gateway.url, "demo", "t", command_timeout_s=0.2)
    await entered(gateway, room)
    with pytest.raises(CommandUnanswered):
        await room.send(BUY, id="buy-1")
    await room.close()
    with pytest.raises(CommandUnanswered) as again:
        await room.send(BUY, id="buy-1")
    assert (again.value.sent, again.value.code) == (True, 1000)
    with pytest.raises(Disconnected):
        await room.send(BUY, id="buy-2")
