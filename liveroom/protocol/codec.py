"""The decoders of untrusted bytes, and the encoders of everything that leaves.

Decoding is strict: input that is not exactly a message of the vocabulary raises `BadMessage` with its own code and the name of the field.
If an object repeats a key, the last one counts. All messages are JSON, so that a frame, a record and a row can be read by eye.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar
from zlib import crc32

import msgspec
from msgspec.structs import replace

from liveroom.messages.errors import COMMON_REFUSALS, BadMessage
from liveroom.messages.fields import NAME_CHARS_MAX, CommandId, RoomId
from liveroom.messages.text import clean_name
from liveroom.protocol.commands import COMMANDS, Command
from liveroom.protocol.diagnosis import Fault, diagnose, parse
from liveroom.protocol.events import Event
from liveroom.protocol.inbound import ClientMessage, Probe
from liveroom.protocol.records import RECORD_VERSION, REQUESTS_MAX, Entry, Request

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
#: The longest probe: a message beyond it is looked at as a command only.
PROBE_BYTES_MAX: Final = 64
#: Valid room ids that are remembered, because every join and command names one.
ROOM_IDS_REMEMBERED: Final = 16_384
#: The longest path to a field in a refusal.
FIELD_CHARS_MAX: Final = 100

T = TypeVar("T")

_client_message = msgspec.json.Decoder(ClientMessage)
_probe = msgspec.json.Decoder(Probe)
_request = msgspec.json.Decoder(Request)
_requests: msgspec.json.Decoder[tuple[Request, ...]] = msgspec.json.Decoder(
    Annotated[tuple[Request, ...], msgspec.Meta(min_length=1, max_length=REQUESTS_MAX)]
)
_entry: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
_bodies: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(cls) for name, cls in COMMANDS.items()}
_room_id = msgspec.json.Decoder(RoomId)
_encoder = msgspec.json.Encoder()

encode = _encoder.encode


def decode_client_message(data: bytes | str) -> ClientMessage | Probe:
    """Decode one text frame of a client; raises `BadMessage`, with the command's id when one could be read."""
    try:
        return _strict(_client_message, data)
    except BadMessage as error:
        if _is_probe(data):
            return Probe()
        error.command_id = _id_of(data)
        raise


def _is_probe(data: bytes | str) -> bool:
    try:
        return len(data) <= PROBE_BYTES_MAX and bool(_probe.decode(data))
    except (msgspec.MsgspecError, UnicodeError):
        return False


def decode_command_body(name: str, data: bytes) -> Command:
    """Decode the fields of the command `name` from an HTTP body (empty = no fields); raises `BadMessage`."""
    decoder = _bodies.get(name)
    if decoder is None:
        raise BadMessage("unknown_command", f"no command is called {name[:64]!r}", "type")
    command: Command = _strict(decoder, data or b"{}")
    return command


def decode_request(data: bytes) -> Request:
    """Decode a request from the journal; other producers write there too. Its sender's name is cleaned. Raises `BadMessage`."""
    return _with_clean_name(_strict(_request, data))


def decode_requests(data: bytes) -> tuple[Request, ...]:
    """Decode what stands at one offset of the commands: one request, or 1 to `REQUESTS_MAX` in a list.

    Raises `BadMessage`, also if one of them is no request.
    """
    if data.lstrip()[:1] == b"[":
        requests: tuple[Request, ...] = _translated(_requests, data)
        return tuple(_with_clean_name(request) for request in requests)
    return (decode_request(data),)


def _with_clean_name(request: Request) -> Request:
    sender = request.sender
    name = clean_name(sender.name, NAME_CHARS_MAX, sender.user)
    return request if name == sender.name else replace(request, sender=replace(sender, name=name))


def decode_entry(data: bytes) -> Entry:
    """Decode a takeover or a record from the journal; raises `BadMessage`, which tells another version's entry from a damaged one."""
    try:
        return _translated(_entry, data)
    except BadMessage:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            if (version := _version.decode(data).v) != RECORD_VERSION:
                raise BadMessage("bad_value", f"it has record version {version}, this liveroom reads {RECORD_VERSION}", "v") from None
        raise


@lru_cache(ROOM_IDS_REMEMBERED)
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

    32 bits are enough: a client that sends two commands of one fingerprint under one id gets the outcome of the first for both.
    """
    return 1 + crc32(command)


def event_object(event: Event, seq: int) -> dict[str, Any]:
    """An event as it stands in a frame: a plain object with its seq."""
    plain: dict[str, Any] = msgspec.to_builtins(event)
    plain["seq"] = seq
    return plain


def memory_bytes(messages: Sequence[msgspec.Struct]) -> int:
    """An estimate, on the high side, of the bytes that decoded messages take in memory; tests compare it with real memory.

    JSON is shorter than the message in memory, where one emoji makes every character of its text four bytes wide.
    A message that cannot be encoded is measured by its `repr`, because measuring refuses nothing.
    """
    try:
        size = len(encode(messages))
    except (ValueError, OverflowError):
        size = len(repr(messages))
    return _MESSAGE_BYTES * len(messages) + _WIDEST_CHARACTER_BYTES * size


_MESSAGE_BYTES: Final = 256
_WIDEST_CHARACTER_BYTES: Final = 4


# Why a message is refused is found by our own checks: the decoder's error classes and words change from version to version.

_BAD_ROOM_ID = COMMON_REFUSALS["bad_room_id"][1]
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def _strict(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    """Decode what anybody may have sent: its size and its text are checked here, whatever the decoder checks."""
    if len(data) > COMMAND_BYTES_MAX or (isinstance(data, str) and not data.isascii() and _utf8_bytes(data) > COMMAND_BYTES_MAX):
        raise BadMessage("too_large", f"at most {COMMAND_BYTES_MAX} bytes are allowed")
    if not data.isascii() or (b"\\u" if isinstance(data, bytes) else "\\u") in data:  # type: ignore[operator]
        _check_text(data)
    return _translated(decoder, data)


def _utf8_bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _translated(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return _examined(decoder, data, str(error))


def _examined(decoder: msgspec.json.Decoder[T], data: bytes | str, words: str) -> T:
    """Read a message whose whole numbers are written as 1.0, or find why it is refused; `words` are the decoder's, shown when ours are missing."""
    try:
        text = _check_text(data)
        if text.lstrip(" \t\r\n")[:1] == "[" and decoder is not _requests:  # however deep, an array is no message
            raise BadMessage("wrong_type", "expected an object, got a list")
        value = parse(text)
        if fault := diagnose(decoder.type, value):
            raise _bad(fault)
        return decoder.decode(encode(value))
    except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
        raise BadMessage("malformed", words[:DETAIL_CHARS_MAX]) from None
    except RecursionError:
        raise BadMessage("malformed", "nested too deeply") from None


def _check_text(data: bytes | str) -> str:
    """The text of a message; raises `BadMessage` (`bad_utf8`) unless all of it, escapes included, can be written in UTF-8."""
    try:
        if isinstance(data, bytes):
            text = data.decode()
        else:
            text = data
            if not text.isascii():
                text.encode()
    except UnicodeError:
        raise BadMessage("bad_utf8", "the text is not valid UTF-8") from None
    if "\\u" in text and _has_lone_surrogate(text):
        raise BadMessage("bad_utf8", "half of a surrogate pair stands alone")
    return text


def _has_lone_surrogate(text: str) -> bool:
    expected_at = -1  # where the low half of an open pair must begin
    for escape in _ESCAPE.finditer(text):
        unit = int(escape.group(1) or "0", 16)
        is_low = 0xDC00 <= unit <= 0xDFFF
        if (expected_at >= 0) != is_low or (is_low and escape.start() != expected_at):
            return True
        expected_at = escape.end() if 0xD800 <= unit <= 0xDBFF else -1
    return expected_at >= 0


def _bad(fault: Fault) -> BadMessage:
    code, detail, path = fault.code, fault.detail, fault.path
    if path == "room":
        code, detail = "bad_room_id", _BAD_ROOM_ID
    elif path == "command.type" and code == "bad_value":
        code, detail = "unknown_command", detail.replace("there is no", "no command is called").removesuffix(" here")
    if len(path) > FIELD_CHARS_MAX:
        path = path[: FIELD_CHARS_MAX - 1] + "…"
    if len(detail) > DETAIL_CHARS_MAX - FIELD_CHARS_MAX - 3:
        detail = detail[: DETAIL_CHARS_MAX - FIELD_CHARS_MAX - 4] + "…"
    return BadMessage(code, f"{detail} ({path})" if path else detail, path or None)


class _VersionOnly(msgspec.Struct):
    v: int


_version = msgspec.json.Decoder(_VersionOnly)


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
