"""The one door for untrusted bytes, and the encoders of everything that leaves.

Decoding is strict: what is not exactly a message of the vocabulary raises `BadMessage` with its own
code and the name of the field. Of an object's repeated keys the last one counts. JSON everywhere, so that a
frame, a record and a row can all be read by eye.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar
from zlib import crc32

import msgspec

from liveroom.errors import REFUSALS, BadMessage
from liveroom.messages.commands import COMMANDS, Command
from liveroom.messages.events import Event
from liveroom.messages.fields import FORMS, CommandId, RoomId
from liveroom.messages.inbound import ClientMessage
from liveroom.messages.records import REQUESTS_MAX, Entry, Request

__all__ = [
    "COMMAND_BYTES_MAX",
    "DETAIL_CHARS_MAX",
    "command_digest",
    "decode_client_message",
    "decode_command_body",
    "decode_command_id",
    "decode_entry",
    "decode_request",
    "decode_requests",
    "decode_room_id",
    "encode",
    "event_object",
]

#: The largest command as JSON: 500 banned words of 50 characters, four bytes each, fit.
COMMAND_BYTES_MAX: Final = 128 * 1024
#: The longest detail of a refusal: it repeats what the sender wrote, but not all of it.
DETAIL_CHARS_MAX: Final = 300
#: The longest path to a field that is told back.
FIELD_CHARS_MAX: Final = 100

T = TypeVar("T")

_client_message = msgspec.json.Decoder(ClientMessage)
_request = msgspec.json.Decoder(Request)
_requests: msgspec.json.Decoder[tuple[Request, ...]] = msgspec.json.Decoder(
    Annotated[tuple[Request, ...], msgspec.Meta(min_length=1, max_length=REQUESTS_MAX)]
)
_entry: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
_bodies: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(cls) for name, cls in COMMANDS.items()}
_room_id = msgspec.json.Decoder(RoomId)
_encoder = msgspec.json.Encoder()

encode = _encoder.encode


def decode_client_message(data: bytes | str) -> ClientMessage:
    """Decode one text frame of a client; raises `BadMessage`, with the command's id when one could be read."""
    try:
        return _strict(_client_message, data)
    except BadMessage as error:
        error.command_id = _id_of(data)
        raise


def decode_command_body(name: str, data: bytes) -> Command:
    """Decode the fields of the command `name` from an HTTP body (empty = no fields); raises `BadMessage`."""
    decoder = _bodies.get(name)
    if decoder is None:
        raise BadMessage("unknown_command", f"no command is called {name[:64]!r}", "type")
    command: Command = _strict(decoder, data or b"{}")
    return command


def decode_request(data: bytes) -> Request:
    """Decode a request from the journal; other producers write there too. Raises `BadMessage`."""
    return _strict(_request, data)


def decode_requests(data: bytes) -> tuple[Request, ...]:
    """Decode what stands at one offset of the commands: one request, or 1 to `REQUESTS_MAX` in a list. Raises `BadMessage`, also when any is none."""
    if data.lstrip()[:1] == b"[":
        return _translated(_requests, data)
    return (decode_request(data),)


def decode_entry(data: bytes) -> Entry:
    """Decode a claim or a record from the journal; raises `BadMessage`."""
    return _translated(_entry, data)


def decode_room_id(text: str) -> str:
    """Check a room id; raises `BadMessage` (`bad_room_id`)."""
    try:
        return msgspec.convert(text, RoomId)
    except msgspec.ValidationError:
        raise BadMessage("bad_room_id", _BAD_ROOM_ID, "room") from None


def decode_command_id(text: str) -> str:
    """Check a command id; raises `BadMessage` naming the field `id`."""
    try:
        return msgspec.convert(text, CommandId)
    except msgspec.ValidationError:
        raise BadMessage("bad_value", "a command id is 1-64 printable ASCII characters without spaces", "id") from None


def command_digest(command: bytes) -> int:
    """A fingerprint of an encoded command, to see an id that is used again for another command; never 0.

    32 bits are enough: who finds two commands of one fingerprint and sends both under one id is told of the first what became of it.
    """
    return 1 + crc32(command)


def event_object(event: Event, seq: int) -> dict[str, Any]:
    """An event as it stands in a frame: a plain object with its seq."""
    plain: dict[str, Any] = msgspec.to_builtins(event)
    plain["seq"] = seq
    return plain


# How msgspec's own words become a code and a field. Its messages are stable and few; the tests hold every branch.

_BAD_ROOM_ID = REFUSALS["bad_room_id"][1]
_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_NAMED = re.compile(r"field `([^`]*)`")
_FORM = re.compile(r"matching regex (.*)$", re.DOTALL)
_FORMS = {repr(pattern): words for pattern, words in FORMS.items()}
_CUT_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")


def _strict(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    if len(data) > COMMAND_BYTES_MAX or (isinstance(data, str) and not data.isascii() and _utf8_bytes(data) > COMMAND_BYTES_MAX):
        raise BadMessage("too_large", f"at most {COMMAND_BYTES_MAX} bytes are allowed")
    return _translated(decoder, data)


def _utf8_bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _translated(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None
    except UnicodeError:
        raise BadMessage("bad_utf8", "the text is not valid UTF-8") from None
    except msgspec.DecodeError as error:
        if _is_lone_surrogate(str(error), data):
            raise BadMessage("bad_utf8", "half of a surrogate pair stands alone") from None
        raise BadMessage("malformed", str(error)) from None
    except RecursionError:
        raise BadMessage("malformed", "nested too deeply") from None


def _is_lone_surrogate(words: str, data: bytes | str) -> bool:
    # Close to the end of its input, msgspec takes a lone high surrogate for a message that was cut off.
    if words.startswith("Input data was truncated"):
        return bool(_CUT_SURROGATE.search(data[-16:] if isinstance(data, str) else data[-16:].decode("ascii", "replace")))
    return "surrogate" in words


def _bad(words: str) -> BadMessage:
    at = _AT.search(words)
    path = at.group(1) if at else ""
    what = words[: at.start()] if at else words
    named = _NAMED.search(what)
    if named:
        path = f"{path}.{named.group(1)}" if path else named.group(1)
    code = _code_for(what, path)
    if len(path) > FIELD_CHARS_MAX:
        path = path[: FIELD_CHARS_MAX - 1] + "…"
    detail = _detail(code, what)
    if len(detail) > DETAIL_CHARS_MAX - FIELD_CHARS_MAX - 3:
        detail = detail[: DETAIL_CHARS_MAX - FIELD_CHARS_MAX - 4] + "…"
    return BadMessage(code, f"{detail} ({path})" if path else detail, path or None)


def _code_for(what: str, path: str) -> str:
    if what.startswith("Object missing required field"):
        return "missing_field"
    if what.startswith("Object contains unknown field"):
        return "unknown_field"
    if what.startswith("Invalid value") and path == "command.type":
        return "unknown_command"
    if path == "room":
        return "bad_room_id"
    if " of length <= " in what:
        return "too_long"
    if re.search(r" of (?:at least )?length ", what):
        return "too_short"
    if "out of range" in what or re.match(r"Expected `(?:int|float)` (?:<=|>=|<|>)", what):
        return "out_of_range"
    if what.startswith("Expected `") and "matching regex" not in what:
        return "wrong_type"
    return "bad_value"


def _detail(code: str, what: str) -> str:
    if code == "bad_room_id":
        return _BAD_ROOM_ID
    if code == "unknown_command":
        return what.replace("Invalid value", "no command is called", 1)
    if code == "missing_field":
        return "a required field is missing"
    if code == "unknown_field":
        return "there is no such field"
    form = _FORM.search(what)
    return f"expected {_FORMS.get(form.group(1), 'another form')}" if form else what


class _IdOnly(msgspec.Struct):
    id: CommandId


_id_only = msgspec.json.Decoder(_IdOnly)
_ID_FIRST = re.compile(r'\s*\{\s*"id"\s*:\s*"([!#-\[\]-~]{1,64})"\s*,')


def _id_of(data: bytes | str) -> str | None:
    try:
        return _id_only.decode(data).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    # An id that stands first, where clients put it, is known even when what follows is broken: its sender waits for an answer.
    head = data[:128] if isinstance(data, str) else data[:128].decode("ascii", "replace")
    first = _ID_FIRST.match(head)
    return first.group(1) if first else None
