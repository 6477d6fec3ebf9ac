"""The Kafka topics for other programs as an AsyncAPI 3 document, from the classes."""

from __future__ import annotations

from typing import Any

from docs.generate.words import first_sentence
from liveroom import __version__
from liveroom.messages.fields import Delivery, RoomId, Seq, TimeMs
from liveroom.protocol.events import EVENTS
from liveroom.protocol.records import REQUESTS_MAX, Request
from liveroom.protocol.schemas import schema_components, schema_of

__all__ = ["EXAMPLES", "document"]

SCHEMAS = "#/components/schemas/"

INFO = """\
The journal's topics for other programs, with the default prefix.
`docs/kafka.md` explains keys, order and the handling of bad commands.
"""

#: Requests of a platform's services.
EXAMPLES = {
    "A payment was made": {
        "id": "order-4711-paid",
        "room": "lamp-sale",
        "sender": ["shop", "Shop", "platform"],
        "command": {"type": "confirm_hold", "hold": 42, "payment": "pay-4711"},
    },
    "A coupon's code is used for an order": {
        "id": "order-4712-coupon",
        "room": "lamp-sale",
        "sender": ["shop", "Shop", "platform"],
        "command": {"type": "redeem_coupon", "code": "ABCDEFGHIJKLMNOP", "order": "order-4712", "spend_fen": 19900},
    },
}


def document() -> dict[str, Any]:
    """The document as plain values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "liveroom in Kafka",
            "version": __version__,
            "description": INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:9092", "protocol": "kafka", "description": "The first of `kafka.bootstrap_servers`"}},
        "channels": {
            "commands": _channel("liveroom.commands", "Commands for rooms", ("request", "requests")),
            "feed": _channel("liveroom.feed", "Every event of every room, one per record", ("event", "withheld")),
        },
        "operations": {
            "sendCommands": _operation("receive", "commands", "A program sends commands; each id is decided once"),
            "receiveEvents": _operation("send", "feed", "liveroom publishes events, in order for each room"),
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(topic: str, title: str, messages: tuple[str, ...]) -> dict[str, Any]:
    return {
        "address": topic,
        "title": title,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _messages() -> dict[str, Any]:
    key = {"kafka": {"key": {**schema_of(RoomId), "description": "The room's id"}, "bindingVersion": "0.5.0"}}
    return {
        "request": {
            "name": "request",
            "summary": first_sentence(Request),
            "payload": {"$ref": SCHEMAS + "Request"},
            "bindings": key,
            "examples": [{"name": name, "payload": example} for name, example in EXAMPLES.items()],
        },
        "requests": {
            "name": "requests",
            "summary": "Several requests for rooms of one partition, decided in order; if one cannot be read, all become dead letters",
            "payload": {"type": "array", "items": {"$ref": SCHEMAS + "Request"}, "minItems": 1, "maxItems": REQUESTS_MAX},
            "bindings": key,
        },
        "event": {
            "name": "event",
            "summary": "A public event",
            "payload": {"oneOf": [{"$ref": f"{SCHEMAS}{cls.__name__}"} for cls in _told()], "discriminator": "type"},
            "bindings": key,
        },
        "withheld": {
            "name": "withheld",
            "summary": "A private event, of which only the type is published",
            "payload": {"$ref": SCHEMAS + "Withheld"},
            "bindings": key,
        },
    }


def _told() -> list[type[Any]]:
    return [cls for cls in EVENTS.values() if cls.delivery not in (Delivery.personal, Delivery.internal)]


def _schemas() -> dict[str, Any]:
    found = schema_components([Request, *_told()], SCHEMAS + "{name}")
    schemas: dict[str, Any] = {name: found[name] for name in sorted(found)}
    head = {
        "room": schema_of(RoomId),
        "seq": {**schema_of(Seq), "description": "The event's place in the room"},
        "time_ms": {**schema_of(TimeMs), "description": "When it happened, Unix time"},
    }
    for cls in _told():
        schema = schemas[cls.__name__]
        schema["properties"] |= head
        schema["required"] = [*schema["required"], *head]
    withheld = sorted(name for name, cls in EVENTS.items() if cls.delivery in (Delivery.personal, Delivery.internal))
    schemas["Withheld"] = {
        "type": "object",
        "properties": {**head, "type": {"enum": withheld}, "withheld": {"enum": [Delivery.personal.value, Delivery.internal.value]}},
        "required": [*head, "type", "withheld"],
    }
    plain: dict[str, Any] = _named_discriminators(schemas)
    return plain


def _named_discriminators(node: Any) -> Any:
    """Reduce discriminators to the field's name: AsyncAPI allows no mapping, unlike OpenAPI."""
    if isinstance(node, list):
        return [_named_discriminators(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _named_discriminators(value) for key, value in node.items()}
    if isinstance(found := node.get("discriminator"), dict):
        plain["discriminator"] = found["propertyName"]
    return plain
