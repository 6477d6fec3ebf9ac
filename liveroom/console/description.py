"""The API's description, served beside the API."""

from __future__ import annotations

import orjson
from aiohttp import web

from liveroom.console.openapi import document
from liveroom.console.pages import etagged

__all__ = ["Description"]


class Description:
    """The handler of `/v1/openapi.json`."""

    def __init__(self) -> None:
        self._openapi = orjson.dumps(document())

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the route."""
        router.add_get("/v1/openapi.json", self._openapi_json)

    async def _openapi_json(self, request: web.Request) -> web.Response:
        return etagged(request, self._openapi, "application/json")
