"""The gateway's wire protocol as an AsyncAPI 3 document, from the classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from docs.generate.words import first_sentence
from liveroom import __version__
from liveroom.messages.base import BACKEND, CommandBase, EventBase
from liveroom.messages.errors import CLOSE_CODES
from liveroom.messages.fields import CommandId, Delivery, RoomId, Seq
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import FRAMES, Accepted, Beat, Refused
from liveroom.protocol.inbound import Probe
from liveroom.protocol.schemas import schema_components, schema_of

__all__ = ["client_commands", "document", "public_events"]

CHANNEL = "#/channels/room"
SCHEMAS = "#/components/schemas/"
PROBE = str(Probe.__struct_config__.tag)

INFO = """\
The WebSocket protocol of a liveroom gateway, version 1.
One connection belongs to one viewer in one room, and every message is one text frame of JSON.
`docs/protocol.md` defines the rules that a schema cannot express: order, resume, idempotency, limits.
"""


def client_commands() -> dict[str, type[CommandBase]]:
    """The commands that a client may send."""
    return {name: cls for name, cls in COMMANDS.items() if cls.roles != BACKEND}


def public_events() -> dict[str, type[EventBase]]:
    """The events that a viewer may see, in a delta or, for personal events, in a `personal` frame."""
    return {name: cls for name, cls in EVENTS.items() if cls.delivery is not Delivery.internal}


def document() -> dict[str, Any]:
    """The document as plain values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "liveroom gateway",
            "version": __version__,
            "description": INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8800",
                "protocol": "ws",
                "description": "The default address; `wss` if certificates are configured",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {"room": _channel()},
        "operations": {"sendCommand": _send_command(), "sendProbe": _send_probe(), "receiveFrame": _receive_frame()},
        "components": {
            "messages": {
                **{n: _command_message(n, c) for n, c in client_commands().items()},
                PROBE: {"name": PROBE, "summary": first_sentence(Probe), "payload": {"$ref": SCHEMAS + "Probe"}},
                **{n: _frame_message(n) for n in FRAMES},
            },
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Header `Authorization: Bearer`, subprotocol `liveroom.token.<jwt>`, or query `token`; the first one found counts",
                }
            },
        },
    }


def _channel() -> dict[str, Any]:
    query = {
        "type": "object",
        "properties": {
            "token": {"type": "string", "description": "The token, if it can be sent neither as a header nor as a subprotocol"},
            "stream_id": {"type": "string", "description": "To resume: the room's stream id, from the last `joined` or `keyframe`"},
            "seq": {**schema_of(Seq), "description": "To resume: the client's cursor"},
        },
    }
    return {
        "address": "/v1/rooms/{room}",
        "title": "A room",
        "parameters": {"room": {"description": "The room's id: " + _pattern_of(RoomId)}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in [*client_commands(), PROBE, *FRAMES]},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
        "x-close-codes": {str(code): f"{name}: {words}" for code, (name, words) in CLOSE_CODES.items()},
    }


def _pattern_of(annotation: Any) -> str:
    schema = schema_of(annotation)
    return f"{schema['minLength']} to {schema['maxLength']} characters, {schema['pattern']}"


def _send_command() -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": CHANNEL},
        "summary": "A client sends a command; the gateway answers with exactly one reply, which carries the command's id",
        "messages": [{"$ref": f"{CHANNEL}/messages/{name}"} for name in client_commands()],
        "reply": {
            "channel": {"$ref": CHANNEL},
            "messages": [{"$ref": f"{CHANNEL}/messages/{cls.__struct_config__.tag}"} for cls in (Accepted, Refused)],
        },
    }


def _send_probe() -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": CHANNEL},
        "summary": "A client tests the connection; the gateway answers at once",
        "messages": [{"$ref": f"{CHANNEL}/messages/{PROBE}"}],
        "reply": {"channel": {"$ref": CHANNEL}, "messages": [{"$ref": f"{CHANNEL}/messages/{Beat.__struct_config__.tag}"}]},
    }


def _receive_frame() -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": CHANNEL},
        "summary": "The gateway sends events of the room and replies",
        "messages": [{"$ref": f"{CHANNEL}/messages/{name}"} for name in FRAMES],
    }


def _command_message(name: str, cls: type[CommandBase]) -> dict[str, Any]:
    payload = {
        "type": "object",
        "properties": {"id": schema_of(CommandId), "command": {"$ref": SCHEMAS + cls.__name__}},
        "required": ["id", "command"],
        "additionalProperties": False,
    }
    roles = sorted(role.value for role in cls.roles)
    return {"name": name, "summary": first_sentence(cls), "payload": payload, "x-roles": roles}


def _frame_message(name: str) -> dict[str, Any]:
    cls = FRAMES[name]
    return {"name": name, "summary": first_sentence(cls), "payload": {"$ref": SCHEMAS + cls.__name__}}


def _schemas() -> dict[str, Any]:
    classes = [*client_commands().values(), Probe, *FRAMES.values(), *public_events().values()]
    found = schema_components(classes, SCHEMAS + "{name}")
    schemas: dict[str, Any] = {name: found[name] for name in sorted(found)}
    for cls in public_events().values():
        schema = schemas[cls.__name__]
        schema["properties"]["seq"] = {**schema_of(Seq), "description": "The event's position in the room"}
        schema["required"] = [*schema["required"], "seq"]
        schema["x-delivery"] = cls.delivery.value
    schemas["Delta"]["properties"]["events"] = {
        "type": "array",
        "description": "Events in the order of their seqs, which are in [from, to)",
        "items": _one_of(cls for cls in public_events().values() if cls.delivery is not Delivery.personal),
    }
    schemas["Personal"]["properties"]["event"] = _one_of(cls for cls in public_events().values() if cls.delivery is Delivery.personal)
    return schemas


def _one_of(classes: Iterable[type[EventBase]]) -> dict[str, Any]:
    return {"oneOf": [{"$ref": SCHEMAS + cls.__name__} for cls in classes], "discriminator": "type"}
