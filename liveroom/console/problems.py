"""HTTP errors as RFC 9457 problems. All have one shape and a code on which clients can act."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web
from msgspec import Struct

from liveroom.messages.errors import BadMessage, BadToken
from liveroom.protocol.codec import encode
from liveroom.protocol.refusals import REFUSALS

__all__ = ["HTTP_PROBLEMS", "PROBLEM_TYPE", "Problem", "ProblemBody", "problem_of"]

PROBLEM_TYPE = "application/problem+json"

#: Codes that exist only in HTTP, besides the refusals: code -> (status, meaning).
HTTP_PROBLEMS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {
        "not_found": (404, "there is nothing at this address"),
        "method_not_allowed": (405, "this address does not support the method"),
        "request_timeout": (408, "the request did not arrive in time"),
        "bad_request": (400, "the request is not valid HTTP"),
        "console_error": (500, "the console failed to handle the request"),
        "ledger_broken": (500, "the money in the journal does not add up: stop, and run `liveroom audit`"),
        "no_ledger": (501, "this server's journal cannot be read again"),
        "room_unavailable": (503, "a room that closed long ago cannot be read now; try again later"),
        "ledger_unavailable": (503, "the journal cannot be read now; try again later"),
        "not_ready": (503, "this process is starting or shutting down, or waits for its journal"),
        "stopped": (503, "a partition or the journal has stopped until an operator acts"),
    }
)


class ProblemBody(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem. Programs act on `code`; `detail` is for people. With a `seq`, the room decided, so a new attempt needs a new id."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str = ""
    retry_after_ms: int = 0
    id: str = ""
    seq: int = 0


class Problem(Exception):
    """Ends a request with a problem. `code` is one of `REFUSALS` or `HTTP_PROBLEMS`."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str = "",
        retry_after_ms: int = 0,
        id: str = "",
        seq: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status, self.title = REFUSALS.get(code) or HTTP_PROBLEMS[code]
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.id = id
        self.seq = seq
        self.headers = dict(headers or {})
        if retry_after_ms:
            self.headers["Retry-After"] = str(math.ceil(retry_after_ms / 1000))

    def response(self) -> web.Response:
        """The problem as an HTTP response."""
        body = ProblemBody(
            type=f"urn:liveroom:problem:{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            field=self.field,
            retry_after_ms=self.retry_after_ms,
            id=self.id,
            seq=self.seq,
        )
        headers = {"Cache-Control": "no-store", **self.headers}
        return web.Response(body=encode(body), status=self.status, content_type=PROBLEM_TYPE, headers=headers)


def problem_of(error: Exception) -> Problem | None:
    """The problem for an exception of liveroom or aiohttp; `None` for a bug."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BadMessage):
        return Problem(error.code, error.detail, field=error.field or "")
    if isinstance(error, BadToken):
        return _unauthorized(error) if error.code != "wrong_room" else Problem(error.code, error.detail)
    if isinstance(error, web.RequestPayloadError):
        return Problem("bad_request", "the body does not match its headers: its length, its chunks or its Content-Encoding is broken")
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error)
    return None


def _unauthorized(error: BadToken) -> Problem:
    words = error.detail.replace("\\", " ").replace('"', "'").encode("ascii", "replace").decode()
    printable = "".join(c if c.isprintable() else " " for c in words)
    return Problem(
        error.code, error.detail, headers={"WWW-Authenticate": f'Bearer realm="liveroom", error="invalid_token", error_description="{printable}"'}
    )


def _of_aiohttp(error: web.HTTPException) -> Problem | None:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem("method_not_allowed", f"allowed here: {allowed}", headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return Problem("not_found", "there is nothing at this address")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem("too_large", error.text or "the body is too large")
    if isinstance(error, web.HTTPClientError):
        return Problem("bad_request", error.reason)
    return None
