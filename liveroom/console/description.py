"""The API's description, served beside the API."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from liveroom.console.pages import etagged
from liveroom.console.routes import Route, add_routes

__all__ = ["ROUTES", "Description"]


class Description:
    """The handler of `/v1/openapi.json`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._openapi = orjson.dumps(document)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the route."""
        add_routes(router, self, ROUTES)

    async def _openapi_json(self, request: web.Request) -> web.Response:
        return etagged(request, self._openapi, "application/json")


ROUTES: Final = (
    Route(
        path="/v1/openapi.json",
        handler=Description._openapi_json,
        tag="service",
        operation="get_openapi",
        summary="This document",
        body={"type": "object"},
        problems=("too_many", "unavailable"),
        revalidates=True,
    ),
)
