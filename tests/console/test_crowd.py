"""The count of a server's connections."""

from __future__ import annotations

import pytest

from liveroom.console.crowd import Crowd
from liveroom.telemetry.metrics import Metrics


class Caller:
    """A connection that notes whether it was dropped."""

    dropped = False

    def drop(self) -> None:
        """End it."""
        self.dropped = True


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("why", ["left", "dropped"])
async def test_a_request_of_a_lost_connection_does_not_count_it_again(asked_before: bool, why: str) -> None:
    """The request arrives, the connection ends, and only then the request begins: the connection takes nobody's place."""
    crowd, lost, other = Crowd(2, Metrics()), Caller(), Caller()
    crowd.arrive(lost)
    if asked_before:
        crowd.begin(lost)
        crowd.end(lost)
    if why == "left":
        crowd.leave(lost)
    else:
        crowd.drop(lost, "silent")
    assert crowd.begin(lost)
    assert len(crowd) == 0
    crowd.end(lost)
    assert len(crowd) == 0
    crowd.arrive(other)
    assert crowd.begin(other)
    assert len(crowd) == 1
    crowd.leave(other)
    assert len(crowd) == 0


async def test_a_connection_that_ends_within_its_request_is_not_counted() -> None:
    """The request that is answered afterwards does not bring it back."""
    crowd, caller = Crowd(2, Metrics()), Caller()
    crowd.arrive(caller)
    crowd.begin(caller)
    crowd.leave(caller)
    crowd.end(caller)
    assert len(crowd) == 0
