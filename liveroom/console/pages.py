"""The pages and their files. They are read once at the start and served from memory with an ETag."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from aiohttp import web
from msgspec import Struct

from liveroom.console.problems import Problem
from liveroom.console.routes import Route, add_routes
from liveroom.protocol.codec import decode_room_id

__all__ = ["ROUTES", "Pages", "etag_of", "etagged"]

STATIC = Path(__file__).parent / "static"
CLIENT_JS = Path(__file__).parent.parent / "client" / "liveroom.js"
#: Content types that the system's own table may lack or have wrong.
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}


class _File(Struct, frozen=True):
    body: bytes
    content_type: str
    etag: str


class Pages:
    """Serves `/`, `/rooms/{room}`, `/console/{room}`, `/static/...` and `/client/liveroom.js`. No other file on the disk is reachable."""

    def __init__(self, static: Path = STATIC, client_js: Path = CLIENT_JS) -> None:
        self._files = {path.relative_to(static).as_posix(): _load(path) for path in sorted(static.rglob("*")) if path.is_file()}
        self._client_js = _load(client_js) if client_js.is_file() else None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the pages' routes."""
        add_routes(router, self, ROUTES)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, self._files.get("index.html"))

    async def _viewer(self, request: web.Request) -> web.StreamResponse:
        decode_room_id(request.match_info["room"])
        return self._answer(request, self._files.get("viewer.html"))

    async def _console(self, request: web.Request) -> web.StreamResponse:
        decode_room_id(request.match_info["room"])
        return self._answer(request, self._files.get("console.html"))

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, self._files.get(request.match_info["file"]))

    async def _client(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, self._client_js)

    def _answer(self, request: web.Request, file: _File | None) -> web.Response:
        if file is None:
            raise Problem("not_found", "there is no such page or file")
        return etagged(request, file.body, file.content_type, file.etag)


def etagged(request: web.Request, body: bytes, content_type: str, etag: str = "") -> web.Response:
    """A response that a client may cache but must revalidate each time. The status is 304 if the client has it already."""
    etag = etag or etag_of(body)
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    if any(known.value in (etag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    charset = "utf-8" if content_type.startswith("text/") else None
    return web.Response(body=body, content_type=content_type, charset=charset, headers=headers)


def _load(path: Path) -> _File:
    body = path.read_bytes()
    content_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(body, content_type, etag_of(body))


def etag_of(body: bytes) -> str:
    """The ETag of a body: a hash of its content."""
    return blake2b(body, digest_size=12).hexdigest()


def _page(
    path: str, handler: Callable[[Pages, web.Request], Awaitable[web.StreamResponse]], operation: str, summary: str, content_type: str
) -> Route:
    return Route(
        path=path,
        handler=handler,
        tag="pages",
        operation=operation,
        summary=summary,
        body={},
        content_type=content_type,
        problems=("bad", "not_found", "too_many", "unavailable"),
        revalidates=True,
    )


ROUTES: Final = (
    _page("/", Pages._index, "index_page", "The list of rooms", "text/html"),
    _page("/rooms/{room}", Pages._viewer, "viewer_page", "The viewers' page of a room; the token is in the fragment, `#token=...`", "text/html"),
    _page("/console/{room}", Pages._console, "console_page", "The anchor's page of a room; the token is in the fragment, `#token=...`", "text/html"),
    _page("/static/{file:.+}", Pages._static, "static_file", "A file of the pages", "*/*"),
    _page("/client/liveroom.js", Pages._client, "client_js", "The JavaScript client, an ES module", "text/javascript"),
)
