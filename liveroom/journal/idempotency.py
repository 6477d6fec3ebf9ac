"""The idempotency store: the outcome of every recent command id, so that a retry gets the first reply.

How it works:

The store keeps one reply per room, user and command id.
Answers are grouped by record and forgotten in the order in which they came.
There are two lines of replies:
- Commands that moved money: their replies stay for the whole window. The store limits them in advance: `shortage` says whether one more may
  run.
- All other commands: the newest replies stay, within limits of count and bytes.

Everybody shares the limits on payments.
A part of them is reserved for the anchors and the platform, so that a crowd of viewers cannot block the confirmation of a payment.
One user other than the platform may use only a limited number.

Bytes are estimated from the content of a reply, so every engine computes the same number.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final, Literal

from msgspec import Struct

from liveroom.config.schema import EngineConfig
from liveroom.messages.base import ANCHORS
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import CommandReply
from liveroom.protocol.refusals import REFUSALS

__all__ = ["DETAIL_CHARS_KEPT", "CommandKey", "IdempotencyStore", "Outcome", "Shortage", "key_of", "size_of"]

CommandKey = tuple[str, str, str]
"""The room, the user and the command id."""

#: Outcomes that moved money are limited in advance, never by forgetting.
UNBOUNDED = sys.maxsize
#: One of this many is reserved for the anchors and the platform.
MONEY_STAFF_PART: Final = 4

#: A refusal's detail is kept up to this length. A retry acts on the code and the fields, which stay whole. Some details repeat users' text.
DETAIL_CHARS_KEPT: Final = 100

#: The memory of an outcome beside its ids: the structs, the key, the entries in the table and the line, and the room's id.
#: It is computed for every command, so details and results count with their longest form.
_ACCEPTED_BYTES: Final = 820
_FIELD_BYTES: Final = 120
_REFUSED_BYTES: Final = 900
_REFUSED_WIDE_BYTES: Final = _REFUSED_BYTES + 3 * DETAIL_CHARS_KEPT

_CODES: Final = {code: code for code in REFUSALS}

Shortage = Literal["", "all", "user"]
"""The exhausted limit: `all` for everybody's, `user` for the user's own, empty for neither."""


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """The outcome of one command. `money_role` is the sender's role, if the command moved money."""

    room: str
    user: str
    time_ms: int
    digest: int
    reply: Accepted | Refused
    money_role: Role | None = None


class _Group(Struct, gc=False):
    """The replies of one record, in order. They are a tuple because a full garbage collection would visit every list."""

    time_ms: int
    replies: tuple[CommandReply, ...]


def key_of(answered: CommandReply | Outcome) -> CommandKey:
    """The key of a reply or outcome."""
    return (answered.room, answered.user, answered.reply.id)


def size_of(command_reply: CommandReply) -> int:
    """The estimated memory of an outcome in bytes, rather too high than too low. It is the same in every process."""
    reply = command_reply.reply
    if type(reply) is Refused:
        size = _REFUSED_BYTES if reply.detail.isascii() else _REFUSED_WIDE_BYTES
    else:
        size = _ACCEPTED_BYTES + _FIELD_BYTES * len(reply.result)  # type: ignore[union-attr]
    return size + len(command_reply.user) + len(reply.id)  # ids are ASCII


def _shortened(command_reply: CommandReply) -> CommandReply:
    """The reply in its stored form: a shortened detail, and a code string that all such replies share."""
    reply = command_reply.reply
    assert type(reply) is Refused
    detail = reply.detail if len(reply.detail) <= DETAIL_CHARS_KEPT else reply.detail[: DETAIL_CHARS_KEPT - 1] + "…"
    stored = Refused(reply.id, _CODES.get(reply.code, reply.code), detail, reply.seq, reply.field, reply.retry_after_ms)
    return CommandReply(command_reply.room, command_reply.user, command_reply.digest, stored, money_role=command_reply.money_role)


class _Line:
    """Answers in the order in which they came and will be forgotten. Each has a position, counted from 0."""

    def __init__(self) -> None:
        self.groups: deque[_Group] = deque()
        self.new: list[CommandReply] = []
        self.count = 0
        self.bytes = 0
        self.end = 0  # the position of the next reply

    def since(self, position: int) -> list[tuple[int, tuple[CommandReply, ...]]]:
        """The replies from `position` on, with their times."""
        found: list[tuple[int, tuple[CommandReply, ...]]] = []
        left = self.end - position
        for group in reversed(self.groups):
            if left <= 0:
                break
            found.append((group.time_ms, group.replies[-left:]))
            left -= len(group.replies)
        return found[::-1]

    def take_back(self, command_reply: CommandReply) -> int:
        """Forget a reply of the current record. Gives its bytes."""
        size = size_of(command_reply)
        self.new.remove(command_reply)
        self.bytes -= size
        return size

    def close_group(self, time_ms: int) -> None:
        """Assign `time_ms` to the replies that were added since the last call."""
        if self.new:
            self.groups.append(_Group(time_ms, tuple(self.new)))
            self.count += len(self.new)
            self.end += len(self.new)
            self.new = []

    def forget(self, horizon_ms: int, count_max: int, bytes_max: int) -> Iterator[tuple[CommandReply, int]]:
        """Forget the replies that are not newer than `horizon_ms`, and the oldest above `count_max` or `bytes_max`. Gives each with its bytes."""
        groups = self.groups
        while groups and (groups[0].time_ms <= horizon_ms or self.count > count_max or self.bytes > bytes_max):
            oldest, gone = groups[0], 0
            for command_reply in oldest.replies:
                if oldest.time_ms > horizon_ms and self.count <= count_max and self.bytes <= bytes_max:
                    break
                size = size_of(command_reply)
                self.count -= 1
                self.bytes -= size
                gone += 1
                yield command_reply, size
            oldest.replies = oldest.replies[gone:]
            if not oldest.replies:
                groups.popleft()


class IdempotencyStore:
    """The outcomes of one partition, oldest first, forgotten after `window_ms` of partition time.

    Outcomes that moved money are forgotten for no other reason; `shortage` says whether one more may be made.
    The newest other outcomes are kept: at most `dedupe_count_max`, in at most `dedupe_bytes_max`.
    Only `end_record` forgets.
    The content therefore depends on the records alone, not on the way in which they were made.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._window_ms = config.dedupe_window_ms
        self._count_max = config.dedupe_count_max
        self._money_max = config.dedupe_money_max
        self._viewers_max = config.dedupe_money_max - config.dedupe_money_max // MONEY_STAFF_PART
        self._per_user_max = config.dedupe_money_per_user_max
        self._bytes_max = config.dedupe_bytes_max
        self._money_bytes_max = config.dedupe_money_bytes_max
        self._viewers_bytes_max = config.dedupe_money_bytes_max - config.dedupe_money_bytes_max // MONEY_STAFF_PART
        self._money_count = self._viewers_count = self._viewers_bytes = 0
        self._by_user: dict[str, int] = {}  # user other than the platform -> outcomes that moved money
        self._replies: dict[CommandKey, CommandReply] = {}
        #: The stored reply for a key, or `None`.
        self.find: Callable[[CommandKey], CommandReply | None] = self._replies.get
        self._money = _Line()
        self._others = _Line()

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Load the outcomes of a snapshot, in its order."""
        for time_ms, of_one_time in groupby(outcomes, lambda outcome: outcome.time_ms):
            for outcome in of_one_time:
                command_reply = CommandReply(outcome.room, outcome.user, outcome.digest, outcome.reply, money_role=outcome.money_role)
                self.remember(key_of(outcome), command_reply)
            self._close_groups(time_ms)

    def __len__(self) -> int:
        return len(self._replies)

    def span(self, *, money: bool) -> tuple[int, int]:
        """The positions of the oldest outcome and of the next one, for outcomes that moved money or for the others."""
        line = self._money if money else self._others
        return line.end - line.count, line.end

    def since(self, position: int, *, money: bool) -> list[tuple[int, tuple[CommandReply, ...]]]:
        """The replies from a position on, with their times."""
        line = self._money if money else self._others
        return line.since(position)

    def shortage(self, user: str, role: Role) -> Shortage:
        """The limit that forbids this user to move money now. A payment whose retry could not be recognized must not happen."""
        if role is not Role.platform and self._by_user.get(user, 0) >= self._per_user_max:
            return "user"
        full = self._money_count >= self._money_max or self._money.bytes >= self._money_bytes_max
        if role not in ANCHORS:
            full = full or self._viewers_count >= self._viewers_max or self._viewers_bytes >= self._viewers_bytes_max
        return "all" if full else ""

    def remember(self, key: CommandKey, command_reply: CommandReply) -> None:
        """Store the reply to a command. A known id gets the newer reply from now on."""
        reply = command_reply.reply
        if type(reply) is Refused and (len(reply.detail) > DETAIL_CHARS_KEPT or reply.code is not _CODES.get(reply.code)):
            command_reply = _shortened(command_reply)
        self._replies[key] = command_reply
        size, line = size_of(command_reply), self._money if command_reply.money_role else self._others
        line.new.append(command_reply)
        line.bytes += size
        if command_reply.money_role:
            self._count(command_reply, 1, size)

    def unremember(self, key: CommandKey) -> None:
        """Forget a reply of the record that is being made."""
        command_reply = self._replies.pop(key)
        if command_reply.money_role:
            self._count(command_reply, -1, -self._money.take_back(command_reply))
        else:
            self._others.take_back(command_reply)

    def end_record(self, time_ms: int) -> None:
        """Assign the new replies to a record of `time_ms`, then forget those that are too old or too many."""
        self._close_groups(time_ms)
        horizon_ms = time_ms - self._window_ms
        self._forget(self._others.forget(horizon_ms, self._count_max, self._bytes_max))
        self._forget(self._money.forget(horizon_ms, UNBOUNDED, UNBOUNDED))

    def _forget(self, some: Iterator[tuple[CommandReply, int]]) -> None:
        for command_reply, size in some:
            if self._replies.get(key := key_of(command_reply)) is command_reply:
                del self._replies[key]
            if command_reply.money_role:
                self._count(command_reply, -1, -size)

    def _count(self, command_reply: CommandReply, one: int, size: int) -> None:
        """Count an outcome that moved money; `one` and `size` are negative when it is forgotten."""
        self._money_count += one
        if command_reply.money_role not in ANCHORS:
            self._viewers_count += one
            self._viewers_bytes += size
        if command_reply.money_role is not Role.platform:
            count = self._by_user.get(command_reply.user, 0) + one
            if count:
                self._by_user[command_reply.user] = count
            else:
                del self._by_user[command_reply.user]

    def _close_groups(self, time_ms: int) -> None:
        self._others.close_group(time_ms)
        self._money.close_group(time_ms)
