"""Routes of an HTTP server, for the router and for the API's description.

A `Route` holds everything that both of them need.
The classes that handle requests list their routes at the end of their files, as `ROUTES`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

from aiohttp import web
from msgspec import Struct

from liveroom.messages.fields import Role

__all__ = ["PROBLEM_STATUSES", "TEXT", "QueryParameter", "Route", "add_routes"]

#: The schema of a plain text.
TEXT: Final[Mapping[str, Any]] = {"type": "string"}

#: The statuses of problems, by the names that routes use.
PROBLEM_STATUSES: Final = {
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


class QueryParameter(Struct, frozen=True):
    """One parameter of a query string."""

    name: str
    words: str
    schema: Mapping[str, Any]


class Route(Struct, frozen=True, kw_only=True):
    """One operation. The router gets `method`, `path` and `handler`, which is a method of the class that serves the route.

    A path that ends with `{command}` stands for all commands over HTTP. Each of them is described as an operation of its own.
    `body` is the class of the body of a 200, or its JSON schema. `done` describes the 200, by default with the summary.
    `problems` are names in `PROBLEM_STATUSES`. With `roles`, the route needs a token of one of them.
    `revalidates`: a client may keep the body, and gets a 304 as long as it is current.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str
    handler: Callable[[Any, web.Request], Awaitable[web.StreamResponse]]
    tag: Literal["commands", "rooms", "service", "pages"]
    operation: str
    summary: str
    words: str = ""
    done: str = ""
    body: type[Struct] | Mapping[str, Any]
    content_type: str = "application/json"
    query: tuple[QueryParameter, ...] = ()
    problems: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset()
    revalidates: bool = False


def add_routes(router: web.UrlDispatcher, owner: object, routes: tuple[Route, ...]) -> None:
    """Add routes whose handlers are methods of `owner`."""
    for route in routes:
        add = router.add_get if route.method == "GET" else router.add_post
        add(route.path, partial(route.handler, owner))
