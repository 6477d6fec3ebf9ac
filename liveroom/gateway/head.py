"""Parses the head of an HTTP request. The parser of the websockets library allows lines of 8 KB, which is less than browsers' cookies need.

The parser is strict: it refuses every head that a proxy might read differently.
"""

from __future__ import annotations

import re
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request

__all__ = ["HEADERS_MAX", "TARGET_BYTES_MAX", "BadHead", "parse_common_head", "parse_head", "split_target"]

HEADERS_MAX: Final = 128
#: The longest target of a request. A token of 4,096 characters fits.
TARGET_BYTES_MAX: Final = 8 * 1024

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) (HTTP/1\.[01])")
#: The possessive `*+` keeps a line of spaces with a bad end from costing the square of its length.
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([\t\x20-\x7e\x80-\xff]*)")
_HEADERS: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*+\r\n)++")
#: The path and the query of a target, in origin form or absolute form. Queries are read leniently, because browsers write them so.
_TARGET: Final = re.compile(r"(?:https?://[^/?#@\s]+)?(/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*)(?:\?([^#]*))?", re.IGNORECASE)


class BadHead(ValueError):
    """The bytes are not a valid request for a room. `status` is the HTTP status of the answer, and the text names the reason."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.status = status


def parse_head(head: bytes) -> Request:
    """The request of a head, which includes the empty line at its end. Raises `BadHead`."""
    first, *lines = head[:-4].split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise BadHead("the request line is not valid HTTP/1.1")
    method, target, version = (part.decode("ascii") for part in found.groups())
    if version != "HTTP/1.1":
        raise BadHead("a handshake must use HTTP/1.1", 505)
    if method != "GET":
        raise BadHead("a handshake must be a GET request", 405)
    if len(target) > TARGET_BYTES_MAX:
        raise BadHead(f"the target has more than {TARGET_BYTES_MAX} bytes", 414)
    if len(lines) > HEADERS_MAX:
        raise BadHead(f"the request has more than {HEADERS_MAX} headers", 431)
    headers = Headers()
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise BadHead("a header line is malformed")
        headers[header[1].decode("ascii")] = header[2].decode("latin-1").rstrip(" \t")
    if "Transfer-Encoding" in headers or not set(headers.get_all("Content-Length")) <= {"0"}:
        raise BadHead("a handshake must not have a body")
    return Request(target, headers)


def parse_common_head(head: bytes) -> tuple[str, dict[bytes, bytes]] | None:
    """The target and the headers, by lower-case name, of a GET request without a body whose headers come once each.

    `None` for any other head: `parse_head` judges it. A head that this function takes has the same meaning there.
    """
    line_end = head.find(b"\r\n") + 2
    if not head.startswith(b"GET ") or not head.startswith(b" HTTP/1.1", line_end - 11):
        return None
    if line_end > TARGET_BYTES_MAX or _HEADERS.fullmatch(head, line_end, len(head) - 2) is None:
        return None
    lines = head[line_end:-4].split(b"\r\n")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip(b" \t")
    if len(headers) != len(lines) or len(lines) > HEADERS_MAX or b"transfer-encoding" in headers or b"content-length" in headers:
        return None
    target = head[4 : line_end - 11].decode("latin-1")
    return (target, headers) if target.isascii() and target.isprintable() and " " not in target else None


def split_target(target: str) -> tuple[str, str]:
    """A request's path and query. Raises `BadHead`."""
    found = _TARGET.fullmatch(target)
    if found is None:
        raise BadHead("the target is not a valid path")
    return found[1], found[2] or ""
