"""Reports the viewers of each room at this gateway, and new users by hash, so that the engine can count over all gateways."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from itertools import takewhile

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
USER_HASH_BITS = 53


def user_hash(user: str) -> int:
    """The hash of a user for the engine's count of unique users: 53 bits, equal at every gateway."""
    return int.from_bytes(blake2b(user.encode(), digest_size=8).digest(), "big") >> (64 - USER_HASH_BITS)


class _Report:
    __slots__ = ("at", "joined", "room", "viewers")

    def __init__(self, room: HeldRoom) -> None:
        self.room = room
        self.viewers = 0  # in the last report
        self.joined: dict[str, None] = {}  # users for the next report
        self.at = 0.0


class AudienceReporter:
    """Counts users with the role `viewer`, not connections. `report` sends a report to the engine."""

    def __init__(self, gateway: str, report: Callable[[str, ReportAudience, ReplyCallback], None], metrics: Metrics, *, repeat_ms: int) -> None:
        self._isolated = metrics.isolated
        self._gateway = gateway
        self._report = report
        self._repeat_s = repeat_ms / 1000
        self._changed: dict[str, _Report] = {}
        self._reports: OrderedDict[str, _Report] = OrderedDict()  # oldest report first

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

    def flush(self, now: float) -> None:
        """Report the rooms that changed, and repeat reports older than `repeat_ms`."""
        changed, self._changed = self._changed, {}
        self._isolated.each("gateway_report", changed.values(), lambda report: self._send(report, now))
        late = list(takewhile(lambda report: report.at + self._repeat_s <= now, self._reports.values()))
        self._isolated.each("gateway_report", late, lambda report: self._send(report, now))

    def _send(self, report: _Report, now: float) -> None:
        room = report.room
        viewers = room.audience
        report.at = now
        self._reports.move_to_end(room.id)
        while True:
            joined = [report.joined.popitem()[0] for _ in range(min(JOINED_MAX, len(report.joined)))]
            command = ReportAudience(self._gateway, viewers, tuple(user_hash(user) for user in joined))
            self._report(room.id, command, partial(self._answered, report, joined))
            if not report.joined:
                break
        if not viewers:
            self._reports.pop(room.id, None)

    def _answered(self, report: _Report, joined: list[str], reply: Reply) -> None:
        """Put the users of an undelivered report into the next one."""
        if isinstance(reply, Refused) and reply.code in ("overloaded", "unavailable") and self._reports.get(report.room.id) is report:
            report.joined.update(dict.fromkeys(joined))
            self._changed[report.room.id] = report
