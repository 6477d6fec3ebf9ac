"""Every way liveroom says no: refusal codes, close codes and the exceptions behind them.

A *refusal* is an answer, not an exception: a command was understood and the room said no. It travels
in a reply with one of `REFUSALS`. A *close code* ends one connection: 4000-4499 mean "come back",
4500-4999 mean "do not come back as you are"; `client/endings.py` says what the clients do.
An *exception* is a bug, broken I/O or bad input at a door:

    LiveroomError
    ├── BadMessage          untrusted bytes that are no message (code + field)
    ├── BadToken            a token that does not verify (code)
    ├── BadConfig           a setting that cannot be used (names the setting)
    ├── EnvelopeDiffers     a red envelope's events are not as its seed says (names the first difference)
    ├── LedgerBroken        a room's money events do not add up (seq + what)
    ├── AuditFailed         a journal is not as it must be (room + seq + what)
    └── JournalError
        ├── JournalLocked       another process owns the data directory
        ├── JournalVersion      the data directory was written by another version of liveroom
        ├── JournalMismatch     the journal exists with other settings (partitions)
        ├── JournalDamaged      what is stored cannot be read or has a hole
        ├── JournalUnavailable  nothing was written (read-only, disk full, broker away, closed)
        ├── JournalFull         too many unanswered commands wait in this partition
        └── WriteUnknown        a write may or may not have happened: claim anew, never repeat
"""

from __future__ import annotations

from types import MappingProxyType

from liveroom.messages.text import escaped

__all__ = [
    "CLOSE_CODES",
    "REFUSALS",
    "AuditFailed",
    "BadConfig",
    "BadMessage",
    "BadToken",
    "EnvelopeDiffers",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalMismatch",
    "JournalUnavailable",
    "JournalVersion",
    "LedgerBroken",
    "LiveroomError",
    "WriteUnknown",
]

#: Refusal code -> (HTTP status the console answers with, what it means).
REFUSALS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {
        # The bytes were no message of the vocabulary (codec).
        "malformed": (400, "not JSON, or not a JSON object"),
        "bad_utf8": (400, "not valid UTF-8 text"),
        "unknown_command": (400, "no command of this name"),
        "missing_field": (400, "a required field is missing"),
        "unknown_field": (400, "a field that the command does not have"),
        "wrong_type": (400, "a field holds a value of another type"),
        "too_long": (400, "a text or list is longer than allowed"),
        "too_short": (400, "a text or list is shorter than allowed"),
        "out_of_range": (400, "a number is outside its range"),
        "bad_value": (400, "a value is none of those allowed, or has the wrong form"),
        "bad_room_id": (400, "a room id is 1-64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"),
        "too_large": (413, "the message is larger than a command may be"),
        # The sender may not, or not now.
        "forbidden": (403, "the sender's role may not send this command"),
        "bad_token": (401, "the token is missing, malformed or does not verify"),
        "token_expired": (401, "the token has expired"),
        "wrong_room": (403, "the token is for another room"),
        "rate_limited": (429, "too many commands in a short time"),
        "slow_mode": (429, "the room is in slow mode and the sender spoke too recently"),
        "muted": (403, "the sender is muted"),
        "banned": (403, "the sender is banned from the room"),
        # The room's rules.
        "room_not_found": (404, "the room was never opened"),
        "room_closed": (409, "the room is closed"),
        "room_already_open": (409, "the room is already open"),
        "empty_text": (422, "the text holds nothing that can be seen"),
        "control_characters": (422, "the text holds control characters"),
        "banned_words": (422, "the text holds a banned word"),
        "message_not_found": (404, "no such chat message among those that can still be deleted"),
        "question_not_found": (404, "no such question"),
        "question_not_open": (409, "the question is already answered or dismissed"),
        "product_not_found": (404, "no such product in the showcase"),
        "already_requested": (409, "this viewer already asked for it"),
        "not_muted": (409, "the user is not muted"),
        "not_banned": (409, "the user is not banned"),
        "not_pinned": (409, "no product is pinned"),
        "limit_reached": (409, "the room holds as many of these as it may"),
        # Money.
        "envelope_not_found": (404, "no such red envelope"),
        "envelope_not_open": (409, "the red envelope is not open yet"),
        "envelope_closed": (409, "the red envelope is over"),
        "envelope_empty": (409, "every share of the red envelope is gone"),
        "already_grabbed": (409, "the user already has a share of this red envelope"),
        "condition_not_met": (403, "the user does not meet the red envelope's condition"),
        "already_open": (409, "what has opened cannot be cancelled"),
        "coupon_not_found": (404, "no such coupon, or no such code"),
        "coupon_stopped": (409, "the coupon can be claimed no more"),
        "coupon_gone": (409, "every one of the coupon is claimed"),
        "coupon_expired": (409, "the coupon's time is over"),
        "coupon_used": (409, "the code is used by another order"),
        "coupon_not_used": (409, "the code is not used by this order"),
        "spend_too_small": (409, "the order is below the coupon's minimum spend"),
        "no_discount": (409, "the coupon takes nothing off this order, and is not used up"),
        "per_user_limit": (409, "the user has as many of this as one user may have"),
        "address_limit": (409, "as many users of this network address have some of it as may"),
        "sale_not_found": (404, "no such flash sale"),
        "sale_not_open": (409, "the flash sale is not open yet"),
        "sale_closed": (409, "the flash sale is over"),
        "sold_out": (409, "too little of the stock is available now"),
        "unpaid_limit": (429, "the user made as many holds without paying as one user may within an hour"),
        "others_first": (429, "little is left and the user's last hold ended unpaid: others may come first for a while"),
        "payment_used": (409, "the payment has paid another hold"),
        "hold_not_found": (404, "no such hold"),
        "hold_confirmed": (409, "the hold is already paid"),
        "hold_cancelled": (409, "the hold is already cancelled"),
        "hold_expired": (409, "the hold has expired"),
        "not_owner": (403, "it belongs to another user"),
        # The system.
        "id_reused": (422, "the command id was used before for another command"),
        "overloaded": (503, "too many commands are waiting; try again"),
        "unavailable": (503, "the journal cannot be written now; the outcome is unknown, retry with the same id"),
        "internal_error": (500, "the command could not be decided; it was set aside for inspection"),
    }
)

#: WebSocket close code -> (name, what it means and whether to come back).
CLOSE_CODES: MappingProxyType[int, tuple[str, str]] = MappingProxyType(
    {
        1000: ("normal", "the client closed"),
        1009: ("frame_too_large", "a frame was larger than a command may be"),
        1012: ("drain", "this gateway is going away; come back after the delay it named"),
        4000: ("token_expired", "come back with a fresh token"),
        4001: ("idle", "nothing was heard from the client; come back"),
        4002: ("room_unavailable", "the room's state could not be had in time; come back"),
        4003: ("replaced", "the user opened more connections than allowed and this was the oldest; come back if wanted"),
        4004: ("room_not_open", "the room was never opened; come back later"),
        4500: ("bad_token", "the token is missing, malformed or does not verify; do not come back with it"),
        4501: ("wrong_room", "the token is for another room; do not come back with it"),
        4502: ("banned", "the user is banned from this room; the `banned` frame before says until when"),
        4503: ("protocol_error", "the client broke the protocol"),
        4504: ("flooding", "the client kept sending far beyond its limits"),
        4505: ("bad_room_id", "the path names no room"),
    }
)


class InvariantBroken(Exception):
    """A rule about money or order does not hold: a bug, or a log that no engine wrote.

    It stops the room that it is found in. It is no `assert`, since `python -O` removes those.
    """


class LiveroomError(Exception):
    """Base of everything liveroom raises on purpose."""


class BadMessage(LiveroomError):
    """Untrusted bytes that are no message of the vocabulary; `code` is one of `REFUSALS`."""

    def __init__(self, code: str, detail: str, field: str | None = None, command_id: str | None = None) -> None:
        assert code in REFUSALS, code
        self.code = code
        self.detail = escaped(detail)  # it may repeat what the sender wrote
        self.field = escaped(field) if field is not None else None
        super().__init__(f"{code}: {self.detail}")
        self.command_id = command_id


class BadToken(LiveroomError):
    """A token that does not verify; `code` is `bad_token`, `token_expired` or `wrong_room`."""

    def __init__(self, code: str, detail: str) -> None:
        assert code in ("bad_token", "token_expired", "wrong_room"), code
        self.code = code
        self.detail = escaped(detail)  # it may repeat a claim
        super().__init__(f"{code}: {self.detail}")


class BadConfig(LiveroomError):
    """Settings that cannot be used; each of the `mistakes` names the setting and its source."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class EnvelopeDiffers(LiveroomError):
    """A red envelope's events are not as its seed says; the message is the first difference."""


class LedgerBroken(LiveroomError):
    """A room's money events do not add up; `seq` is the first that is wrong, `what` says why."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"seq {seq}: {what}")
        self.seq = seq
        self.what = what


class AuditFailed(LiveroomError):
    """A journal is not as it must be; `room`, `seq` and `what` name the first difference."""

    def __init__(self, room: str, seq: int, what: str) -> None:
        super().__init__(f"room {room}, seq {seq}: {what}")
        self.room = room
        self.seq = seq
        self.what = what


class JournalError(LiveroomError):
    """Base of what a journal raises."""


class JournalLocked(JournalError):
    """Another process owns the data directory."""


class JournalVersion(JournalError):
    """The data directory was written by a liveroom whose journals this one does not read."""


class JournalMismatch(JournalError):
    """The journal exists with other settings, for example another number of partitions."""


class JournalDamaged(JournalError):
    """What is stored cannot be read, or entries are missing: restore it, nothing is guessed."""


class JournalUnavailable(JournalError):
    """Nothing was written: read-only or full disk, broker away, or the journal is closed."""


class JournalFull(JournalError):
    """Too many unanswered commands wait in this partition; nothing was taken."""


class WriteUnknown(JournalError):
    """A write may or may not have happened: stand down and claim anew, never repeat it."""
