"""The API's OpenAPI description, made from its routes and classes."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from liveroom import __version__
from liveroom.console import api, description, health, pages
from liveroom.console.problems import HTTP_PROBLEMS, PROBLEM_TYPE, ProblemBody
from liveroom.console.routes import PROBLEM_STATUSES, Route
from liveroom.messages.base import CommandBase
from liveroom.messages.fields import CommandId, Role, RoomId
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.refusals import REFUSALS
from liveroom.protocol.schemas import schema_components, schema_of

__all__ = ["ROUTES", "document"]

Json = dict[str, Any]

#: Every route of a console.
ROUTES: Final = (*api.ROUTES, *description.ROUTES, *health.ROUTES, *pages.ROUTES)

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
        "paths": _paths(),
        "components": {"schemas": _schemas(), "parameters": _parameters(), "responses": _responses(), "securitySchemes": _security()},
    }


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


# Paths


def _paths() -> Json:
    paths: Json = {}
    for route in ROUTES:
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        if path.endswith("{command}"):
            for name in api.HTTP_COMMANDS:
                paths[path.replace("{command}", name)] = {route.method.lower(): _command(route, name, COMMANDS[name])}
        else:
            paths[path] = {route.method.lower(): _operation(route)}
    return paths


def _command(route: Route, name: str, command: type[CommandBase]) -> Json:
    fields = msgspec.structs.fields(command)
    return {
        "tags": [route.tag],
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
            **_answers(route),
            "417": {
                "description": "The header `Expect` has another value than `100-continue`",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
        },
    }


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(role.value for role in Role if role in roles)


def _operation(route: Route) -> Json:
    operation: Json = {"tags": [route.tag], "operationId": route.operation, "summary": route.summary}
    words = [f"May be read by: {_names(route.roles)}."] if route.roles else []
    if words or route.words:
        operation["description"] = " ".join([*words, route.words]).strip()
    if route.roles:
        operation["security"] = [{"token": []}]
    parameters = [_ref("parameters", name) for name in re.findall(r"\{(\w+)", route.path)]
    parameters += [{"name": p.name, "in": "query", "description": p.words, "schema": dict(p.schema)} for p in route.query]
    if parameters:
        operation["parameters"] = parameters
    return {**operation, "responses": _answers(route)}


def _answers(route: Route) -> Json:
    schema = _ref("schemas", route.body.__name__) if isinstance(route.body, type) else dict(route.body)
    responses: Json = {"200": {"description": route.done or route.summary, "content": {route.content_type: {"schema": schema} if schema else {}}}}
    if route.revalidates:
        responses["304"] = _ref("responses", "unchanged")
    return responses | {str(PROBLEM_STATUSES[name]): _ref("responses", name) for name in route.problems}


# Components


def _responses() -> Json:
    codes = {**REFUSALS, **HTTP_PROBLEMS}
    responses: Json = {"unchanged": {"description": "The version that the client's `If-None-Match` names is still current"}}
    for name, status in PROBLEM_STATUSES.items():
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
    key_words = "Id of the command, remembered for ten minutes: a retry with the same id gets the original reply. Made by the console if absent"
    return {
        "room": {"name": "room", "in": "path", "required": True, "schema": room},
        "file": {"name": "file", "in": "path", "required": True, "description": "Name of the file", "schema": {"type": "string"}},
        "idempotency_key": {"name": "Idempotency-Key", "in": "header", "description": key_words, "schema": key},
    }


def _security() -> Json:
    words = "A JWT with `sub`, `room`, `role` and `exp`; a platform token with room `*` is valid for every room"
    return {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": words}}


def _schemas() -> Json:
    commands = [COMMANDS[name] for name in api.HTTP_COMMANDS]
    bodies = [route.body for route in ROUTES if isinstance(route.body, type)]
    found = schema_components([*commands, *bodies, ProblemBody], "#/components/schemas/{name}")
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
