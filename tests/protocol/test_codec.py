"""The decoders of untrusted bytes: input that is not exactly a message gets its own code, and always raises `BadMessage`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.features.chat.messages import SendChat
from liveroom.features.likes.messages import LikesAdded, SendLikes
from liveroom.features.moderation.messages import SetBannedWords
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.messages.base import CommandBase, EventBase
from liveroom.messages.errors import BadMessage
from liveroom.messages.fields import FORMS, NAME_CHARS_MAX
from liveroom.messages.replies import FrameBase
from liveroom.messages.text import clean_name
from liveroom.protocol import codec, diagnosis
from liveroom.protocol.codec import COMMAND_BYTES_MAX, decode_client_message, decode_request, encode
from liveroom.protocol.commands import COMMANDS, Command
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import FRAMES, Frame
from liveroom.protocol.inbound import ClientMessage
from liveroom.protocol.records import RECORD_VERSION, Record, Request, Takeover
from liveroom.protocol.refusals import REFUSALS
from tests.protocol.strategies import json_values, messages

PRODUCT = {"id": "p1", "title": "Silk scarf", "price_fen": 9_900}


def wrap(command: str) -> str:
    return f'{{"id":"c1","command":{command}}}'


def chat(text: str) -> str:
    return wrap(f'{{"type":"send_chat","text":{text}}}')


def likes(count: str) -> str:
    return wrap(f'{{"type":"send_likes","count":{count}}}')


def product(**changes: Any) -> str:
    return wrap(json.dumps({"type": "add_product", "product": {**PRODUCT, **changes}}))


def refusal(decode: Callable[[Any], object], data: Any) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        decode(data)
    return caught.value


# (the fault, the frame, the code, the field, the id that the refusal carries)
BAD_FRAMES: list[tuple[str, str | bytes, str, str | None, str | None]] = [
    ("empty", "", "malformed", None, None),
    ("not JSON", "hello", "malformed", None, None),
    ("cut off", '{"id":"c1","command":{"type":"send_chat"', "malformed", None, "c1"),
    ("cut off in the id", '{"id":"c1', "malformed", None, None),
    ("trailing text", chat('"hi"') + "x", "malformed", None, "c1"),
    ("trailing NUL", chat('"hi"') + "\0", "malformed", None, "c1"),
    ("two messages", chat('"hi"') + chat('"ho"'), "malformed", None, "c1"),
    ("byte order mark", "\ufeff" + chat('"hi"'), "malformed", None, None),
    ("byte order mark in bytes", b"\xef\xbb\xbf" + chat('"hi"').encode(), "malformed", None, None),
    ("UTF-16", chat('"hi"').encode("utf-16"), "bad_utf8", None, None),
    ("raw NUL in a text", chat('"a\0b"'), "malformed", None, "c1"),
    ("raw newline in a text", chat('"a\nb"'), "malformed", None, "c1"),
    ("single quotes", "{'id':'c1'}", "malformed", None, None),
    ("a comment", wrap('{"type":"send_likes"/**/}'), "malformed", None, "c1"),
    ("a comma too many", wrap('{"type":"send_likes",}'), "malformed", None, "c1"),
    ("NaN", likes("NaN"), "malformed", None, "c1"),
    ("Infinity", likes("Infinity"), "malformed", None, "c1"),
    ("a leading zero", likes("01"), "malformed", None, "c1"),
    ("bad UTF-8 in a text", b'{"id":"c1","command":{"type":"send_chat","text":"\xff"}}', "bad_utf8", None, "c1"),
    ("bad UTF-8 in a field's name", b'{"id":"c1","command":{"type":"send_chat","te\xffxt":"a"}}', "bad_utf8", None, "c1"),
    ("bad UTF-8 in the id", b'{"id":"c\xff","command":{"type":"send_likes"}}', "bad_utf8", None, None),
    ("an encoded surrogate", b'{"id":"c1","command":{"type":"send_chat","text":"\xed\xa0\x80"}}', "bad_utf8", None, "c1"),
    ("an overlong encoding", b'{"id":"c1","command":{"type":"send_chat","text":"\xc0\xaf"}}', "bad_utf8", None, "c1"),
    ("a raw surrogate", chat('"\ud800"'), "bad_utf8", None, "c1"),
    ("a lone high surrogate at the end", chat(r'"\ud83d"'), "bad_utf8", None, "c1"),
    ("a lone high surrogate within", chat(r'"\ud83d and some more text"'), "bad_utf8", None, "c1"),
    ("a lone low surrogate", chat(r'"\udc00"'), "bad_utf8", None, "c1"),
    ("a lone high surrogate before another escape", chat(r'"\ud83d and \n"'), "bad_utf8", None, "c1"),
    ("a low half too late", chat(r'"\ud83d \ude00"'), "bad_utf8", None, "c1"),
    ("two high surrogates", chat(r'"\ud83d\ud83d"'), "bad_utf8", None, "c1"),
    ("an array", "[]", "wrong_type", None, None),
    ("null", "null", "wrong_type", None, None),
    ("very deep, not an object", "[" * 100_000, "wrong_type", None, None),
    ("very deep in an unknown field", wrap('{"type":"send_likes","x":' + "[" * 3_000 + "]" * 3_000 + "}"), "malformed", None, "c1"),
    ("no id", '{"command":{"type":"send_likes"}}', "missing_field", "id", None),
    ("no command", '{"id":"c1"}', "missing_field", "command", "c1"),
    ("no type", wrap("{}"), "missing_field", "command.type", "c1"),
    ("no text", wrap('{"type":"send_chat"}'), "missing_field", "command.text", "c1"),
    ("no price", wrap('{"type":"add_product","product":{"id":"p1","title":"t"}}'), "missing_field", "command.product.price_fen", "c1"),
    ("an extra field beside the command", '{"id":"c1","command":{"type":"send_likes"},"x":1}', "unknown_field", "x", "c1"),
    ("an extra field of a command", wrap('{"type":"send_likes","x":1}'), "unknown_field", "command.x", "c1"),
    ("an extra field within a field", product(stock=1), "unknown_field", "command.product.stock", "c1"),
    ("an unknown command", wrap('{"type":"steal_money"}'), "unknown_command", "command.type", "c1"),
    ("the type of a frame", wrap('{"type":"keyframe"}'), "unknown_command", "command.type", "c1"),
    ("a command in another case", wrap('{"type":"Send_Chat","text":"a"}'), "unknown_command", "command.type", "c1"),
    ("two different types", wrap('{"type":"send_chat","type":"send_likes","text":"a"}'), "unknown_field", "command.text", "c1"),
    ("a type that is a number", wrap('{"type":3}'), "wrong_type", "command.type", "c1"),
    ("a command that is a text", wrap('"send_likes"'), "wrong_type", "command", "c1"),
    ("a command that is null", wrap("null"), "wrong_type", "command", "c1"),
    ("a number for a text", chat("3"), "wrong_type", "command.text", "c1"),
    ("null for a text", chat("null"), "wrong_type", "command.text", "c1"),
    ("a text for a number", likes('"1"'), "wrong_type", "command.count", "c1"),
    ("a boolean for a number", likes("true"), "wrong_type", "command.count", "c1"),
    ("a fraction", likes("1.5"), "wrong_type", "command.count", "c1"),
    ("a fraction with an exponent", likes("15e-1"), "wrong_type", "command.count", "c1"),
    ("a whole number that is too large, as a fraction", likes("51.0"), "out_of_range", "command.count", "c1"),
    ("half a fen", product(price_fen=99.5), "wrong_type", "command.product.price_fen", "c1"),
    ("a text for a list", wrap('{"type":"set_banned_words","words":"a"}'), "wrong_type", "command.words", "c1"),
    ("a number in a list of texts", wrap('{"type":"set_banned_words","words":["a",3]}'), "wrong_type", "command.words[1]", "c1"),
    ("a number for the id", '{"id":3,"command":{"type":"send_likes"}}', "wrong_type", "id", None),
    ("a text too long", chat(json.dumps("字" * 301, ensure_ascii=False)), "too_long", "command.text", "c1"),
    ("a word too long", wrap('{"type":"set_banned_words","words":["%s"]}' % ("x" * 51)), "too_long", "command.words[0]", "c1"),
    ("too many words", wrap(json.dumps({"type": "set_banned_words", "words": ["a"] * 501})), "too_long", "command.words", "c1"),
    ("an id too long", '{"id":"%s","command":{"type":"send_likes"}}' % ("a" * 65), "too_long", "id", None),
    ("an empty line", chat('""'), "too_short", "command.text", "c1"),
    ("an empty word", wrap('{"type":"set_banned_words","words":["a",""]}'), "too_short", "command.words[1]", "c1"),
    ("an empty id", '{"id":"","command":{"type":"send_likes"}}', "too_short", "id", None),
    ("too few", likes("0"), "out_of_range", "command.count", "c1"),
    ("minus zero", likes("-0"), "out_of_range", "command.count", "c1"),
    ("too many", likes("51"), "out_of_range", "command.count", "c1"),
    ("beyond 64 bits", likes(str(2**64)), "out_of_range", "command.count", "c1"),
    ("400 digits", likes("9" * 400), "out_of_range", "command.count", "c1"),
    ("beyond what a float holds", likes("1e400"), "out_of_range", "command.count", "c1"),
    ("a seq that JavaScript cannot hold", wrap('{"type":"delete_message","message":9007199254740992}'), "out_of_range", "command.message", "c1"),
    ("a negative price", product(price_fen=-1), "out_of_range", "command.product.price_fen", "c1"),
    ("a duration too short", wrap('{"type":"mute_user","user":"u","duration_ms":999}'), "out_of_range", "command.duration_ms", "c1"),
    ("a script for an address", product(link_url="javascript:alert(1)"), "bad_value", "command.product.link_url", "c1"),
    ("a quote in an address", product(image_url='https://x/"onload='), "bad_value", "command.product.image_url", "c1"),
    ("a space in a product id", product(id="p 1"), "bad_value", "command.product.id", "c1"),
    ("a newline after a user id", wrap('{"type":"unmute_user","user":"u\\n"}'), "bad_value", "command.user", "c1"),
    ("a space in the id", '{"id":"a b","command":{"type":"send_likes"}}', "bad_value", "id", None),
    ("a newline after the id", '{"id":"a\\n","command":{"type":"send_likes"}}', "bad_value", "id", None),
    ("larger than a command may be", chat('"%s"' % ("x" * COMMAND_BYTES_MAX)), "too_large", None, "c1"),
    ("larger in bytes than in characters", chat('"%s"' % ("字" * (COMMAND_BYTES_MAX // 2))), "too_large", None, "c1"),
]


@pytest.mark.parametrize(("data", "code", "field", "command_id"), [pytest.param(*rest, id=name) for name, *rest in BAD_FRAMES])
def test_each_class_of_bad_input_has_its_own_code_and_names_the_field(
    data: str | bytes, code: str, field: str | None, command_id: str | None
) -> None:
    """A bad frame is refused with the code of its class, the field, and the command's id when one could be read."""
    error = refusal(decode_client_message, data)
    assert (error.code, error.field, error.command_id) == (code, field, command_id)
    if field and code != "bad_room_id":
        assert field in error.detail


def test_every_code_of_the_codec_is_reached() -> None:
    """The codes that stand under "the bytes were no message" are all reached by bad frames and room ids."""
    of_codec = list(REFUSALS)[: list(REFUSALS).index("forbidden")]
    assert set(of_codec) == {code for _, _, code, _, _ in BAD_FRAMES} | {refusal(codec.decode_room_id, "a b").code}


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (wrap('{"type":"send_likes"}'), SendLikes()),
        (wrap('{"count":2,"type":"send_likes"}'), SendLikes(2)),
        ('\n { "id" : "c1" , "command" : { "type" : "send_likes" } } \n', SendLikes()),
        (chat('"a","text":"b"'), SendChat("b")),
        (chat(r'"\ud83d\ude00 \u0000"'), SendChat("😀 \0")),
        (likes("2.0"), SendLikes(2)),
        (likes("0.2e1"), SendLikes(2)),
        (product(price_fen=9_900.0), AddProduct(Product("p1", "Silk scarf", 9_900))),
        (chat(r'"\\ud83d \u005cud83d"'), SendChat(r"\ud83d \ud83d")),
        (chat('"%s"' % ("字" * 300)), SendChat("字" * 300)),
    ],
    ids=[
        "defaults",
        "type last",
        "white space",
        "repeated key: the last counts",
        "escapes",
        "a whole number as a fraction",
        "a whole number with an exponent",
        "money as a fraction",
        "backslashes are no escapes",
        "300 characters",
    ],
)
def test_what_is_json_and_a_command_is_taken(data: str, command: Command) -> None:
    """Order of keys, white space and escapes do not matter; of a repeated key the last one counts."""
    assert decode_client_message(data) == ClientMessage("c1", command)
    assert decode_client_message(data.encode()) == ClientMessage("c1", command)


def test_the_largest_command_fits() -> None:
    """500 banned words of 50 characters of four bytes are within the size limit."""
    message = ClientMessage("c" * 64, SetBannedWords(("😀" * 50,) * 500))
    data = encode(message)
    assert len(data) <= COMMAND_BYTES_MAX
    assert decode_client_message(data) == message


def test_a_detail_repeats_only_so_much_of_what_was_sent() -> None:
    """However long a wrong name or value is, the refusal's detail stays within its limit."""
    for data in (
        wrap('{"type":"%s"}' % ("x" * 5_000)),
        wrap('{"type":"send_likes","%s":1}' % ("x" * 5_000)),
        '{"%s":1}' % ("y`" * 5_000),
        wrap('{"type":"set_banned_words","words":["%s"]}' % ("x" * 51)),
    ):
        error = refusal(decode_client_message, data)
        assert len(error.detail) <= codec.DETAIL_CHARS_MAX
        assert len(error.field or "") <= codec.FIELD_CHARS_MAX


def test_patterns_are_told_in_words() -> None:
    """No refusal shows a regular expression: each pattern of the vocabulary has words."""
    for data in (product(id="p 1"), product(link_url="x"), wrap('{"type":"ban_user","user":"a b","duration_ms":5000}'), '{"id":"ü","command":{}}'):
        detail = refusal(decode_client_message, data).detail
        assert any(words in detail for words in FORMS.values()), detail
        assert "regex" not in detail


@pytest.mark.parametrize(
    ("name", "body", "code", "field"),
    [
        ("steal_money", b"{}", "unknown_command", "type"),
        ("send_chat", b"", "missing_field", "text"),
        ("send_chat", b'{"text":"a","type":"send_likes"}', "bad_value", "type"),
        ("send_chat", b'{"text":"a","x":1}', "unknown_field", "x"),
        ("send_chat", b"[]", "wrong_type", None),
        ("send_chat", b'{"text":"\xff"}', "bad_utf8", None),
        ("send_chat", b"text=a", "malformed", None),
        ("send_likes", b" " * (COMMAND_BYTES_MAX + 1), "too_large", None),
    ],
)
def test_a_bad_body_is_refused_like_a_bad_frame(name: str, body: bytes, code: str, field: str | None) -> None:
    """An HTTP body has the command's fields at its top, and its mistakes have the same codes."""
    error = refusal(lambda data: codec.decode_command_body(name, data), body)
    assert (error.code, error.field) == (code, field)


@pytest.mark.parametrize("raised", [msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError])
def test_no_code_depends_on_the_words_of_a_library(raised: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes and fields stay the same when the decoder raises another of its errors, with other words."""

    class Decoder:
        type = ClientMessage

        def decode(self, data: bytes | str) -> object:
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "other words") if raised is UnicodeDecodeError else raised("other words")

    monkeypatch.setattr(codec, "_client_message", Decoder())
    for name, data, code, field, command_id in BAD_FRAMES:
        error = refusal(decode_client_message, data)
        assert (error.code, error.field, error.command_id) == (code, field, command_id), name


@pytest.mark.parametrize("of", [ClientMessage, Request, Takeover | Record, *COMMANDS.values()], ids=lambda of: getattr(of, "__name__", "Entry"))
def test_every_type_of_field_can_be_explained(of: Any) -> None:
    """The walk that finds faults knows every kind of type that a message has."""
    seen: set[int] = set()

    def walk(node: object) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, msgspec.inspect.Type) and not isinstance(node, msgspec.inspect.Metadata):
            assert type(node) in diagnosis.CHECKS
        for inner in msgspec.structs.asdict(node).values() if isinstance(node, msgspec.Struct) else node if isinstance(node, tuple) else ():
            walk(inner)

    info = msgspec.inspect.type_info(of)
    walk(info)
    assert len(seen) > 3


def test_an_empty_body_is_a_command_without_fields() -> None:
    """A command whose fields all have defaults needs no body."""
    assert codec.decode_command_body("send_likes", b"") == SendLikes()
    assert codec.decode_command_body("send_likes", b'{"type":"send_likes","count":2}') == SendLikes(2)


@pytest.mark.parametrize("room", ["a", "0", "room-1", "A.b_c-9", "x" * 64])
def test_a_room_id_is_taken(room: str) -> None:
    """1-64 of A-Z a-z 0-9 . _ - that begin with a letter or digit."""
    assert codec.decode_room_id(room) == room


@pytest.mark.parametrize("room", ["", "x" * 65, ".a", "-a", "_a", "a b", "a/b", "a\n", "ü", "房间", "a\0", "\ud800", "..", "a%2f"])
def test_a_bad_room_id_has_its_own_code(room: str) -> None:
    """Anything else is `bad_room_id`, also inside a request."""
    assert refusal(codec.decode_room_id, room).code == "bad_room_id"


def test_the_name_in_a_request_of_another_program_is_cleaned() -> None:
    """A name that another program writes into the commands is cleaned like a token's name, alone and in a list."""
    request = {"id": "c1", "room": "r1", "sender": ["u1", "Eve\u202e\x9b", "viewer"], "command": {"type": "send_chat", "text": "hi"}}
    nameless = {**request, "sender": ["u2", "\u200b", "viewer"]}
    assert decode_request(json.dumps(request).encode()).sender.name == "Eve"
    assert [r.sender.name for r in codec.decode_requests(json.dumps([request, nameless]).encode())] == ["Eve", "u2"]
    with pytest.raises(BadMessage, match="bad_utf8"):
        decode_request(json.dumps({**request, "sender": ["u1", "Anna \ud83d", "viewer"]}).encode())


def test_a_bad_room_id_in_a_request_has_the_same_code() -> None:
    """Other producers write to the journal too: their room ids are checked alike."""
    request = {"id": "c1", "room": "a b", "sender": ["u", "n"], "command": {"type": "send_likes"}}
    error = refusal(decode_request, json.dumps(request).encode())
    assert (error.code, error.field) == ("bad_room_id", "room")


@pytest.mark.parametrize("command_id", ["", "a b", "a\n", "ü", "x" * 65, "\ud800"])
def test_a_bad_command_id_is_refused(command_id: str) -> None:
    """A command id from a header is 1-64 printable ASCII characters without spaces."""
    assert refusal(codec.decode_command_id, command_id).field == "id"
    assert codec.decode_command_id("c-1/2:3") == "c-1/2:3"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"sender": ["u"]}, "too_short", "sender"),
        ({"sender": ["u", "n", "boss"]}, "bad_value", "sender[2]"),
        ({"sender": {"user": "u"}}, "wrong_type", "sender"),
        ({"connection": -1}, "out_of_range", "connection"),
        ({"connection": 10**30}, "out_of_range", "connection"),
        ({"source": "x" * 201}, "too_long", "source"),
        ({"x": 1}, "unknown_field", "x"),
        ({"command": {"type": "x"}}, "unknown_command", "command.type"),
    ],
)
def test_a_bad_request_names_its_field(change: dict[str, Any], code: str, field: str) -> None:
    """Commands in the journal are checked as strictly as commands over a socket."""
    request = {"id": "c1", "room": "r", "sender": ["u", "n"], "command": {"type": "send_likes"}, **change}
    error = refusal(decode_request, json.dumps(request).encode())
    assert (error.code, error.field) == (code, field)


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (b"", "malformed", None),
        (b'{"v":%d}' % RECORD_VERSION, "missing_field", "type"),
        (b'{"type":"clam"}', "bad_value", "type"),
        (b'{"type":"takeover","v":%d,"owner":3,"time_ms":0}' % RECORD_VERSION, "wrong_type", "owner"),
        (b'{"type":"takeover","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed", None),
        (b'{"type":"record","v":%d,"fencing_epoch":0,"step":0,"from":0,"to":1}' % RECORD_VERSION, "missing_field", "time_ms"),
        (
            b'{"type":"record","v":%d,"fencing_epoch":0,"step":0,"from":0,"to":1,"time_ms":0,' % RECORD_VERSION
            + b'"rooms":{"r":{"from":0,"events":[{"type":"x"}]}}}',
            "bad_value",
            "rooms[...].events[0].type",
        ),
    ],
)
def test_a_bad_entry_is_a_bad_message(data: bytes, code: str, field: str | None) -> None:
    """A journal's entry that cannot be read is `BadMessage` with the place, never another exception."""
    error = refusal(codec.decode_entry, data)
    assert (error.code, error.field) == (code, field)


def test_an_entry_of_another_version_is_told_from_a_damaged_one() -> None:
    """The error for an entry of another liveroom version says so, with both versions."""
    error = refusal(
        codec.decode_entry, b'{"type":"record","v":1,"fencing_epoch":0,"step":0,"from":0,"to":1,"time_ms":0,"replies":[{"money_role":true}]}'
    )
    assert (error.code, error.field) == ("bad_value", "v")
    assert "record version 1" in error.detail


def test_a_digest_tells_commands_apart_and_nothing_else() -> None:
    """Equal commands have equal digests, also when one was written with its defaults."""
    assert codec.command_digest(encode(SendLikes())) == codec.command_digest(encode(SendLikes(1)))
    assert codec.command_digest(encode(SendLikes())) != codec.command_digest(encode(SendLikes(2)))
    assert codec.command_digest(encode(SendChat("a"))) != codec.command_digest(encode(SendChat("b")))


def test_an_event_in_a_frame_is_its_fields_with_type_and_seq() -> None:
    """`codec.event_object` adds the seq and leaves defaults out."""
    assert codec.event_object(LikesAdded(2, 5), 9) == {"type": "likes_added", "count": 2, "total": 5, "seq": 9}


@given(st.data())
@settings(max_examples=300)
def test_every_command_round_trips(data: st.DataObject) -> None:
    """An encoded command is decoded to an equal command, by every decoder that takes it."""
    command: Any = data.draw(messages(data.draw(st.sampled_from(list(COMMANDS.values())))))
    message = ClientMessage(data.draw(messages(ClientMessage)).id, command)
    assert decode_client_message(encode(message)) == message
    assert decode_client_message(encode(message).decode()) == message
    assert codec.decode_command_body(type(command).__struct_config__.tag, encode(command)) == command


@pytest.mark.parametrize("cls", [*COMMANDS.values(), *EVENTS.values(), *FRAMES.values()], ids=lambda cls: str(cls.__struct_config__.tag))
def test_every_class_encodes_to_its_own_name(cls: type[CommandBase | EventBase | FrameBase]) -> None:
    """`type` names the class and stands first, so that a line is read from its left."""

    @given(messages(cls))
    @settings(max_examples=10)
    def check(value: Any) -> None:
        data = encode(value)
        assert data.startswith(b'{"type":"%s"' % str(cls.__struct_config__.tag).encode())
        assert msgspec.json.decode(data, type=cls) == value

    check()


@given(messages(Frame))
def test_frames_round_trip(frame: Frame) -> None:
    """The client's decoder reads exactly the frame that a gateway sends."""
    assert msgspec.json.decode(encode(frame), type=Frame) == frame


@given(messages(Request))
def test_requests_round_trip(request: Request) -> None:
    """A request whose name can be shown comes out of the journal as it went in."""
    sender = request.sender
    request = replace(request, sender=replace(sender, name=clean_name(sender.name, NAME_CHARS_MAX, sender.user)))
    assert decode_request(encode(request)) == request


@given(messages(Record) | messages(Takeover))
@settings(max_examples=200)
def test_entries_round_trip(entry: Record | Takeover) -> None:
    """A claim or a record comes out of the journal as it went in, to the byte."""
    data = encode(entry)
    assert codec.decode_entry(data) == entry
    assert encode(codec.decode_entry(data)) == data


DOORS: list[Callable[[bytes], object]] = [
    decode_client_message,
    lambda data: decode_client_message(data.decode("utf-8", "surrogateescape")),
    decode_request,
    codec.decode_entry,
    *[lambda data, name=name: codec.decode_command_body(name, data) for name in COMMANDS],
]


def only_bad_message(data: bytes) -> None:
    for door in DOORS:
        refused: BadMessage | None = None
        try:
            value = door(data)
        except BadMessage as error:
            refused = error
        if refused is None:
            again = encode(value)
            assert encode(door(again)) == again
        else:
            assert refused.code in REFUSALS
            assert len(refused.detail) <= codec.DETAIL_CHARS_MAX


@given(st.binary(max_size=200) | json_values.map(encode))
@example(b"\xed\xa0\x80")
@example(b'{"type":"takeover","v":1,"owner":"","time_ms":1e999}')
@settings(max_examples=300)
def test_random_bytes_raise_nothing_but_bad_message(data: bytes) -> None:
    """Whatever comes in is refused by a code or is a message that is stable when written again."""
    only_bad_message(data)


def _seeds() -> st.SearchStrategy[bytes]:
    return st.one_of(messages(ClientMessage), messages(Request), messages(Record), messages(Takeover)).map(encode)


@given(_seeds(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
@settings(max_examples=250)
def test_mutated_messages_raise_nothing_but_bad_message(data: bytes, mutations: list[tuple[float, int, bytes]]) -> None:
    """A valid message with bytes put in, left out or replaced is refused by a code or is a message."""
    for place, removed, inserted in mutations:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]
    only_bad_message(data)


@given(st.data())
@settings(max_examples=300)
def test_a_field_of_another_value_raises_nothing_but_bad_message(data: st.DataObject) -> None:
    """A valid message in which one value is any JSON value is refused with a field or is a message."""
    plain = json.loads(data.draw(_seeds()))
    holder, parents = plain, 0
    while parents < 3:
        key = data.draw(st.sampled_from(sorted(holder)))
        inner = holder[key]
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            holder, parents = inner, parents + 1
            continue
        holder[key] = data.draw(json_values)
        break
    only_bad_message(json.dumps(plain).encode())
