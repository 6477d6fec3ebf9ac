"""`docs/asyncapi.yaml` is a valid AsyncAPI document that says what the classes say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from docs.generate.asyncapi import client_commands, public_events
from liveroom.messages.base import BACKEND
from liveroom.messages.errors import CLOSE_CODES, BadMessage
from liveroom.messages.fields import CommandId, Delivery
from liveroom.protocol.codec import decode_client_message, encode, event_object
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import FRAMES, Accepted, Delta, Personal, Refused
from liveroom.protocol.inbound import ClientMessage, Probe
from liveroom.protocol.refusals import REFUSALS
from tests.docs.traffic import check_client_frame, check_server_frame, document
from tests.protocol.strategies import json_values, messages

FIXTURES = Path(__file__).parent / "fixtures"


def test_it_is_an_asyncapi_3_document() -> None:
    """The document is valid by the AsyncAPI Initiative's own schema."""
    schema = json.loads((FIXTURES / "asyncapi-3.0.0.json").read_text(encoding="utf-8"))
    errors = [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(document())]
    assert not errors


def test_the_schema_that_judges_it_sees_mistakes() -> None:
    """A document that is wrong deep inside is not valid by the same schema."""
    schema = json.loads((FIXTURES / "asyncapi-3.0.0.json").read_text(encoding="utf-8"))
    for change in (
        {"asyncapi": "2.6.0"},
        {"operations": {"x": {"action": "shout"}}},
        {"channels": {"room": {"bindings": {"ws": {"method": "PUT"}}}}},
    ):
        assert not Draft7Validator(schema).is_valid({**document(), **change}), change


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [v for k, v in node.items() if k == "$ref"] + [r for v in node.values() for r in _refs(v)]
    return [r for v in node for r in _refs(v)] if isinstance(node, list) else []


def test_every_reference_leads_somewhere() -> None:
    """No `$ref` of the document points to nothing."""
    for ref in set(_refs(document())):
        node: Any = document()
        for part in ref.removeprefix("#/").split("/"):
            assert part in node, ref
            node = node[part]


def test_every_command_that_a_client_may_send_is_a_message() -> None:
    """Commands of gateways are not there; all others are, with the roles that may send them."""
    found = document()["components"]["messages"]
    sendable = {name for name, cls in COMMANDS.items() if cls.roles != BACKEND}
    assert set(client_commands()) == sendable
    assert set(found) == sendable | {"probe"} | set(FRAMES)
    assert {name: found[name]["x-roles"] for name in sendable} == {n: sorted(r.value for r in COMMANDS[n].roles) for n in sendable}
    assert set(document()["channels"]["room"]["messages"]) == set(found)


def test_every_event_that_a_viewer_may_see_is_in_a_frame() -> None:
    """Internal events are nowhere, personal ones in frames of their own, all others in deltas; each with its seq and delivery class."""
    schemas = document()["components"]["schemas"]
    places = {
        Delivery.personal: schemas["Personal"]["properties"]["event"],
        Delivery.must: schemas["Delta"]["properties"]["events"]["items"],
    }
    listed = {delivery: {item["$ref"].rpartition("/")[2] for item in place["oneOf"]} for delivery, place in places.items()}
    assert listed[Delivery.personal] == {cls.__name__ for cls in EVENTS.values() if cls.delivery is Delivery.personal}
    assert listed[Delivery.must] == {cls.__name__ for cls in EVENTS.values() if cls.delivery not in (Delivery.internal, Delivery.personal)}
    for name in listed[Delivery.personal] | listed[Delivery.must]:
        assert "seq" in schemas[name]["required"]
    assert {schemas[cls.__name__]["x-delivery"] for cls in public_events().values()} == {"must", "latest", "lossy", "personal"}


def test_every_close_code_is_told() -> None:
    """The channel lists the close codes that the code has."""
    assert set(document()["channels"]["room"]["x-close-codes"]) == {str(code) for code in CLOSE_CODES}


def test_every_schema_is_a_schema() -> None:
    """Each component is valid JSON Schema."""
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@given(st.data())
@settings(max_examples=200)
def test_what_the_codec_takes_the_schema_takes(data: st.DataObject) -> None:
    """Every command that decodes is valid by the document."""
    command: Any = data.draw(messages(data.draw(st.sampled_from(list(client_commands().values())))))
    check_client_frame(encode(ClientMessage(data.draw(messages(CommandId)), command)))


@given(st.data())
@settings(max_examples=300)
def test_what_the_codec_refuses_the_schema_refuses(data: st.DataObject) -> None:
    """A command with one field changed is valid by the document if and only if the codec takes it."""
    command: Any = data.draw(messages(data.draw(st.sampled_from(list(client_commands().values())))))
    plain = json.loads(encode(command))
    field = data.draw(st.sampled_from([*type(command).__struct_fields__, "x"]))
    plain[field] = data.draw(json_values | st.text("aZ0-\n", max_size=70) | st.integers(-2, 2**53 + 1))
    text = json.dumps({"id": "c1", "command": plain})
    try:
        decode_client_message(text)
    except BadMessage as error:
        # JSON Schema knows no difference between 1 and 1.0; the codec does.
        if not (error.code == "wrong_type" and isinstance(plain[field], float) and plain[field].is_integer()):
            with pytest.raises(AssertionError):
                check_client_frame(text)
    else:
        check_client_frame(text)


def test_a_probe_is_valid() -> None:
    """A probe of the link is valid by the document and by the codec."""
    assert decode_client_message(encode(Probe())) == Probe()
    check_client_frame(encode(Probe()))


@given(messages(Accepted) | messages(Refused).map(lambda r: Refused(r.id, next(iter(REFUSALS)), r.detail)))
def test_replies_are_valid(reply: Accepted | Refused) -> None:
    """Every reply to a command is valid by the document."""
    check_server_frame(encode(reply))


@pytest.mark.parametrize("name", [n for n in FRAMES if n not in ("delta", "personal", "accepted", "refused")])
def test_frames_are_valid(name: str) -> None:
    """Every frame that the classes can make is valid by the document."""

    @given(messages(FRAMES[name]))
    @settings(max_examples=25)
    def check(frame: Any) -> None:
        check_server_frame(encode(frame))

    check()


@given(
    st.lists(st.one_of([messages(cls) for cls in public_events().values() if cls.delivery is not Delivery.personal]), max_size=5),
    st.integers(0, 1_000),
)
@settings(max_examples=200)
def test_deltas_are_valid(events: list[Any], from_: int) -> None:
    """Every public event is valid inside a delta."""
    objects = tuple(event_object(event, from_ + i) for i, event in enumerate(events))
    check_server_frame(encode(Delta(from_, from_ + len(events), 0, objects)))


@given(st.one_of([messages(cls) for cls in public_events().values() if cls.delivery is Delivery.personal]), st.integers(0, 1_000))
@settings(max_examples=100)
def test_personal_frames_are_valid(event: Any, seq: int) -> None:
    """Every personal event is valid inside its frame."""
    check_server_frame(encode(Personal(seq, 0, event_object(event, seq))))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"type": "shout"}, "no such message"),
        ({"type": "going_away"}, "'reconnect_after_ms' is a required property"),
        ({"type": "going_away", "reconnect_after_ms": 1, "x": 1}, "'x' was unexpected"),
        ({"type": "refused", "id": "c", "code": "nope", "detail": ""}, "unknown code"),
        ({"type": "delta", "from": 0, "to": 1, "time_ms": 0, "events": [{"type": "audience_reported", "seq": 0}]}, "no such message"),
        ({"type": "delta", "from": 0, "to": 1, "time_ms": 0, "events": [{"type": "room_closed"}]}, "'seq' is a required property"),
        ({"type": "delta", "from": 0, "to": 1, "time_ms": 0, "events": [{"type": "room_closed", "seq": 1}]}, "outside"),
        ({"type": "delta", "from": 0, "to": 2, "time_ms": 0, "events": [{"type": "room_closed", "seq": 1}]}, "not the span"),
    ],
)
def test_the_traffic_check_sees_mistakes(frame: dict[str, Any], words: str) -> None:
    """The helper that holds real traffic against the document complains about what is not in it."""
    with pytest.raises(AssertionError, match=words):
        check_server_frame(json.dumps(frame))
