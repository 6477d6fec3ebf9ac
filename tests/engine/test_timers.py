"""Due times of rooms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import Config, JournalConfig
from liveroom.engine.owner import Owner
from liveroom.engine.step import Step
from liveroom.engine.timers import Timers
from liveroom.features.chat.messages import SendChat
from liveroom.journal.memory import MemoryJournal
from tests.engine.conftest import Client, Clock, open_demo, running_engine

CONFIG = Config(journal=JournalConfig(kind="memory", partitions=1))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 20)))), st.integers(0, 20), st.integers(0, 6))
def test_what_is_due_is_given_once_and_earliest_first(changes: list[tuple[str, int | None]], now_ms: int, rooms_max: int) -> None:
    """The same as looking through a plain dictionary."""
    timers, plain = Timers(), dict[str, int]()
    for room, due_ms in changes:
        timers.set(room, due_ms)
        plain.pop(room, None)
        if due_ms is not None:
            plain[room] = due_ms
    assert timers.next_ms() == min(plain.values(), default=None)
    due = sorted((due_ms, room) for room, due_ms in plain.items() if due_ms <= now_ms)[:rooms_max]
    assert timers.take(now_ms, rooms_max) == [room for _, room in due]
    assert timers.next_ms() == min((due_ms for room, due_ms in plain.items() if (due_ms, room) not in due), default=None)


async def test_a_step_in_which_nothing_is_due_asks_for_timers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes costs a step as much as there is due, however many rooms one step may serve."""
    journal = MemoryJournal(CONFIG.journal)
    async with running_engine(journal, CONFIG, Clock()):
        client = Client(journal)
        await open_demo(client)
        asked = 0
        take = Timers.take

        def counted(self: Timers, now_ms: int, rooms_max: int) -> list[str]:
            nonlocal asked
            asked += rooms_max == 1
            return take(self, now_ms, rooms_max)

        monkeypatch.setattr(Timers, "take", counted)
        await client.accepted("demo", SendChat("hello"))
        assert 1 <= asked < 10
        await client.close()
    await journal.close()


async def test_an_owner_without_work_begins_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner wakes up for each acknowledgment. Only commands, timers and keyframes that are due begin a step."""
    journal = MemoryJournal(CONFIG.journal)
    async with running_engine(journal, CONFIG, Clock()):
        client = Client(journal)
        await open_demo(client)
        begun = 0
        new_step = Owner._new_step

        def counted(self: Owner, now_ms: int) -> Step:
            nonlocal begun
            begun += 1
            return new_step(self, now_ms)

        monkeypatch.setattr(Owner, "_new_step", counted)
        records = len(client.records[0])
        for n in range(5):
            await client.accepted("demo", SendChat(f"hello {n}"))
        assert begun == len(client.records[0]) - records == 5
        await client.close()
    await journal.close()
