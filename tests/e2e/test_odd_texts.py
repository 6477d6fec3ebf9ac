"""Every text that can come in, with every odd class of character, over WebSocket, HTTP and Kafka: nobody else notices.

The fields are taken from the classes, so that a new one is tried by itself. After each round the witness in another room of the same
partition must still be sent chat.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import jwt
import msgspec
import orjson
import pytest
import websockets
from aiokafka import AIOKafkaProducer
from msgspec import inspect

from liveroom.journal.partition import partition_of
from liveroom.messages.commands import COMMANDS
from liveroom.messages.fields import Role
from liveroom.messages.records import Request
from liveroom.text import first_forbidden
from liveroom.tokens import _Claims
from tests.e2e.arena import _address
from tests.e2e.raw import Raw, request
from tests.serving import Server

ROOM: Final = "odd"
WAIT_S: Final = 20
#: Commands that wait together share the journal's commits.
AT_ONCE: Final = 64
#: The close code of a room whose state could not be had in time.
COME_BACK: Final = 4002

#: Every class of characters that has broken something somewhere.
ODD: Final = {
    "lone high surrogate": "Anna \ud83d",
    "lone low surrogate": "\udc00",
    "surrogates in the wrong order": "\udc00\ud83d",
    "NUL": "a\x00b",
    "C0": "a\x1b[31mb\x07",
    "C1": "a\x9b31mb\x85",
    "DEL": "a\x7fb",
    "line ends": "a\r\nb\nc",
    "bidi override": "a\u202eb",
    "bidi isolate": "a\u2066b",
    "line separator": "a\u2028b\u2029c",
    "noncharacters": "a\ufffe\uffff\ufdd0\U0010ffff",
    "unassigned": "a\u0378\U000e0fff\U0003fffd",
    "zalgo": "z" + "\u0300\u0489\u0336" * 30,
    "grows when normalized": "\ufdfa" * 40,
    "tags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "emoji families": "👨‍👩‍👧‍👦" * 10,
    "byte order mark": "\ufeffa",
    "nothing to see": "\u200b\u2060\u3164",
    "nothing": "",
    "spaces": "   ",
    "quotes and markup": "\"'`<>&\\{}$&%00../",
    "names of JavaScript": "__proto__",
    "much too long": "x" * 70_000,
}


def escaped(body: Any) -> bytes:
    r"""As browsers write it: half of a pair as `\ud83d`."""
    return json.dumps(body).encode()


def raw(body: Any) -> bytes:
    """As bytes, also where those are no UTF-8."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


# Values of the classes


def sample(info: inspect.Type) -> Any:
    """A value of a type, as plain JSON."""
    match info:
        case inspect.Metadata(type=inner):
            return sample(inner)
        case inspect.StrType(pattern=pattern, min_length=least):
            return "" if pattern and re.search(pattern, "") else "A" * (least or 1)
        case inspect.IntType(ge=least):
            return least or 0
        case inspect.BoolType():
            return False
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.VarTupleType(item_type=item):
            return [sample(item)]
        case inspect.StructType(array_like=True, fields=fields):
            return [sample(field.type) for field in fields]
        case inspect.StructType(fields=fields, tag=tag, tag_field=tag_field):
            return {**({tag_field: tag} if tag_field else {}), **{field.encode_name: sample(field.type) for field in fields}}
        case inspect.UnionType(types=types):
            return sample(types[0])
    raise NotImplementedError(info)


def paths(info: inspect.Type) -> Iterator[tuple[str | int, ...]]:
    """Where texts stand in values of a type."""
    match info:
        case inspect.Metadata(type=inner):
            yield from paths(inner)
        case inspect.StrType() | inspect.EnumType() | inspect.LiteralType():
            yield ()
        case inspect.VarTupleType(item_type=item):
            yield from ((0, *path) for path in paths(item))
        case inspect.StructType(array_like=array_like, fields=fields):
            for number, field in enumerate(fields):
                yield from ((number if array_like else field.encode_name, *path) for path in paths(field.type))


def with_text(value: Any, path: tuple[str | int, ...], text: str) -> Any:
    """A copy with another text at a path."""
    if not path:
        return text
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = with_text(copy[path[0]], path[1:], text)
    return copy


def odd_bodies(of: type) -> Iterator[dict[str, Any]]:
    """Values of a class with each odd text at each place where a text may stand."""
    info = inspect.type_info(of)
    for path in paths(info):
        for text in ODD.values():
            yield with_text(sample(info), path, text)


def test_every_command_is_tried_with_its_texts() -> None:
    """The walk over the classes finds the texts that are known to be there, and its samples are commands."""
    found = {name: list(paths(inspect.type_info(of))) for name, of in COMMANDS.items()}
    assert found["add_product"] == [("product", name) for name in ("id", "title", "image_url", "link_url")]
    assert found["set_banned_words"] == [("words", 0)]
    assert ("condition", "keyword") in found["drop_red_envelope"]
    for name, of in COMMANDS.items():
        assert isinstance(msgspec.convert(sample(inspect.type_info(of)), of), of), name


# The server and its witness


class Stage:
    """A server with a witness in a room beside the one that gets the odd texts."""

    def __init__(self, server: Server) -> None:
        self.server = server
        partitions = server.config.journal.partitions
        same = (f"room-{number}" for number in itertools.count() if partition_of(f"room-{number}", partitions) == partition_of(ROOM, partitions))
        self.beside = next(same)
        self.colds = same
        self.rounds = 0
        self.witness: Any = None

    async def go_on(self) -> None:
        """What is said beside is seen there."""
        self.rounds += 1
        text = f"round {self.rounds}"
        answer = await self.server.command(self.beside, "send_chat", {"text": text}, user="speaker", role=Role.moderator)
        assert answer["http_status"] == 200, answer
        async with asyncio.timeout(WAIT_S):
            while True:
                frame = orjson.loads(await self.witness.recv())
                if any(event.get("text") == text for event in frame.get("events", ())):
                    return

    def sign(self, claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
        """A token that verifies, whatever it says."""
        secret = (self.server.data_dir / "dev-secret").read_text()
        head, payload = {"alg": "HS256", "typ": "JWT", **(headers or {})}, escaped(claims)
        return jwt.api_jws.encode(payload, secret, algorithm="HS256", headers=head)

    async def tried(self, attempts: Iterator[Callable[[], Any]]) -> None:
        """All of a round, some at once; then the witness is looked at."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(attempt: Callable[[], Any]) -> None:
            async with turn, asyncio.timeout(2 * WAIT_S):
                await attempt()

        await asyncio.gather(*(one(attempt) for attempt in attempts))
        await self.go_on()


async def entered(gateway: str) -> int:
    """Enter a room and leave it: 0, or the code that the connection was closed with, which is one that the protocol has for a token."""
    async with websockets.connect(gateway, max_size=None, max_queue=None) as viewer:
        try:
            joined = orjson.loads(await viewer.recv())
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is not None
            assert closed.rcvd.code in (4000, COME_BACK, 4003, 4004, 4500, 4501, 4502)
            return closed.rcvd.code
        assert (joined["type"], first_forbidden(joined["name"])) == ("joined", "")
        return 0


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    flags = ("--rooms-chat-interval-ms", "0", "--gateway-commands-per-s", "1000", "--gateway-commands-burst", "10000")
    limits = ("--gateway-flood-refusals-max", "100000", "--console-requests-per-s", "100000", "--console-requests-burst", "100000")
    async with Server(directory / "data", *flags, *limits) as server:
        stage = Stage(server)
        for room in (ROOM, stage.beside):
            assert (await server.command(room, "open_room", {"title": "Evening show"}))["http_status"] == 200
        url = f"{server.gateway_url}/v1/rooms/{stage.beside}?token={server.token(stage.beside, 'witness')}"
        async with websockets.connect(url, max_size=None, max_queue=None) as stage.witness:
            yield stage
            await unharmed(stage)


async def unharmed(stage: Stage) -> None:
    """No error was logged or kept from others, the process is ready, and what the room tells can be shown."""
    log = stage.server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[-4_000:]
    assert "one item failed" not in log
    async with aiohttp.ClientSession() as session:
        async with session.get(stage.server.console_url + "/readyz") as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(stage.server.console_url + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
    assert not [line for line in lines if line.startswith("liveroom_errors_isolated_total") and not line.endswith(" 0.0")]
    url = f"{stage.server.gateway_url}/v1/rooms/{ROOM}?token={stage.server.token(ROOM, 'onlooker')}"
    async with websockets.connect(url, max_size=None, max_queue=None) as onlooker:
        assert orjson.loads(await onlooker.recv())["type"] == "joined"
        keyframe = orjson.loads(await onlooker.recv())
    texts = [keyframe["title"], keyframe["anchor_name"], *(line[field] for line in keyframe.get("chat", ()) for field in ("name", "text"))]
    assert not [text for text in texts if first_forbidden(text)]


# The rounds


async def test_odd_commands_over_http(tmp_path: Path) -> None:
    """Each is accepted or refused as its sender's own fault; none is the server's."""
    async with staged(tmp_path) as stage, aiohttp.ClientSession() as session:
        numbers = itertools.count()

        def attempt(name: str, role: Role, body: bytes) -> Callable[[], Any]:
            async def post() -> None:
                headers = {"Authorization": f"Bearer {stage.server.token(ROOM, f'odd-{next(numbers)}', role)}"}
                async with session.post(f"{stage.server.console_url}/v1/rooms/{ROOM}/commands/{name}", data=body, headers=headers) as answer:
                    assert answer.status < 500, (name, body[:200], await answer.text())

            return post

        for name, of in COMMANDS.items():
            if of.roles and name != "close_room":
                bodies = [{k: v for k, v in body.items() if k != "type"} for body in odd_bodies(of)]
                role = max(of.roles, key=list(Role).index)
                await stage.tried(attempt(name, role, made) for body in bodies for made in (escaped(body), raw(body)))


async def test_odd_commands_over_websocket(tmp_path: Path) -> None:
    """Each gets its reply, under its id when that can be read; the connection stays, or is closed for what the protocol forbids."""
    async with staged(tmp_path) as stage:
        numbers = itertools.count()

        def attempt(role: Role, texts: list[bytes]) -> Callable[[], Any]:
            async def say() -> None:
                token = stage.server.token(ROOM, f"odd-{next(numbers)}", role)
                async with websockets.connect(f"{stage.server.gateway_url}/v1/rooms/{ROOM}?token={token}", max_size=None, max_queue=None) as viewer:
                    replies = 0
                    for text in texts:
                        await viewer.send(text, text=True)
                    try:
                        while replies < len(texts):
                            replies += orjson.loads(await viewer.recv())["type"] in ("accepted", "refused")
                    except websockets.ConnectionClosed as closed:
                        assert closed.rcvd is not None
                        assert closed.rcvd.code in (1009, 4503)

            return say

        for name, of in COMMANDS.items():
            if not of.roles or name == "close_room":
                continue
            role = max(of.roles, key=list(Role).index)
            messages = [{"id": "c1", "command": body} for body in odd_bodies(of)]
            short = [message for message in messages if len(escaped(message)) < 4_096]
            long = [[made(message)] for message in messages if message not in short for made in (escaped, raw)]
            await stage.tried(attempt(role, texts) for texts in ([*map(escaped, short)], [*map(raw, short)], *long) if texts)
        odd_ids = [{"id": text, "command": {"type": "send_chat", "text": "hello"}} for text in ODD.values()]
        odd_types = [{"id": "c1", "command": {"type": text}} for text in ODD.values()]
        odd_fields = [{"id": "c1", "command": {"type": "send_chat", "text": "hello", text: text}} for text in ODD.values()]
        await stage.tried(attempt(Role.viewer, [made(body)]) for body in (*odd_ids, *odd_types, *odd_fields) for made in (escaped, raw))


async def test_odd_claims(tmp_path: Path) -> None:
    """Each token is believed or refused, at both doors; one whose name is odd opens a room that others then enter, and speaks in it."""
    registered = ("iss", "aud", "jti", "nbf", "iat")
    async with staged(tmp_path) as stage, aiohttp.ClientSession() as session:

        def attempt(claims: dict[str, Any], headers: dict[str, Any], role: Role, room: str) -> Callable[[], Any]:
            async def enter() -> None:
                token = stage.sign({"sub": "odd", "room": room, "role": role.value, "exp": int(time.time()) + 600, **claims}, headers)
                url = f"{stage.server.console_url}/v1/rooms/{room}/commands/"
                for command, body in (("open_room", {"title": "Odd"}), ("send_chat", {"text": "hello"})):
                    async with session.post(url + command, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
                        assert answer.status < 500, await answer.text()
                gateway = f"{stage.server.gateway_url}/v1/rooms/{room}?token={quote(token)}"
                while await entered(gateway) == COME_BACK:  # a busy machine has the room's state late
                    pass

            return enter

        names = [*(field.name for field in msgspec.structs.fields(_Claims)), *registered]
        for name in names:
            values: list[Any] = [*(text[:2_000] for text in ODD.values()), None, True, -1, 1.5, 2**70, [], {}]
            rooms = [next(stage.colds) if name == "name" else ROOM for _ in values]  # which an odd anchor opens, and a viewer waits for
            await stage.tried(
                attempt({name: value}, {}, role, room) for value, room in zip(values, rooms, strict=True) for role in (Role.anchor, Role.viewer)
            )
        headers = [{name: text[:2_000]} for name in ("kid", "typ", "cty") for text in ODD.values()]
        await stage.tried(attempt({}, header, Role.viewer, ROOM) for header in headers)


async def test_odd_headers_and_queries(tmp_path: Path) -> None:
    """Each request is answered in its protocol or hung up on, at the gateway and at the console; none is the server's fault."""
    async with staged(tmp_path) as stage:
        token = stage.server.token(ROOM, "odd")
        queries = [f"token={token}&{name}=" for name in ("epoch", "seq", "token", "other")]

        def lines(name: str, value: str) -> bytes:
            return f"{name}: {value}".encode("utf-8", "surrogatepass")

        def asked(where: str, data: bytes) -> Callable[[], Any]:
            async def ask() -> None:
                with await Raw.connect(_address(where), "127.0.0.1") as client:
                    try:
                        await client.send(data)
                        client.done()
                        head = await client.head()
                    except OSError:
                        return
                    status = head.split(b" ", 2)[1:2]
                    assert head == b"" or (head.startswith(b"HTTP/1.") and status[0] < b"500") or status == [b"505"], (data[:200], head)

            return ask

        gateway, console = stage.server.gateway_url, stage.server.console_url
        good = request(f"/v1/rooms/{ROOM}?token={token}")
        get = f"GET /v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
        headers = ("Authorization", "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-Forwarded-For", "Cookie", "User-Agent", "Host")
        for name in (*headers, "Idempotency-Key", "If-None-Match", "Content-Type", "Accept-Language"):
            requests = [
                (where, head.replace(b"\r\n\r\n", b"\r\n" + lines(name, text) + b"\r\n\r\n"))
                for text in ODD.values()
                for where, head in ((gateway, good), (console, get))
            ]
            await stage.tried(asked(where, data) for where, data in requests)
        for made in (quote_any, lambda text: text.replace(" ", "%20").encode("utf-8", "surrogatepass")):
            targets = [(gateway, f"/v1/rooms/{ROOM}?{query}".encode() + made(text)) for query in queries for text in ODD.values()]
            targets += [(gateway, b"/v1/rooms/" + made(text) + f"?token={token}".encode()) for text in ODD.values()]
            for name in ("q", "after", "open", "limit"):
                targets += [(console, f"/v1/rooms?{name}=".encode() + made(text)) for text in ODD.values()]
            targets += [(console, b"/v1/rooms?" + made(text) + b"=1") for text in ODD.values()]
            targets += [(console, b"/v1/rooms/" + made(text)) for text in ODD.values()]
            heads = [(where, good if where == gateway else get, target) for where, target in targets]
            await stage.tried(asked(where, b"GET " + target + b" " + head.split(b" ", 2)[2]) for where, head, target in heads)


def quote_any(text: str) -> bytes:
    """Percent-encoded, also where the bytes are no UTF-8."""
    return quote(text.encode("utf-8", "surrogatepass")).encode()


@pytest.mark.journal("kafka", "other programs write into its topic of commands")
async def test_odd_requests_of_other_programs(tmp_path: Path) -> None:
    """Each stands in the topic as bytes: it is decided, refused or set aside, and the next one is looked at."""
    async with staged(tmp_path) as stage:
        kafka = stage.server.config.kafka
        partition = partition_of(ROOM, stage.server.config.journal.partitions)
        numbers = itertools.count()
        producer = AIOKafkaProducer(bootstrap_servers=list(kafka.bootstrap_servers), max_request_size=2**20)
        await producer.start()
        try:
            chat = {"type": "send_chat", "text": "hello"}
            base = {"id": "c1", "room": ROOM, "sender": ["odd", "Odd", "platform"], "command": chat, "source": "somebody"}
            fields = ("id", "room", "source", "user", "name", "role", "address_mark")
            for field in fields:
                await stage.tried(_produced(stage, producer, partition, [_request_with(base, field, text) for text in ODD.values()], numbers))
            for name, of in COMMANDS.items():
                if name != "close_room":
                    bodies = [{**base, "command": body} for body in odd_bodies(of)]
                    await stage.tried(_produced(stage, producer, partition, bodies, numbers))
        finally:
            await producer.stop()
        assert {"sender", "command", "connection", "id", "room", "source"} == {field.name for field in msgspec.structs.fields(Request)}


def _request_with(base: dict[str, Any], field: str, text: str) -> dict[str, Any]:
    places = {"user": 0, "name": 1, "role": 2, "address_mark": 6}
    if field not in places:
        return {**base, field: text}
    sender = [*base["sender"], False, False, 0, ""]
    sender[places[field]] = text
    return {**base, "sender": sender}


def _produced(
    stage: Stage, producer: AIOKafkaProducer, partition: int, requests: list[dict[str, Any]], numbers: Iterator[int]
) -> Iterator[Callable[[], Any]]:
    """Each alone, and all of them in a list."""
    topic = f"{stage.server.config.kafka.topic_prefix}.commands"

    def send(value: bytes) -> Callable[[], Any]:
        return lambda: producer.send_and_wait(topic, value[: 2**19], key=ROOM.encode(), partition=partition)

    for body in requests:
        named = {**body, "id": f"c{next(numbers)}"} if body["id"] == "c1" else body
        yield from (send(escaped(named)), send(raw(named)))
    yield send(raw(requests[:40]))
