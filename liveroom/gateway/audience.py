"""Reports the viewers of each room at this gateway, and new users by hash, so that the engine can count over all gateways."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from functools import partial
from hashlib import blake2b

from liveroom.features.audience.messages import ReportAudience
from liveroom.gateway.room import HeldRoom
from liveroom.journal.command_sender import ReplyCallback
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Refused, Reply
from liveroom.protocol.records import Sender
from liveroom.telemetry.metrics import Metrics

__all__ = ["AudienceReporter", "user_hash"]

#: New users that one report may hold.
JOINED_MAX = 1_000
#: The longest time between two reports of an unchanged number.
REPEAT_S_MAX = 1_800.0
#: A report counts for the time of this many repeats, so that one lost repeat changes nothing.
EXPIRY_REPEATS = 2
#: A room's pause between two reports grows by `report_ms` for each of so many viewers, up to `LARGE_PAUSE_MAX` times.
LARGE_VIEWERS = 2_000
LARGE_PAUSE_MAX = 10
#: Flushes come every `report_ms`, but a little early or late. A report may come early by this part of `report_ms`.
EARLY = 0.5
#: Entries of the heap for repeats that may be out of date before the heap is made again.
REPEATS_SPARE = 1_000
NOT_REPORTED = -1
USER_HASH_BITS = 53


def user_hash(user: str) -> int:
    """The hash of a user for the engine's count of unique users: 53 bits, equal at every gateway."""
    return int.from_bytes(blake2b(user.encode(), digest_size=8).digest(), "big") >> (64 - USER_HASH_BITS)


class _Report:
    __slots__ = ("due", "joined", "repeat_s", "room", "sent_at", "viewers")

    def __init__(self, room: HeldRoom) -> None:
        self.room = room
        self.viewers = NOT_REPORTED  # in the last report
        self.joined: dict[str, None] = {}  # users for the next report
        self.sent_at = -math.inf
        self.repeat_s = 0.0
        self.due = math.inf  # time of the repeat


class AudienceReporter:
    """Counts users with the role `viewer`, not connections. `report` sends a report to the engine.

    A changed number is reported after `report_ms`; a large room's number later, because each change of it is a frame to everybody in it.
    An unchanged number is repeated after `repeat_ms`, and then after twice the last pause each time, up to `REPEAT_S_MAX`.
    Each report says how long it counts, so a room at rest costs two reports an hour.
    """

    def __init__(
        self, gateway: str, report: Callable[[str, ReportAudience, ReplyCallback], None], metrics: Metrics, *, report_ms: int, repeat_ms: int
    ) -> None:
        self._isolated = metrics.isolated
        self._gateway = gateway
        self._report = report
        self._report_s = report_ms / 1000
        self._repeat_s = repeat_ms / 1000
        self._changed: dict[str, _Report] = {}
        self._reports: dict[str, _Report] = {}
        self._repeats: list[tuple[float, int, _Report]] = []  # a heap of (due, number, report); an entry counts while its report is due then
        self._number = 0

    def on_join(self, room: HeldRoom, sender: Sender) -> None:
        """Note that a connection joined a room."""
        if sender.role is not Role.viewer:
            return
        report = self._reports.get(room.id)
        if report is None or report.room is not room:
            report = self._reports[room.id] = _Report(room)
        report.joined[sender.user] = None
        self._changed[room.id] = report

    def on_leave(self, room: HeldRoom) -> None:
        """Note that a connection left a room."""
        if report := self._reports.get(room.id):
            self._changed[room.id] = report

    def flush(self, now: float, *, last: bool = False) -> None:
        """Report the rooms that changed, and repeat the reports that are due. The `last` flush waits for no room."""
        changed, self._changed = self._changed, {}
        self._isolated.each("gateway_report", changed.values(), lambda report: self._report_change(report, now, last))
        late: list[_Report] = []
        while self._repeats and self._repeats[0][0] <= now:
            due, _, report = heapq.heappop(self._repeats)
            if report.due == due and self._reports.get(report.room.id) is report:
                late.append(report)
        self._isolated.each("gateway_report", late, lambda report: self._send(report, report.room.audience, now, self._next_repeat_s(report)))

    def _report_change(self, report: _Report, now: float, last: bool) -> None:
        viewers = report.room.audience
        pause_s = self._report_s * min(1 + viewers // LARGE_VIEWERS, LARGE_PAUSE_MAX)
        if now - report.sent_at < pause_s - EARLY * self._report_s and not last and viewers:
            self._changed[report.room.id] = report
        elif viewers != report.viewers or report.joined:
            self._send(report, viewers, now, self._repeat_s)

    def _next_repeat_s(self, report: _Report) -> float:
        return min(2 * report.repeat_s, max(REPEAT_S_MAX, self._repeat_s))

    def _send(self, report: _Report, viewers: int, now: float, repeat_s: float) -> None:
        report.viewers, report.sent_at, report.repeat_s, report.due = viewers, now, repeat_s, now + repeat_s
        while True:
            joined = [report.joined.popitem()[0] for _ in range(min(JOINED_MAX, len(report.joined)))]
            command = ReportAudience(self._gateway, viewers, tuple(user_hash(user) for user in joined), round(EXPIRY_REPEATS * repeat_s * 1000))
            self._report(report.room.id, command, partial(self._answered, report, joined))
            if not report.joined:
                break
        if viewers:
            self._number += 1
            heapq.heappush(self._repeats, (report.due, self._number, report))
            if len(self._repeats) > 2 * len(self._reports) + REPEATS_SPARE:
                self._repeats = [entry for entry in self._repeats if entry[2].due == entry[0] and self._reports.get(entry[2].room.id) is entry[2]]
                heapq.heapify(self._repeats)
        else:
            self._reports.pop(report.room.id, None)

    def _answered(self, report: _Report, joined: list[str], reply: Reply) -> None:
        """Put the number and the users of an undelivered report into the next one."""
        if isinstance(reply, Refused) and reply.code in ("overloaded", "unavailable") and self._reports.get(report.room.id) is report:
            report.joined.update(dict.fromkeys(joined))
            report.viewers = NOT_REPORTED
            self._changed[report.room.id] = report
