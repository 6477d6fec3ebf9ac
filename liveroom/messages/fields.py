"""The field types that messages are made of: each carries its own limits, so decoding checks them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta

__all__ = [
    "CHAT_BUDGET_MAX",
    "DURATION_MS_MAX",
    "FORMS",
    "NAME_CHARS_MAX",
    "ROOM_CLAIM_PATTERN",
    "USER_ID_CHARS_MAX",
    "BannedWord",
    "CommandId",
    "Count",
    "Delivery",
    "DurationMs",
    "Fen",
    "GatewayId",
    "Line",
    "ProductId",
    "Reason",
    "Role",
    "RoomId",
    "Seq",
    "Text",
    "TimeMs",
    "Title",
    "Url",
    "UserId",
    "UserName",
    "UsersPerAddress",
]

#: A year: the longest duration a mute or a ban may have.
DURATION_MS_MAX = 366 * 24 * 3600 * 1000
CHAT_BUDGET_MAX = 1_000
NAME_CHARS_MAX = 64
USER_ID_CHARS_MAX = 128

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"
#: Ids that others make: users by the platform, commands by clients.
PRINTABLE_PATTERN = r"^[\x21-\x7e]+$(?!\n)"
ROOM_CLAIM_PATTERN = r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$(?!\n)"
URL_PATTERN = r"^(https?://[^\s<>\"'`\\]+)?$(?!\n)"

#: The patterns in words, for refusals and for the reference.
FORMS = {
    ID_PATTERN: "letters, digits and . _ - of ASCII, beginning with a letter or digit",
    PRINTABLE_PATTERN: "printable ASCII characters without spaces",
    ROOM_CLAIM_PATTERN: "a room id, or * for every room",
    URL_PATTERN: "an address beginning with http:// or https://, without spaces, quotes or angle brackets; or nothing",
}

RoomId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, description="Room id")]
UserId = Annotated[str, Meta(min_length=1, max_length=USER_ID_CHARS_MAX, pattern=PRINTABLE_PATTERN, description="User id, as the token's `sub`")]
UserName = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Name shown beside what the user says")]
CommandId = Annotated[str, Meta(min_length=1, max_length=64, pattern=PRINTABLE_PATTERN, description="Id chosen by the client; a retry repeats it")]
ProductId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, description="Product id, as the platform names it")]
GatewayId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, description="Gateway instance id")]
Line = Annotated[str, Meta(min_length=1, max_length=300, description="One line of chat, 1-300 characters")]
Text = Annotated[str, Meta(max_length=1_000, description="Text of up to 1,000 characters; empty clears it")]
Title = Annotated[str, Meta(min_length=1, max_length=120, description="A title, 1-120 characters")]
Reason = Annotated[str, Meta(max_length=200, description="Why, shown to the user concerned")]
Url = Annotated[str, Meta(max_length=500, pattern=URL_PATTERN, description="An http(s) address, or empty")]
BannedWord = Annotated[str, Meta(min_length=1, max_length=50, description="A word or phrase that chat may not hold")]
Fen = Annotated[int, Meta(ge=0, le=100_000_000_000, description="Money in fen (1/100 yuan)")]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1, description="A count")]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Position of an event in its room")]
TimeMs = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Unix time in ms, by the engine's clock")]
UsersPerAddress = Annotated[int, Meta(ge=0, le=10_000, description="Users of one network address that may have some of it; 0 = any number")]
DurationMs = Annotated[int, Meta(ge=1_000, le=DURATION_MS_MAX, description="A duration in ms, 1 s to 366 days")]


class Role(str, Enum):
    """Who a token speaks for; a later role may do what an earlier one may, unless a command says otherwise."""

    viewer = "viewer"
    moderator = "moderator"
    anchor = "anchor"
    platform = "platform"


class Delivery(str, Enum):
    """What a gateway may do with an event when it builds a frame."""

    must = "must"  # reaches every viewer in order: red envelopes, coupons, sales, moderation, lifecycle
    latest = "latest"  # only the last per key within a tick: stock, likes, viewer count
    lossy = "lossy"  # may be left out under load: chat beyond the room's budget
    personal = "personal"  # reaches the connections of its `user` alone
    internal = "internal"  # never leaves the backend
