"""Refusal codes, close codes and exceptions.

A *refusal* is the negative reply to a command, with a code. It is an answer, not an exception.
Features declare codes of their own in their `messages.py`.
A *close code* ends one connection. 4000-4499 mean "reconnect", 4500-4999 mean "do not reconnect unchanged".
`client/endings.py` defines the clients' reaction to each.
An *exception* is a bug, broken I/O or bad input:

    LiveroomError
    ├── BadMessage          untrusted bytes that are not a message (code + field)
    ├── BadToken            an invalid token (code)
    ├── BadConfig           an invalid setting (names the setting)
    ├── LedgerBroken        a room's money events do not add up (seq + what)
    ├── AuditFailed         a journal breaks a rule (room + seq + what)
    └── JournalError
        ├── JournalLocked       another process owns the data directory
        ├── JournalVersion      the data directory was written by another version of liveroom
        ├── JournalMismatch     the journal exists with other settings (partitions)
        ├── JournalDamaged      stored data cannot be read, or entries are missing
        ├── JournalUnavailable  nothing was written (read-only, disk full, broker away, closed)
        ├── JournalFull         too many unanswered commands wait in this partition
        └── WriteUnknown        a write may or may not have happened: take over again, never repeat
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from liveroom.messages.text import escaped

__all__ = [
    "CLOSE_CODES",
    "COMMON_REFUSALS",
    "AuditFailed",
    "BadConfig",
    "BadMessage",
    "BadToken",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalMismatch",
    "JournalUnavailable",
    "JournalVersion",
    "LedgerBroken",
    "LiveroomError",
    "Refusals",
    "WriteUnknown",
]

#: Refusal code -> (HTTP status of the console's response, meaning).
Refusals = Mapping[str, tuple[int, str]]

#: The codes that belong to no feature. `liveroom.protocol.refusals.REFUSALS` has all codes.
COMMON_REFUSALS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {
        # The codec could not read the message.
        "malformed": (400, "not JSON, or not a JSON object"),
        "bad_utf8": (400, "not valid UTF-8 text"),
        "unknown_command": (400, "there is no command with this name"),
        "missing_field": (400, "a required field is missing"),
        "unknown_field": (400, "the command has no such field"),
        "wrong_type": (400, "a field holds a value of another type"),
        "too_long": (400, "a text or list is longer than allowed"),
        "too_short": (400, "a text or list is shorter than allowed"),
        "out_of_range": (400, "a number is outside its range"),
        "bad_value": (400, "a value is not one of the allowed values, or has the wrong form"),
        "bad_room_id": (400, "a room id is 1-64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"),
        "too_large": (413, "the message is too large for a command"),
        # The sender may not send this command, or not now.
        "forbidden": (403, "the sender's role may not send this command"),
        "bad_token": (401, "the token is missing, malformed or invalid"),
        "token_expired": (401, "the token has expired"),
        "wrong_room": (403, "the token is for another room"),
        "rate_limited": (429, "too many commands in a short time; try again later"),
        # Rules that several features share.
        "room_not_found": (404, "the room was never opened"),
        "room_closed": (409, "the room is closed"),
        "empty_text": (422, "the text has no visible character"),
        "control_characters": (422, "the text contains characters that cannot be displayed as written"),
        "limit_reached": (409, "the room has reached its limit for this kind of item"),
        "per_user_limit": (409, "the user has reached the limit per user for this item"),
        # The system.
        "id_reused": (422, "the command id was already used for a different command"),
        "overloaded": (503, "too many commands are waiting; try again later"),
        "unavailable": (503, "the journal cannot be written now and the outcome is unknown; retry with the same id"),
        "internal_error": (500, "an internal error occurred; the command was stored as a dead letter for inspection"),
    }
)

#: WebSocket close code -> (name, meaning and advice).
CLOSE_CODES: MappingProxyType[int, tuple[str, str]] = MappingProxyType(
    {
        1000: ("normal", "the client closed"),
        1009: ("frame_too_large", "a frame was too large for a command"),
        1012: ("drain", "the gateway is shutting down; reconnect after the delay that it named"),
        4000: ("token_expired", "the token has expired; reconnect with a fresh one"),
        4001: ("idle", "the client sent nothing for too long; reconnect"),
        4002: ("room_unavailable", "the room's state could not be loaded in time; reconnect"),
        4003: ("replaced", "the user opened too many connections, and this was the oldest; reconnect only on the user's request"),
        4004: ("room_not_open", "the room was never opened; reconnect later"),
        4500: ("bad_token", "the token is missing, malformed or invalid; do not reconnect with it"),
        4501: ("wrong_room", "the token is for another room; do not reconnect with it"),
        4502: ("banned", "the user is banned from this room; the `banned` frame before it names the end of the ban"),
        4503: ("protocol_error", "the client violated the protocol"),
        4504: ("flooding", "the client kept exceeding its limits"),
        4505: ("bad_room_id", "the path holds no valid room id"),
    }
)


class InvariantBroken(Exception):
    """A rule about money or order does not hold, because of a bug or a foreign entry in the log.

    It stops the room. It is not an `assert`, because `python -O` removes assertions.
    """


class LiveroomError(Exception):
    """The base of all exceptions that liveroom raises on purpose."""


class BadMessage(LiveroomError):
    """Untrusted bytes are not a valid message; `code` is one of `COMMON_REFUSALS`."""

    def __init__(self, code: str, detail: str, field: str | None = None, command_id: str | None = None) -> None:
        assert code in COMMON_REFUSALS, code
        self.code = code
        self.detail = escaped(detail)  # it may quote the sender
        self.field = escaped(field) if field is not None else None
        super().__init__(f"{code}: {self.detail}")
        self.command_id = command_id


class BadToken(LiveroomError):
    """A token is invalid; `code` is `bad_token`, `token_expired` or `wrong_room`."""

    def __init__(self, code: str, detail: str) -> None:
        assert code in ("bad_token", "token_expired", "wrong_room"), code
        self.code = code
        self.detail = escaped(detail)  # it may quote the token
        super().__init__(f"{code}: {self.detail}")


class BadConfig(LiveroomError):
    """Some settings are invalid; each of the `mistakes` names the setting and its source."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class LedgerBroken(LiveroomError):
    """A room's money events do not add up; `seq` is the first wrong event, `what` the reason."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"seq {seq}: {what}")
        self.seq = seq
        self.what = what


class AuditFailed(LiveroomError):
    """A journal breaks a rule; `room`, `seq` and `what` name the first violation."""

    def __init__(self, room: str, seq: int, what: str) -> None:
        super().__init__(f"room {room}, seq {seq}: {what}")
        self.room = room
        self.seq = seq
        self.what = what


class JournalError(LiveroomError):
    """The base of all journal errors."""


class JournalLocked(JournalError):
    """Another process owns the data directory."""


class JournalVersion(JournalError):
    """Another version of liveroom wrote the data directory, and this one cannot read it."""


class JournalMismatch(JournalError):
    """The journal exists with other settings, for example another number of partitions."""


class JournalDamaged(JournalError):
    """Stored data cannot be read, or entries are missing; restore a backup."""


class JournalUnavailable(JournalError):
    """Nothing was written: read-only or full disk, broker away, or the journal is closed."""


class JournalFull(JournalError):
    """Too many unanswered commands wait in this partition; nothing was written."""


class WriteUnknown(JournalError):
    """A write may or may not have happened: give the partition up and take over again, never repeat the write."""
