"""The API's OpenAPI description, made from its classes."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from liveroom import __version__
from liveroom.accounting.statement import Statement
from liveroom.config.schema import PAGE_ROOMS_LIMIT, ConsoleConfig
from liveroom.console.api import HTTP_COMMANDS, QUERY_CHARS_MAX
from liveroom.console.problems import HTTP_PROBLEMS, PROBLEM_TYPE, ProblemBody
from liveroom.console.schemas import CommandDone, Moderation, Questions, Rooms, Settings, Showcase
from liveroom.messages.errors import REFUSALS
from liveroom.messages.fields import CommandId, Role, RoomId
from liveroom.protocol.commands import ANCHORS, COMMANDS, MODERATORS, CommandBase
from liveroom.protocol.frames import Keyframe
from liveroom.protocol.schemas import schema_components, schema_of

__all__ = ["document"]

Json = dict[str, Any]

_BODIES: Final = (CommandDone, Rooms, Keyframe, Showcase, Questions, Moderation, Statement, Settings, ProblemBody)
_TITLES: Final = {"ProblemBody": "Problem"}


def document() -> Json:
    """The OpenAPI 3.1 document as plain values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "liveroom",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "Send commands to rooms, and read their state. The events of a room come over WebSocket. "
                "Reading is public unless an operation needs a token. After a command is answered 200, reads from the same console show it. "
                "Every error is a problem (RFC 9457) with a `code`."
            ),
        },
        "servers": [{"url": "http://127.0.0.1:8801"}],
        "tags": [
            {"name": "commands", "description": "Commands to one room; each command lists the roles that may send it"},
            {"name": "rooms", "description": "The list of rooms, and the state of each room"},
            {"name": "service", "description": "Health checks and metrics for monitoring"},
            {"name": "pages", "description": "HTML pages and their files"},
        ],
        "paths": {**_command_paths(), **_room_paths(), **_service_paths(), **_page_paths()},
        "components": {"schemas": _schemas(), "parameters": _parameters(), "responses": _responses(), "securitySchemes": _security()},
    }


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


# Paths


def _command_paths() -> Json:
    return {f"/v1/rooms/{{room}}/commands/{name}": {"post": _command(name, COMMANDS[name])} for name in HTTP_COMMANDS}


def _command(name: str, command: type[CommandBase]) -> Json:
    fields = msgspec.structs.fields(command)
    return {
        "tags": ["commands"],
        "operationId": name,
        "summary": (command.__doc__ or "").rstrip("."),
        "description": f"May be sent by: {_names(command.roles)}.",
        "security": [{"token": []}],
        "parameters": [_ref("parameters", "room"), _ref("parameters", "idempotency_key")],
        "requestBody": {
            "required": any(field.required for field in fields),
            "content": {"application/json": {"schema": _ref("schemas", command.__name__)}},
        },
        "responses": {
            "200": _json("The command was accepted", "CommandDone"),
            **_problems(
                "bad", "unauthorized", "forbidden", "not_found", "conflict", "too_large", "unprocessable", "too_many", "failed", "unavailable"
            ),
            "408": _ref("responses", "timeout"),
            "417": {
                "description": "The header `Expect` has another value than `100-continue`",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
        },
    }


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(role.value for role in Role if role in roles)


def _room_paths() -> Json:
    return {
        "/v1/rooms": {"get": _rooms()},
        "/v1/rooms/{room}": {
            "get": _read(
                "get_room",
                "The room's public state: its newest keyframe, the same as viewers get",
                "Keyframe",
            )
        },
        "/v1/rooms/{room}/showcase": {
            "get": _read("get_showcase", "All products of the showcase; fetch it when `showcase_version` changes", "Showcase")
        },
        "/v1/rooms/{room}/questions": {"get": _read("get_questions", "Open questions, and the newest answered ones", "Questions")},
        "/v1/rooms/{room}/moderation": {"get": _moderation()},
        "/v1/rooms/{room}/ledger": {"get": _ledger()},
    }


def _rooms() -> Json:
    config = ConsoleConfig()
    query: list[tuple[str, str, Json]] = [
        (
            "q",
            "Text to find in the room id, title, anchor or pinned product's title, ignoring case",
            {"type": "string", "maxLength": QUERY_CHARS_MAX},
        ),
        ("open", "Selects open rooms, closed rooms, or both", {"enum": ["true", "false", "any"], "default": "true"}),
        (
            "limit",
            "Largest number of rooms in one answer; the console's settings may lower it",
            {"type": "integer", "format": "int32", "minimum": 1, "maximum": PAGE_ROOMS_LIMIT, "default": config.page_rooms_max},
        ),
        ("after", "The `next` of the previous answer", {"type": "string"}),
    ]
    return {
        "tags": ["rooms"],
        "operationId": "list_rooms",
        "summary": "The list of rooms, most viewers first",
        "description": "A page may hold fewer rooms than requested and still name a `next` page: continue until `next` is null.",
        "parameters": [{"name": name, "in": "query", "description": words, "schema": schema} for name, words, schema in query],
        "responses": {
            "200": _json("A page of the directory", "Rooms"),
            "304": _ref("responses", "unchanged"),
            **_problems("bad", "too_many", "unavailable"),
        },
    }


def _read(operation: str, summary: str, schema: str) -> Json:
    return {
        "tags": ["rooms"],
        "operationId": operation,
        "summary": summary,
        "parameters": [_ref("parameters", "room")],
        "responses": {
            "200": _json(summary, schema),
            "304": _ref("responses", "unchanged"),
            **_problems("bad", "not_found", "too_many", "unavailable"),
        },
    }


def _moderation() -> Json:
    return {
        "tags": ["rooms"],
        "operationId": "get_moderation",
        "summary": "Muted users, banned users and banned words",
        "description": f"May be read by: {_names(MODERATORS)}.",
        "security": [{"token": []}],
        "parameters": [_ref("parameters", "room")],
        "responses": {
            "200": _json("The lists", "Moderation"),
            **_problems("bad", "unauthorized", "forbidden", "not_found", "too_many", "unavailable"),
        },
    }


def _ledger() -> Json:
    return {
        "tags": ["rooms"],
        "operationId": "get_ledger",
        "summary": "The room's accounts: red envelopes, coupons, flash sales and their totals",
        "description": f"May be read by: {_names(ANCHORS)}. Derived from the journal and checked at every step.",
        "security": [{"token": []}],
        "parameters": [_ref("parameters", "room")],
        "responses": {
            "200": _json("The accounts", "Statement"),
            **_problems("bad", "unauthorized", "forbidden", "not_found", "too_many", "failed", "not_implemented", "unavailable"),
        },
    }


def _service_paths() -> Json:
    def text(operation: str, summary: str, content: str, *problems: str) -> Json:
        answers = {"200": {"description": summary, "content": {content: {"schema": {"type": "string"}}}}, **_problems(*problems)}
        return {"get": {"tags": ["service"], "operationId": operation, "summary": summary, "responses": answers}}

    settings = {
        "tags": ["rooms"],
        "operationId": "get_settings",
        "summary": "The settings that pages need to connect",
        "responses": {"200": _json("The settings", "Settings"), "304": _ref("responses", "unchanged"), **_problems("too_many", "unavailable")},
    }
    openapi = text("get_openapi", "This document", "application/json", "too_many", "unavailable")
    openapi["get"]["responses"]["200"]["content"]["application/json"]["schema"] = {"type": "object"}
    openapi["get"]["responses"]["304"] = _ref("responses", "unchanged")
    return {
        "/v1/settings": {"get": settings},
        "/v1/openapi.json": openapi,
        "/livez": text("livez", "The process is alive", "text/plain"),
        "/readyz": text("readyz", "The process can serve; a 503 names the reason why not", "text/plain", "unavailable"),
        "/metrics": text("metrics", "Metrics in Prometheus' text format", "text/plain"),
    }


def _page_paths() -> Json:
    def page(operation: str, summary: str, content: str, *parameters: Json) -> Json:
        answers = {
            "200": {"description": summary, "content": {content: {}}},
            "304": _ref("responses", "unchanged"),
            **_problems("bad", "not_found", "too_many", "unavailable"),
        }
        operation_object: Json = {"tags": ["pages"], "operationId": operation, "summary": summary, "responses": answers}
        if parameters:
            operation_object["parameters"] = list(parameters)
        return {"get": operation_object}

    room = _ref("parameters", "room")
    file = {"name": "file", "in": "path", "required": True, "description": "Name of the file", "schema": {"type": "string"}}
    return {
        "/": page("index_page", "The list of rooms", "text/html"),
        "/rooms/{room}": page("viewer_page", "The viewers' page of a room; the token is in the fragment, `#token=...`", "text/html", room),
        "/console/{room}": page("console_page", "The anchor's page of a room; the token is in the fragment, `#token=...`", "text/html", room),
        "/static/{file}": page("static_file", "A file of the pages", "*/*", file),
        "/client/liveroom.js": page("client_js", "The JavaScript client, an ES module", "text/javascript"),
    }


def _json(words: str, schema: str) -> Json:
    return {"description": words, "content": {"application/json": {"schema": _ref("schemas", schema)}}}


# Components

_PROBLEMS: Final = {
    "bad": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "timeout": 408,
    "conflict": 409,
    "too_large": 413,
    "unprocessable": 422,
    "too_many": 429,
    "failed": 500,
    "not_implemented": 501,
    "unavailable": 503,
}


def _problems(*names: str) -> Json:
    return {str(_PROBLEMS[name]): _ref("responses", name) for name in names}


def _responses() -> Json:
    codes = {**REFUSALS, **HTTP_PROBLEMS}
    responses: Json = {"unchanged": {"description": "The version that the client's `If-None-Match` names is still current"}}
    for name, status in _PROBLEMS.items():
        meanings = [f"`{code}`: {words}" for code, (its_status, words) in codes.items() if its_status == status]
        response: Json = {"description": "; ".join(meanings), "content": {PROBLEM_TYPE: {"schema": _ref("schemas", "Problem")}}}
        if status == 401:
            response["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
        if status in (429, 503):
            response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "format": "int64", "minimum": 1}}}
        responses[name] = response
    return responses


def _parameters() -> Json:
    room, key = (schema_of(kind) for kind in (RoomId, CommandId))
    key_words = "Id of the command, remembered for ten minutes: a retry with the same id gets the original answer. Made by the console if absent"
    return {
        "room": {"name": "room", "in": "path", "required": True, "schema": room},
        "idempotency_key": {"name": "Idempotency-Key", "in": "header", "description": key_words, "schema": key},
    }


def _security() -> Json:
    words = "A JWT with `sub`, `room`, `role` and `exp`; a platform token with room `*` is valid for every room"
    return {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": words}}


def _schemas() -> Json:
    commands = [COMMANDS[name] for name in HTTP_COMMANDS]
    found = schema_components([*commands, *_BODIES], "#/components/schemas/{name}")
    schemas: Json = {_TITLES.get(name, name): schema for name, schema in found.items()}
    for command in commands:
        _make_name_optional(schemas[command.__name__])
    problem = schemas["Problem"]
    problem["title"] = "Problem"
    problem["properties"]["code"]["enum"] = [*REFUSALS, *HTTP_PROBLEMS]
    return schemas


def _make_name_optional(schema: Json) -> None:
    """Make `type` optional, because the path already names the command."""
    schema["required"] = [name for name in schema["required"] if name != "type"]
    if not schema["required"]:
        del schema["required"]
