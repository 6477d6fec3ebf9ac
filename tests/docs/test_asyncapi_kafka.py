"""`docs/asyncapi-kafka.yaml` is a valid AsyncAPI document that says what the journal in Kafka reads and writes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from docs.generate.__main__ import DOCS
from docs.generate.asyncapi_kafka import EXAMPLES
from liveroom.journal.kafka.feed import feed_event
from liveroom.protocol.codec import decode_requests, encode
from liveroom.protocol.events import EVENTS
from liveroom.protocol.records import Request
from tests.docs.test_asyncapi import FIXTURES
from tests.protocol.strategies import messages


@cache
def document() -> dict[str, Any]:
    plain: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi-kafka.yaml").read_text(encoding="utf-8"))
    return plain


@cache
def validator(message: str) -> Draft202012Validator:
    return Draft202012Validator({**document(), "$ref": f"#/components/messages/{message}/payload"})


def test_it_is_an_asyncapi_3_document() -> None:
    """The document is valid by the AsyncAPI Initiative's own schema."""
    schema = json.loads((FIXTURES / "asyncapi-3.0.0.json").read_text(encoding="utf-8"))
    assert not [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(document())]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_requests(name: str) -> None:
    """Each example is valid by its schema and is what the journal decodes."""
    validator("request").validate(EXAMPLES[name])
    (request,) = decode_requests(json.dumps(EXAMPLES[name]).encode())
    assert (request.id, request.room, msgspec.to_builtins(request.command)) == tuple(EXAMPLES[name][part] for part in ("id", "room", "command"))


@given(st.lists(messages(Request), min_size=1, max_size=3))
@settings(max_examples=50)
def test_every_request_is_valid(requests: list[Request]) -> None:
    """Requests that gateways write are valid by the document, alone and in a list."""
    validator("request").validate(json.loads(encode(requests[0])))
    validator("requests").validate(json.loads(encode(requests)))


@given(st.data())
@settings(max_examples=100)
def test_every_event_of_the_feed_is_valid(data: st.DataObject) -> None:
    """Each event as the feed has it is one of the document's two messages."""
    event = data.draw(st.sampled_from(sorted(EVENTS)).flatmap(lambda name: messages(EVENTS[name])))
    plain = json.loads(encode(feed_event("lamp-sale", event, 7, 1_000)))
    validator("withheld" if "withheld" in plain else "event").validate(plain)
