"""Limits and counts."""

from __future__ import annotations

from liveroom.gateway.deadlines import Deadlines
from liveroom.gateway.limits import FLOOD_WINDOW_S, CommandLimits, KeyedCounter


def test_refusals_are_counted_within_the_window() -> None:
    """Old ones are forgotten, so that a clumsy client is not closed for a day's mistakes."""
    limits = CommandLimits(1, 0.0)
    assert [limits.refuse(0.1 * i) for i in range(3)] == [1, 2, 3]
    assert limits.refuse(FLOOD_WINDOW_S + 1) == 1


def test_a_tally_holds_no_zeroes() -> None:
    """An address that has left costs nothing."""
    counter = KeyedCounter()
    counter.add("a")
    counter.add("a")
    counter.remove("a")
    assert counter["a"] == 1
    counter.remove("a")
    assert counter["a"] == 0
    assert len(counter) == 0


def test_deadlines_come_in_the_order_in_which_they_were_set() -> None:
    """Each after its time, none twice."""
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", 0)
    deadlines.add("b", 1)
    assert list(deadlines.due(4)) == []
    assert list(deadlines.due(5)) == ["a"]
    assert list(deadlines.due(9)) == ["b"]
    assert len(deadlines) == 0
