"""The count of a server's connections."""

from __future__ import annotations

import pytest

from liveroom.console.connection_pool import Caller, ConnectionLimits, ConnectionPool
from liveroom.telemetry.metrics import Metrics


class Line:
    """A connection that notes whether it was dropped."""

    dropped = False

    def drop(self) -> None:
        """End it."""
        self.dropped = True


VIEWER = Caller("192.0.2.1", "vera")
STAFF = Caller("192.0.2.2", is_staff=True)


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("why", ["left", "dropped"])
async def test_a_request_of_a_lost_connection_does_not_count_it_again(asked_before: bool, why: str) -> None:
    """The request arrives, the connection ends, and only then the request begins: the connection displaces no other."""
    crowd, lost, other = ConnectionPool(ConnectionLimits(2, 2, 2), Metrics()), Line(), Line()
    crowd.arrive(lost)
    if asked_before:
        crowd.begin(lost, VIEWER)
        crowd.end(lost)
    if why == "left":
        crowd.leave(lost)
    else:
        crowd.drop(lost, "silent")
    assert crowd.begin(lost, VIEWER) == ""
    assert len(crowd) == 0
    crowd.end(lost)
    assert len(crowd) == 0
    crowd.arrive(other)
    assert crowd.begin(other, VIEWER) == ""
    assert len(crowd) == 1
    crowd.leave(other)
    assert len(crowd) == 0


async def test_a_connection_that_ends_within_its_request_is_not_counted() -> None:
    """The request that is answered afterwards does not bring it back."""
    crowd, caller = ConnectionPool(ConnectionLimits(2, 2, 2), Metrics()), Line()
    crowd.arrive(caller)
    crowd.begin(caller, VIEWER)
    crowd.leave(caller)
    crowd.end(caller)
    assert len(crowd) == 0


def crowd_of(**limits: int) -> ConnectionPool:
    """A crowd with limits that do not matter beside those named."""
    return ConnectionPool(ConnectionLimits(**{"connections_max": 100, "per_user_max": 100, "per_address_max": 100, **limits}), Metrics())


def asking(crowd: ConnectionPool, caller: Caller, *, waits: bool = False) -> Line:
    """A connection whose request is under way."""
    line = Line()
    crowd.arrive(line)
    assert crowd.begin(line, caller) == ""
    if waits:
        crowd.wait(line)
    return line


async def test_those_that_wait_for_their_client_give_way_first() -> None:
    """Viewers' slow requests are dropped first, the oldest before others; staff's are dropped last; a request at work stays."""
    crowd = crowd_of(connections_max=5)
    at_work, of_staff = asking(crowd, VIEWER), asking(crowd, STAFF, waits=True)
    older, newer, idle = asking(crowd, VIEWER, waits=True), asking(crowd, VIEWER, waits=True), asking(crowd, VIEWER)
    crowd.end(idle)
    order = [older, newer, idle, of_staff]
    for n in range(1, 5):
        newcomer = Line()
        crowd.arrive(newcomer)
        assert crowd.begin(newcomer, STAFF) == ""
        assert [line.dropped for line in order] == [True] * n + [False] * (4 - n)
        assert not newcomer.dropped
    assert not at_work.dropped


async def test_idle_connections_do_not_make_newcomers_displace_each_other() -> None:
    """Where most are idle the one that asked longest ago goes, until as many are silent: a newcomer has time to ask."""
    crowd = crowd_of(connections_max=10)
    idle = []
    for _ in range(10):
        idle.append(asking(crowd, VIEWER))
        crowd.end(idle[-1])
    newcomers = [Line() for _ in range(5)]
    for line in newcomers:
        crowd.arrive(line)
    assert [line.dropped for line in idle] == [True] * 5 + [False] * 5
    assert not any(line.dropped for line in newcomers)


async def test_many_idle_connections_cut_no_request_off_that_waits_for_its_client() -> None:
    """Connections displace others of their own kind: a crowd of idle ones cuts off no request whose body is still arriving."""
    crowd = crowd_of(connections_max=6)
    slow = asking(crowd, VIEWER, waits=True)
    for _ in range(5):
        crowd.end(asking(crowd, VIEWER))
    for _ in range(20):
        crowd.end(asking(crowd, VIEWER))
    assert not slow.dropped


def test_a_part_of_the_requests_at_work_is_kept_for_staff() -> None:
    """Seven of eight may be viewers'. One that waited for its client may not go beyond that either."""
    crowd = crowd_of(connections_max=8)
    waiting = asking(crowd, VIEWER, waits=True)
    for _ in range(7):
        asking(crowd, VIEWER)
    assert not crowd.work(waiting)
    crowd.end(waiting)
    assert crowd.begin(waiting, VIEWER) == "all"
    crowd.end(waiting)
    assert crowd.begin(waiting, STAFF) == ""
    newcomer = Line()
    crowd.arrive(newcomer)
    assert crowd.begin(newcomer, STAFF) == "all"


def test_staff_may_use_all_of_it() -> None:
    """Where staff's requests are at work on all connections a viewer is refused."""
    crowd = crowd_of(connections_max=3)
    for _ in range(3):
        asking(crowd, STAFF)
    newcomer = Line()
    crowd.arrive(newcomer)
    assert crowd.begin(newcomer, VIEWER) == "all"


def test_a_user_and_an_address_have_so_many_requests_under_way_and_no_more() -> None:
    """Requests that wait for their client count. The platform has no limit as a user, and staff has none as an address."""
    crowd = crowd_of(per_user_max=2, per_address_max=3)
    first, *_ = [asking(crowd, VIEWER, waits=n == 0) for n in range(2)]
    line = Line()
    crowd.arrive(line)
    assert crowd.begin(line, VIEWER) == "user"
    crowd.end(line)
    assert crowd.begin(line, Caller(VIEWER.address, "eve")) == ""
    crowd.end(line)
    asking(crowd, Caller(VIEWER.address))
    assert crowd.begin(line, Caller(VIEWER.address, "eve")) == "address"
    for caller in (Caller(VIEWER.address, is_staff=True), Caller("192.0.2.3", "eve")):
        crowd.end(line)
        assert crowd.begin(line, caller) == ""
    crowd.end(first)
    asking(crowd, VIEWER)
