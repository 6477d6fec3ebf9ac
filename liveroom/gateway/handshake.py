"""Answers an HTTP request with an upgrade or a refusal. The objects of the websockets library are dropped right afterwards."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs, unquote

from msgspec import Struct
from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter, Subprotocol

from liveroom.auth.addresses import TrustedProxies
from liveroom.auth.tokens import Identity, TokenChecker
from liveroom.config.schema import GatewayConfig
from liveroom.gateway.auth import PROTOCOL, Origins, find_token
from liveroom.gateway.common_handshake import CommonHandshakes
from liveroom.gateway.head import BadHead, parse_head, split_target
from liveroom.gateway.inbound import quiet_logger
from liveroom.messages.errors import BadMessage, BadToken
from liveroom.protocol.codec import decode_room_id

__all__ = ["AcceptedHandshake", "HandshakeHandler", "HandshakeRefusal"]

ROOMS_PATH = "/v1/rooms/"
QUERY_FIELDS_MAX = 16
SEQ_MAX = 2**53
#: Refused origins that are logged, each once, and the characters of each. These are bounded because any client can invent origins.
ORIGINS_LOGGED_MAX = 100
ORIGIN_CHARS_MAX = 200

#: A query of a few fields without anything to decode.
_PLAIN_QUERY = re.compile(r"[a-z_]+=[A-Za-z0-9\-._~]+(?:&[a-z_]+=[A-Za-z0-9\-._~]+){0,5}")

log = logging.getLogger("liveroom.gateway")

_CLOSE_FOR = {"bad_token": 4500, "token_expired": 4000, "wrong_room": 4501}


class HandshakeRefusal(Struct, frozen=True):
    """A handshake that ends before the upgrade."""

    reason: str
    response: bytes


class AcceptedHandshake(Struct, frozen=True):
    """A handshake that ends in an upgrade. With a `close_code`, the connection then closes at once: browsers show pages only close codes."""

    response: bytes
    address: str
    deflate: bool
    room: str = ""
    identity: Identity | None = None
    resume: tuple[str, int] | None = None
    close_code: int = 0
    close_reason: str = ""


class _SharedDeflate(ServerPerMessageDeflateFactory):
    """Accepts only no context takeover and the full window, so that the same compressed bytes fit every viewer."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits != 15:
            raise NegotiationError("a smaller window than the shared one")
        return answer, extension


class HandshakeHandler:
    """Answers complete request heads. It keeps nothing of a request except refused origins, for the log."""

    def __init__(self, config: GatewayConfig, checker: TokenChecker, console_origins: Sequence[str]) -> None:
        self._checker = checker
        self._origins = Origins((*config.origins, *console_origins))
        self._origins_refused: set[str] = set()
        self._proxies = TrustedProxies(config.trusted_proxies)
        self._extensions = [_SharedDeflate()] if config.compression else None
        self._common = CommonHandshakes()

    def receive(self, head: bytes, peer: str, full: Callable[[str], tuple[int, str] | None]) -> HandshakeRefusal | AcceptedHandshake:
        """Answer the request `head` from `peer`. `full` returns a status and its text if the gateway has no place for the client's address."""
        request = self._common.parse(head)
        if request is not None and request.path.startswith(ROOMS_PATH):
            address = self._proxies.client_address(peer, request.values(b"x-forwarded-for"))
            if self._origins.allow(request.value(b"origin"), request.value(b"host")) and not full(address):
                offered, authorizations = request.values(b"sec-websocket-protocol"), request.values(b"authorization")
                room = request.path[len(ROOMS_PATH) :]
                return self._admit(request.response, address, request.deflate, authorizations, offered, room, request.query)
        return self._receive_any(head, peer, full)

    def _receive_any(self, head: bytes, peer: str, full: Callable[[str], tuple[int, str] | None]) -> HandshakeRefusal | AcceptedHandshake:
        """Let the library judge the request. All refusals before the upgrade come from here."""
        protocol = ServerProtocol(extensions=self._extensions, select_subprotocol=_select, logger=quiet_logger, max_size=None)
        try:
            request = parse_head(head)
            path, query = split_target(request.path)
        except BadHead as error:
            return HandshakeRefusal("malformed", _plain(protocol, error.status, f"{error}\n"))
        headers = request.headers
        address = self._proxies.client_address(peer, headers.get_all("X-Forwarded-For"))
        if not path.startswith(ROOMS_PATH):
            return HandshakeRefusal("path", _plain(protocol, 404, f"Rooms are at {ROOMS_PATH}{{room}}.\n"))
        origin = _only(headers.get_all("Origin"))
        if not self._origins.allow(origin, _only(headers.get_all("Host"))):
            self._log_refused_origin(origin or "")
            return HandshakeRefusal("origin", _plain(protocol, 403, "Pages from this origin may not connect.\n"))
        if found := full(address):
            return HandshakeRefusal("full" if found[0] == 503 else "address", _plain(protocol, *found))
        response = protocol.accept(request)
        if response.status_code != 101:
            return HandshakeRefusal("no_websocket", _as_bad_request(response).serialize())
        deflate = bool(protocol.extensions)
        if len(offers := headers.get_all("Sec-WebSocket-Extensions")) == 1:
            self._common.learn(offers[0], response.headers.get("Sec-WebSocket-Extensions"), deflate=deflate)
        offered, authorizations = headers.get_all("Sec-WebSocket-Protocol"), headers.get_all("Authorization")
        return self._admit(response.serialize(), address, deflate, authorizations, offered, unquote(path[len(ROOMS_PATH) :]), query)

    def _log_refused_origin(self, origin: str) -> None:
        """Log an origin once. The browser's page sees only a lost connection, so this line alone names the cause."""
        origin = origin[:ORIGIN_CHARS_MAX]
        if origin not in self._origins_refused and len(self._origins_refused) < ORIGINS_LOGGED_MAX:
            self._origins_refused.add(origin)
            log.warning("a page from an origin that is not in gateway.origins may not connect", extra={"origin": origin})

    def _admit(
        self, response: bytes, address: str, deflate: bool, authorizations: Sequence[str], offered: Sequence[str], room: str, query_text: str
    ) -> AcceptedHandshake:
        query = _query(query_text)
        subprotocols = [name.strip() for line in offered for name in line.split(",")] if offered else ()
        token = find_token(authorizations, subprotocols, query.get("token"))
        try:
            decode_room_id(room)
            identity = self._checker.check(token)
            identity.check_room(room)
        except BadMessage as error:
            return AcceptedHandshake(response, address, deflate, close_code=4505, close_reason=error.detail)
        except BadToken as error:
            return AcceptedHandshake(response, address, deflate, close_code=_CLOSE_FOR[error.code], close_reason=error.detail)
        return AcceptedHandshake(response, address, deflate, room, identity, _resume(query))


def _only(values: Sequence[str]) -> str | None:
    """A header's value. Several values are joined, which matches no allowed value."""
    return ", ".join(values) if values else None


def _query(text: str) -> dict[str, str]:
    if _PLAIN_QUERY.fullmatch(text):  # the same fields in a quarter of the time
        fields: dict[str, str] = {}
        for pair in text.split("&"):
            name, _, value = pair.partition("=")
            fields.setdefault(name, value)
        return fields
    try:
        return {name: values[0] for name, values in parse_qs(text, max_num_fields=QUERY_FIELDS_MAX).items()}
    except ValueError:
        return {}


def _resume(query: dict[str, str]) -> tuple[str, int] | None:
    stream_id, seq = query.get("stream_id", ""), query.get("seq", "")
    if not stream_id or not (seq.isascii() and seq.isdigit() and len(seq) <= 16) or int(seq) >= SEQ_MAX:
        return None
    return stream_id, int(seq)


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(PROTOCOL) if PROTOCOL in offered else None


def _as_bad_request(response: Response) -> Response:
    """Answer a request without an upgrade with 400, because the gateway serves nothing over plain HTTP."""
    return Response(400, "Bad Request", response.headers, response.body) if response.status_code == 426 else response


def _plain(protocol: ServerProtocol, status: int, words: str) -> bytes:
    response = protocol.reject(status, words)
    if status in (429, 503):
        response.headers["Retry-After"] = "5"
    if status == 405:
        response.headers["Allow"] = "GET"
    return response.serialize()
