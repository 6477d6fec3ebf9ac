"""The pages and their files. They are read once at the start and served from memory with an ETag."""

from __future__ import annotations

import mimetypes
from hashlib import blake2b
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from liveroom.console.problems import Problem
from liveroom.protocol.codec import decode_room_id

__all__ = ["Pages", "etag_of", "etagged"]

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
        router.add_get("/", self._index)
        router.add_get("/rooms/{room}", self._viewer)
        router.add_get("/console/{room}", self._console)
        router.add_get("/static/{file:.+}", self._static)
        router.add_get("/client/liveroom.js", self._client)

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
    """An answer that a client may cache but must revalidate each time. The status is 304 if the client has it already."""
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
