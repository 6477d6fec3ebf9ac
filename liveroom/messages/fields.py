"""The field types of messages; each has its own limits, which decoding checks."""

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

#: The longest mute or ban: a year.
DURATION_MS_MAX = 366 * 24 * 3600 * 1000
CHAT_BUDGET_MAX = 1_000
NAME_CHARS_MAX = 64
USER_ID_CHARS_MAX = 128

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"
#: Ids from outside: the platform names users, clients name commands.
PRINTABLE_PATTERN = r"^[\x21-\x7e]+$(?!\n)"
ROOM_CLAIM_PATTERN = r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$(?!\n)"
URL_PATTERN = r"^(https?://[^\s<>\"'`\\]+)?$(?!\n)"

#: The patterns in words, for refusals and the reference pages.
FORMS = {
    ID_PATTERN: "letters, digits and . _ - of ASCII, beginning with a letter or digit",
    PRINTABLE_PATTERN: "printable ASCII characters without spaces",
    ROOM_CLAIM_PATTERN: "a room id, or * for every room",
    URL_PATTERN: "an address beginning with http:// or https://, without spaces, quotes or angle brackets; or nothing",
}

RoomId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, description="Room id")]
UserId = Annotated[str, Meta(min_length=1, max_length=USER_ID_CHARS_MAX, pattern=PRINTABLE_PATTERN, description="User id, from the token's `sub`")]
UserName = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Name shown with the user's messages")]
CommandId = Annotated[str, Meta(min_length=1, max_length=64, pattern=PRINTABLE_PATTERN, description="Id chosen by the client; a retry repeats it")]
ProductId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, description="Product id, chosen by the platform")]
GatewayId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, description="Gateway instance id")]
Line = Annotated[str, Meta(min_length=1, max_length=300, description="One line of chat, 1-300 characters")]
Text = Annotated[str, Meta(max_length=1_000, description="Text of up to 1,000 characters; an empty text clears it")]
Title = Annotated[str, Meta(min_length=1, max_length=120, description="A title, 1-120 characters")]
Reason = Annotated[str, Meta(max_length=200, description="Reason, shown to the user concerned")]
Url = Annotated[str, Meta(max_length=500, pattern=URL_PATTERN, description="An http(s) address, or empty")]
BannedWord = Annotated[str, Meta(min_length=1, max_length=50, description="A word or phrase that chat may not contain")]
Fen = Annotated[int, Meta(ge=0, le=100_000_000_000, description="Money in fen (1/100 yuan)")]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1, description="A count")]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Position of an event in its room")]
TimeMs = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Unix time in ms, by the engine's clock")]
UsersPerAddress = Annotated[int, Meta(ge=0, le=10_000, description="Users of one network address that may have units of this item; 0 = no limit")]
DurationMs = Annotated[int, Meta(ge=1_000, le=DURATION_MS_MAX, description="A duration in ms, 1 s to 366 days")]


class Role(str, Enum):
    """The rights that a token gives. A later role has the rights of the earlier ones, unless a command says otherwise."""

    viewer = "viewer"
    moderator = "moderator"
    anchor = "anchor"
    platform = "platform"


class Delivery(str, Enum):
    """The delivery class of an event: the way in which it may reach viewers."""

    must = "must"  # reaches every viewer, in order
    latest = "latest"  # only the last one per key of a frame is sent
    lossy = "lossy"  # may be omitted under load
    personal = "personal"  # reaches only the connections of its `user`
    internal = "internal"  # never leaves the backend
