"""The API's description, served beside the API."""

from __future__ import annotations

from aiohttp import web

from liveroom.console.openapi import document_yaml
from liveroom.console.pages import etagged

__all__ = ["Description"]


class Description:
    """The handler of `/v1/openapi.yaml`."""

    def __init__(self) -> None:
        self._openapi = document_yaml().encode()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the route."""
        router.add_get("/v1/openapi.yaml", self._openapi_yaml)

    async def _openapi_yaml(self, request: web.Request) -> web.Response:
        return etagged(request, self._openapi, "application/yaml")
