"""Every HTTP error is an RFC 9457 problem: what went wrong, in one shape, with a code to act on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web
from msgspec import Struct

from liveroom.messages.errors import REFUSALS, BadMessage, BadToken
from liveroom.protocol.codec import encode

__all__ = ["HTTP_PROBLEMS", "PROBLEM_TYPE", "Problem", "ProblemBody", "problem_of"]

PROBLEM_TYPE = "application/problem+json"

#: What only HTTP can say, beside the refusals: code -> (status, what it means).
HTTP_PROBLEMS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {
        "not_found": (404, "there is nothing at this address"),
        "method_not_allowed": (405, "this address knows other methods only"),
        "request_timeout": (408, "the request did not come in time"),
        "bad_request": (400, "the request is no valid HTTP request"),
        "console_error": (500, "the console failed to handle the request"),
        "ledger_broken": (500, "the money in the journal does not add up: stop, and run `liveroom audit`"),
        "no_ledger": (501, "this server's journal cannot be read again"),
        "room_unavailable": (503, "a room that closed long ago cannot be read now; ask again later"),
        "ledger_unavailable": (503, "the journal cannot be read now; ask again later"),
        "not_ready": (503, "this process is starting or going away, or waits for its journal"),
        "stopped": (503, "a partition or the journal has stopped: it goes on only when a person has looked"),
    }
)


class ProblemBody(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem; `code` is what to act on, `detail` is for people. `seq` is there when the room decided: then a new id is needed."""

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
    """Ends a request with a problem; `code` is one of `REFUSALS` or `HTTP_PROBLEMS`."""

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
        """The problem as an HTTP answer."""
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
    """The problem that an exception of ours or of aiohttp's stands for; `None` for a bug."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BadMessage):
        return Problem(error.code, error.detail, field=error.field or "")
    if isinstance(error, BadToken):
        return _unauthorized(error) if error.code != "wrong_room" else Problem(error.code, error.detail)
    if isinstance(error, web.RequestPayloadError):
        return Problem("bad_request", "the body is not what its headers say: its length, its chunks or its Content-Encoding is broken")
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
