"""Sums viewers' taps: many `send_likes` become one `report_likes` per room, and each sender gets its answer."""

from __future__ import annotations

from collections.abc import Callable

from liveroom.features.likes.messages import ReportLikes
from liveroom.journal.command_sender import ReplyCallback
from liveroom.protocol.frames import Accepted, Refused, Reply
from liveroom.telemetry.metrics import Metrics

__all__ = ["LikesReporter"]

#: Likes of one report at most.
LIKES_MAX = 10_000_000


class _Sum:
    __slots__ = ("count", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.waiting: list[tuple[str, ReplyCallback]] = []


class LikesReporter:
    """The sums of all rooms. `report(room, command, on_reply)` sends a sum to the engine."""

    def __init__(self, report: Callable[[str, ReportLikes, ReplyCallback], None], metrics: Metrics) -> None:
        self._report = report
        self._isolated = metrics.isolated
        self._sums: dict[str, _Sum] = {}

    def add(self, room: str, command_id: str, count: int, on_reply: ReplyCallback) -> None:
        """Count one viewer's taps. `on_reply` gets the answer to the sum, with the viewer's own command id."""
        found = self._sums.get(room)
        if found is None:
            found = self._sums[room] = _Sum()
        found.count += count
        found.waiting.append((command_id, on_reply))
        if found.count > LIKES_MAX // 2:
            self._send(room)

    def flush(self) -> None:
        """Report all sums."""
        self._isolated.each("gateway_report", list(self._sums), self._send)

    def _send(self, room: str) -> None:
        found = self._sums.pop(room)
        self._report(room, ReportLikes(found.count), lambda reply: self._answer(found.waiting, reply))

    def _answer(self, waiting: list[tuple[str, ReplyCallback]], reply: Reply) -> None:
        def answer(one: tuple[str, ReplyCallback]) -> None:
            command_id, on_reply = one
            if isinstance(reply, Accepted):
                on_reply(Accepted(id=command_id, seq=reply.seq))
            else:
                on_reply(Refused(command_id, reply.code, reply.detail, reply.seq, reply.field, reply.retry_after_ms))

        self._isolated.each("command_answer", waiting, answer)
