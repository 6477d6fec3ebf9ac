"""The HTTP API: it takes commands with a token, and serves the state of rooms."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from uuid import uuid4

from aiohttp import web

from liveroom.accounting.statement import Statement
from liveroom.auth.addresses import AddressHasher
from liveroom.auth.tokens import Identity, TokenChecker, bearer_token
from liveroom.config.schema import PAGE_ROOMS_LIMIT, ConsoleConfig
from liveroom.console.connection_pool import Caller
from liveroom.console.details import Details
from liveroom.console.directory import Directory
from liveroom.console.http_connection import HttpConnection
from liveroom.console.middleware import overloaded
from liveroom.console.pages import etagged
from liveroom.console.problems import Problem
from liveroom.console.responses import EncodedViews
from liveroom.console.routes import QueryParameter, Route, add_routes
from liveroom.console.schemas import CommandDone, Rooms, RoomSummary, Settings
from liveroom.console.view import RoomView
from liveroom.features.feature import RoomRoute
from liveroom.features.registry import FEATURES
from liveroom.journal.command_sender import CommandSender
from liveroom.messages.base import ANCHORS, EVERYONE
from liveroom.messages.errors import AuditFailed, BadMessage, BadToken, JournalError, JournalUnavailable
from liveroom.messages.fields import Role
from liveroom.process.token_bucket import TokenBuckets
from liveroom.protocol.codec import decode_command_body, decode_command_id, decode_room_id, encode
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.frames import Accepted, Keyframe, Refused
from liveroom.protocol.records import Request, Sender

__all__ = ["HTTP_COMMANDS", "QUERY_CHARS_MAX", "ROUTES", "Api", "ReadLedger"]

logger = logging.getLogger(__name__)

#: Reads a room's accounts. Raises `AuditFailed` or `JournalError`.
ReadLedger = Callable[[str], Awaitable[Statement]]

#: The commands that a token may send. Commands that only gateways send have no route.
HTTP_COMMANDS: Final = tuple(name for name, command in COMMANDS.items() if command.roles)
#: Longest text of a search in the directory.
QUERY_CHARS_MAX: Final = 100
#: Time for a request's body to arrive.
BODY_READ_S: Final = 10.0

#: The result of a request's token check: an `Identity`, the reason of a refusal, or `None` without a token.
_IDENTITY: Final = web.RequestKey[Identity | BadToken | Problem | None]("identity", object)  # type: ignore[arg-type]
_OPEN: Final = {"true": True, "false": False, "any": None}
_ROOMS_QUERY: Final = (
    QueryParameter(
        "q",
        "Text to find in the room id, title, anchor or pinned product's title, ignoring case",
        {"type": "string", "maxLength": QUERY_CHARS_MAX},
    ),
    QueryParameter("open", "Selects open rooms, closed rooms, or both", {"enum": list(_OPEN), "default": "true"}),
    QueryParameter(
        "limit",
        "Largest number of rooms in one answer; the console's settings may lower it",
        {"type": "integer", "format": "int32", "minimum": 1, "maximum": PAGE_ROOMS_LIMIT, "default": ConsoleConfig().page_rooms_max},
    ),
    QueryParameter("after", "The `next` of the previous answer", {"type": "string"}),
)
_ROOMS_PARAMETERS: Final = {parameter.name for parameter in _ROOMS_QUERY}


class Api:
    """The handlers of `/v1`."""

    def __init__(
        self,
        config: ConsoleConfig,
        checker: TokenChecker,
        command_sender: CommandSender,
        directory: Directory,
        details: Details,
        address_hasher: AddressHasher,
        gateway_url: str,
        read_ledger: ReadLedger | None,
    ) -> None:
        self._config = config
        self._checker = checker
        self._command_sender = command_sender
        self._directory = directory
        self._details = details
        self._address_hasher = address_hasher
        self._gateway_url = gateway_url
        self._read_ledger = read_ledger
        self._rates = TokenBuckets(config.requests_per_s, config.requests_burst)
        self._encoded = EncodedViews()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the API's routes."""
        add_routes(router, self, ROUTES)

    async def _command(self, request: web.Request) -> web.Response:
        room = decode_room_id(request.match_info["room"])
        identity = self._identify(request, room)
        if wait_ms := self._rates.take(identity.user, asyncio.get_running_loop().time()):
            raise Problem("rate_limited", "too many commands in a short time", retry_after_ms=wait_ms)
        name = request.match_info["command"]
        if name not in HTTP_COMMANDS:
            raise BadMessage("unknown_command", f"no command is called {name[:64]!r}", "command")
        command_id = _command_id(request)
        try:
            command = decode_command_body(name, await _body(request))
        except BadMessage as error:
            raise Problem(error.code, error.detail, field=error.field or "", id=command_id) from None
        address_hash = self._address_hasher.hash_forwarded(*_peer(request), room, command)
        sender = Sender(user=identity.user, name=identity.name, role=identity.role, buyer=identity.buyer, address_hash=address_hash)
        answered: asyncio.Future[Accepted | Refused] = asyncio.get_running_loop().create_future()
        self._command_sender.submit(Request(id=command_id, room=room, sender=sender, command=command), answered.set_result)
        # Shielded, because the command sender must not answer a cancelled future when a client disconnects.
        reply = await asyncio.shield(answered)
        if isinstance(reply, Refused):
            raise Problem(reply.code, reply.detail, field=reply.field, retry_after_ms=reply.retry_after_ms, id=reply.id, seq=reply.seq)
        return _fresh(CommandDone(id=reply.id, seq=reply.seq, result=reply.result))

    async def _rooms(self, request: web.Request) -> web.Response:
        query = request.query
        for name in query:
            if name not in _ROOMS_PARAMETERS:
                raise BadMessage(
                    "unknown_field", f"there is no parameter {name[:64]!r}; allowed are: {', '.join(sorted(_ROOMS_PARAMETERS))}", name[:64]
                )
        words = query.get("q", "")
        if len(words) > QUERY_CHARS_MAX:
            raise BadMessage("too_long", f"a search may have at most {QUERY_CHARS_MAX} characters", "q")
        if (is_open := query.get("open", "true")) not in _OPEN:
            raise BadMessage("bad_value", "must be true, false or any", "open")
        now = asyncio.get_running_loop().time()
        views, after = self._directory.page(words.strip(), _OPEN[is_open], self._limit(query.get("limit")), query.get("after", ""), now)
        return _kept(request, Rooms(tuple(map(_summary, views)), after))

    async def _room(self, request: web.Request) -> web.Response:
        return self._kept_view(request, "room", await self._whole(request), lambda view: view.keyframe)

    async def _feature(self, request: web.Request, route: RoomRoute) -> web.Response:
        if not route.roles:
            view = await self._whole(request)
            return self._kept_view(request, route.name, view, lambda view: route.make(view, view.keyframe.time_ms))
        view = await self._whole_for(request, self._identify_reader(request, route.roles))
        return _fresh(route.make(view, self._directory.time_ms(view)))

    async def _ledger(self, request: web.Request) -> web.Response:
        room = decode_room_id(request.match_info["room"])
        identity = self._identify_reader(request, ANCHORS)
        if wait_ms := self._rates.take(identity.user, asyncio.get_running_loop().time()):
            raise Problem("rate_limited", "too many requests in a short time", retry_after_ms=wait_ms)
        await self._whole_for(request, identity)
        if self._read_ledger is None:
            raise Problem("no_ledger", "this server's journal is in memory and cannot be read again")
        try:
            return _fresh(await self._read_ledger(room))
        except AuditFailed as error:
            raise Problem("ledger_broken", str(error)) from None
        except JournalError as error:
            logger.warning("a room's ledger could not be read", extra={"room": room, "error": str(error)})
            if isinstance(error, JournalUnavailable):
                raise Problem("ledger_unavailable", "the journal does not answer") from None
            raise Problem("no_ledger", "this server's journal is incomplete and cannot be read from its beginning") from None

    async def _settings(self, request: web.Request) -> web.Response:
        return _kept(request, Settings(self._gateway_url))

    def caller(self, request: web.Request) -> Caller:
        """The sender of a request, for the limits. Also stores the result of the token check, so that each request is checked once."""
        identity: Identity | BadToken | Problem | None = None
        if "Authorization" in request.headers:
            try:
                identity = self._check_token(request)
            except (BadToken, Problem) as error:
                identity = error
        request[_IDENTITY] = identity
        address = self._address_hasher.counted_forwarded(*_peer(request))
        if not isinstance(identity, Identity):
            return Caller(address)
        user = "" if identity.role is Role.platform else identity.user
        return Caller(address, user, identity.role in ANCHORS)

    def _identify(self, request: web.Request, room: str) -> Identity:
        identity: Identity | BadToken | Problem | None = request[_IDENTITY]
        if identity is None:
            identity = self._check_token(request)
        if not isinstance(identity, Identity):
            raise identity
        identity.check_room(room)
        return identity

    def _identify_reader(self, request: web.Request, roles: frozenset[Role]) -> Identity:
        """The sender, who must have one of `roles`. Raises `BadToken` or `Problem`."""
        identity = self._identify(request, decode_room_id(request.match_info["room"]))
        if identity.role not in roles:
            allowed = ", ".join(role.value for role in Role if role in roles)
            raise Problem("forbidden", f"a {identity.role.value} may not read this; allowed are: {allowed}")
        return identity

    def _check_token(self, request: web.Request) -> Identity:
        headers = request.headers.getall("Authorization", ())
        if not headers:
            raise Problem(
                "bad_token", "the header `Authorization: Bearer <token>` is missing", headers={"WWW-Authenticate": 'Bearer realm="liveroom"'}
            )
        if (token := bearer_token(headers)) is None:
            raise BadToken("bad_token", "the header Authorization must have the form `Bearer <token>`")
        return self._checker.check(token)

    def _kept_view(self, request: web.Request, kind: str, view: RoomView, make: Callable[[RoomView], Any]) -> web.Response:
        body, etag = self._encoded.get(kind, view, make)
        return etagged(request, body, "application/json", etag)

    async def _whole(self, request: web.Request) -> RoomView:
        """The complete room. If it closed long ago, its detail is loaded now."""
        room = decode_room_id(request.match_info["room"])
        try:
            view = await self._details.whole(room)
        except TimeoutError:
            raise Problem("room_unavailable", f"the room {room} closed long ago and cannot be read now", retry_after_ms=1_000) from None
        if view is None:
            raise Problem("room_not_found", f"the room {room} was never opened, or it was removed long after it closed")
        return view

    async def _whole_for(self, request: web.Request, identity: Identity) -> RoomView:
        """The complete room for an identified reader. Raises `Problem` for a banned user; bans do not apply to the platform."""
        view = await self._whole(request)
        assert view.is_whole, "a shortened room says nothing about bans"
        left_ms = view.details["banned"].get(identity.user, 0) - self._directory.time_ms(view)
        if left_ms > 0 and identity.role is not Role.platform:
            raise Problem("banned", "you are banned from this room", retry_after_ms=left_ms)
        return view

    def _limit(self, text: str | None) -> int:
        if text is None:
            return self._config.page_rooms_max
        if not (text.isascii() and text.isdigit()):
            raise BadMessage("wrong_type", "must be a whole number", "limit")
        if len(text) > 9 or not 1 <= int(text) <= PAGE_ROOMS_LIMIT:
            raise BadMessage("out_of_range", f"must be from 1 to {PAGE_ROOMS_LIMIT}", "limit")
        return min(int(text), self._config.page_rooms_max)


def _command_id(request: web.Request) -> str:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return uuid4().hex
    try:
        return decode_command_id(given)
    except BadMessage as error:
        raise BadMessage(error.code, error.detail, "Idempotency-Key") from None


async def _body(request: web.Request) -> bytes:
    if request.content.is_eof():
        return await request.read()
    connection = request.protocol
    assert isinstance(connection, HttpConnection)
    connection.wait()
    try:
        async with asyncio.timeout(BODY_READ_S):
            body = await request.read()
    except TimeoutError:
        raise Problem("request_timeout", f"the body did not arrive within {BODY_READ_S:.0f} s") from None
    if not connection.work():
        connection.refused("all")
        raise overloaded()
    return body


def _peer(request: web.Request) -> tuple[str, Sequence[str]]:
    """The peer's address, and the client addresses that proxies forwarded."""
    return request.remote or "", request.headers.getall("X-Forwarded-For", ())


def _summary(view: RoomView) -> RoomSummary:
    keyframe = view.keyframe
    return RoomSummary(
        room=keyframe.room,
        title=keyframe.title,
        anchor=keyframe.anchor,
        anchor_name=keyframe.anchor_name,
        open=keyframe.open,
        viewers=keyframe.viewers,
        peak=keyframe.peak,
        likes=keyframe.likes,
        pinned=keyframe.pinned,
        opened_ms=keyframe.opened_ms,
    )


def _fresh(body: Any) -> web.Response:
    return web.Response(body=encode(body), content_type="application/json", headers={"Cache-Control": "no-store"})


def _kept(request: web.Request, body: Any) -> web.Response:
    return etagged(request, encode(body), "application/json")


_READ: Final = ("bad", "not_found", "too_many", "unavailable")
_READ_WITH_TOKEN: Final = ("bad", "unauthorized", "forbidden", "not_found", "too_many")


def _feature_route(route: RoomRoute) -> Route:
    async def handle(api: Api, request: web.Request) -> web.StreamResponse:
        return await api._feature(request, route)

    return Route(
        path=f"/v1/rooms/{{room}}/{route.name}",
        handler=handle,
        tag="rooms",
        operation=f"get_{route.name}",
        summary=route.summary,
        body=route.body,
        problems=(*_READ_WITH_TOKEN, "unavailable") if route.roles else _READ,
        roles=route.roles,
        revalidates=not route.roles,
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/rooms/{room}/commands/{command}",
        handler=Api._command,
        tag="commands",
        operation="send_command",
        summary="Send a command",
        done="The command was accepted",
        body=CommandDone,
        problems=(*_READ_WITH_TOKEN, "timeout", "conflict", "too_large", "unprocessable", "failed", "unavailable"),
        roles=EVERYONE,
    ),
    Route(
        path="/v1/rooms",
        handler=Api._rooms,
        tag="rooms",
        operation="list_rooms",
        summary="The list of rooms, most viewers first",
        words="A page may hold fewer rooms than requested and still name a `next` page: continue until `next` is null.",
        done="A page of the directory",
        body=Rooms,
        query=_ROOMS_QUERY,
        problems=("bad", "too_many", "unavailable"),
        revalidates=True,
    ),
    Route(
        path="/v1/rooms/{room}",
        handler=Api._room,
        tag="rooms",
        operation="get_room",
        summary="The room's public state: its newest keyframe, the same as viewers get",
        body=Keyframe,
        problems=_READ,
        revalidates=True,
    ),
    *(_feature_route(route) for feature in FEATURES for route in feature.routes),
    Route(
        path="/v1/rooms/{room}/ledger",
        handler=Api._ledger,
        tag="rooms",
        operation="get_ledger",
        summary="The room's accounts: everything that was given, sold and refunded, with totals",
        words="Derived from the journal and checked at every step.",
        done="The accounts",
        body=Statement,
        problems=(*_READ_WITH_TOKEN, "failed", "not_implemented", "unavailable"),
        roles=ANCHORS,
    ),
    Route(
        path="/v1/settings",
        handler=Api._settings,
        tag="rooms",
        operation="get_settings",
        summary="The settings that pages need to connect",
        done="The settings",
        body=Settings,
        problems=("too_many", "unavailable"),
        revalidates=True,
    ),
)
