"""Every odd class of character in every text, over WebSocket, HTTP and Kafka: no other client notices.

The fields are taken from the classes, so that a new one is tried by itself. After each round the witness in another room of the same
partition must still be sent chat.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
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

from liveroom.auth.claims import TokenClaims
from liveroom.journal.partition import partition_of
from liveroom.messages.fields import NAME_CHARS_MAX, Role
from liveroom.messages.text import clean_name, first_forbidden
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.records import Request
from tests.e2e.arena import _address
from tests.e2e.odd_texts import ODD, escaped, is_no_utf8, odd_bodies, paths, raw, refused_as, sample, texts_in
from tests.e2e.raw import Raw, request
from tests.e2e.viewer import Viewer, enter
from tests.serving import Server

ROOM: Final = "odd"
WAIT_S: Final = 20
#: Commands that wait together share the journal's commits.
AT_ONCE: Final = 64
#: The close code of a room whose state could not be had in time.
COME_BACK: Final = 4002

#: The refusal of a token over WebSocket and over HTTP.
TOLD: Final = {"bad_token": 4500, "token_expired": 4000, "wrong_room": 4501}


#: Codes of what is refused before its id can be read.
NAMELESS: Final = ("bad_utf8", "bad_value", "too_long", "too_short", "too_large", "malformed")
#: Commands that are refused for another reason before their texts are looked at.
UNDECIDED: Final = {"open_room": ("room_already_open",), "answer_question": ("question_not_found",)}
COMMAND_BYTES_MAX: Final = 4_096
#: A server may hang up on a head that is larger, while it is still being sent.
HEAD_BYTES_MAX: Final = 32_768


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
    """A server with an onlooker in the room that gets the odd texts, and a witness in a room beside it."""

    onlooker: Viewer
    witness: Viewer

    def __init__(self, server: Server) -> None:
        self.server = server
        partitions = server.config.journal.partitions
        same = (f"room-{number}" for number in itertools.count() if partition_of(f"room-{number}", partitions) == partition_of(ROOM, partitions))
        self.beside = next(same)
        self.colds = same
        self.rounds = 0

    async def go_on(self) -> None:
        """A line in either room is seen there."""
        self.rounds += 1
        text = f"round {self.rounds}"
        for room, viewer in ((self.beside, self.witness), (ROOM, self.onlooker)):
            answer = await self.server.command(room, "send_chat", {"text": text}, user="speaker", role=Role.platform)
            assert answer["http_status"] == 200, answer
            await viewer.until(partial(_has_seen, viewer, text))

    async def outcomes(self) -> dict[str, float]:
        """How many commands the engine answered, by what became of them."""
        async with aiohttp.ClientSession() as session, session.get(self.server.console_url + "/metrics") as answer:
            found = re.findall(r'^liveroom_engine_commands_total\{outcome="(\w+)"\} (\S+)', await answer.text(), re.MULTILINE)
        return {outcome: float(count) for outcome, count in found}

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


async def entered(gateway: str) -> tuple[int, str]:
    """Enter a room and leave it: the code that the connection was closed with, 0 when it was not, and the name that the user has there."""
    async with websockets.connect(gateway, max_size=None, max_queue=None) as viewer:
        try:
            joined = orjson.loads(await viewer.recv())
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code, ""
        assert joined["type"] == "joined"
        return 0, joined["name"]


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    pace = ("--gateway-commands-per-s", "1000", "--gateway-commands-burst", "10000", "--gateway-commands-waiting-max", "1000")
    limits = (
        "--rooms-chat-interval-ms",
        "0",
        "--gateway-flood-refusals-max",
        "100000",
        "--console-requests-per-s",
        "100000",
        "--console-requests-burst",
        "100000",
    )
    async with Server(directory / "data", *pace, *limits) as server:
        stage = Stage(server)
        for room in (ROOM, stage.beside):
            assert (await server.command(room, "open_room", {"title": "Evening show"}))["http_status"] == 200
        async with enter(server, stage.beside, "witness") as stage.witness, enter(server, ROOM, "onlooker") as stage.onlooker:
            yield stage
            await unharmed(stage)


def _has_seen(viewer: Viewer, text: str) -> bool:
    return any(event.get("text") == text for event in reversed(viewer.events))


async def unharmed(stage: Stage) -> None:
    """No error was logged or kept from others, the process is ready, and all that the rooms told can be shown."""
    log = stage.server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[-4_000:]
    assert "one item failed" not in log
    async with aiohttp.ClientSession() as session:
        async with session.get(stage.server.console_url + "/readyz") as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(stage.server.console_url + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
    assert not [line for line in lines if line.startswith("liveroom_errors_isolated_total") and not line.endswith(" 0.0")]
    async with enter(stage.server, ROOM, "late") as late:
        told = [late.keyframe, *(frame for viewer in (stage.onlooker, stage.witness) for frame in (*viewer.events, *viewer.others))]
    assert not [text for text in texts_in(told) if first_forbidden(text, newlines=True)]


# The rounds


async def test_odd_commands_over_http(tmp_path: Path) -> None:
    """Forbidden characters are refused with their code. Accepted texts appear as they were written. No text causes a server error."""
    async with staged(tmp_path) as stage, aiohttp.ClientSession() as session:
        numbers = itertools.count()
        said: list[str] = []

        def attempt(name: str, role: Role, body: dict[str, Any], text: str, made: Callable[[Any], bytes]) -> Callable[[], Any]:
            async def post() -> None:
                number, room = next(numbers), ROOM
                if name == "open_room":
                    room = next(stage.colds)  # one that is open refuses whatever the title is
                if name == "answer_question":
                    asked = await stage.server.command(ROOM, "ask_question", {"text": "Is it new?"}, user=f"asks-{number}", role=Role.viewer)
                    assert asked["http_status"] == 200, asked
                    body["question"] = asked["result"]["question"]
                headers = {"Authorization": f"Bearer {stage.server.token(room, f'odd-{number}', role)}"}
                url = f"{stage.server.console_url}/v1/rooms/{room}/commands/{name}"
                async with session.post(url, data=made(body), headers=headers) as response:
                    answer = orjson.loads(await response.read())
                assert response.status < 500, (name, text, answer)
                if codes := refused_as(text):
                    assert answer.get("code") in codes, (name, text, answer)
                elif name == "send_chat" and response.status == 200:
                    said.append(text)

            return post

        for name, of in COMMANDS.items():
            if of.roles and name != "close_room":
                role = max(of.roles, key=list(Role).index)
                bodies = [({k: v for k, v in body.items() if k != "type"}, text) for body, text in odd_bodies(of)]
                await stage.tried(attempt(name, role, dict(body), text, made) for body, text in bodies for made in (escaped, raw))
        seen = Counter(event["text"] for event in stage.onlooker.events if event["type"] == "chat_sent" and event["user"].startswith("odd-"))
        assert said
        assert seen == Counter(said)


async def test_odd_commands_over_websocket(tmp_path: Path) -> None:
    """Each gets its reply, under its id when that can be read, with its code; the connection stays, or is closed for what the protocol forbids."""
    async with staged(tmp_path) as stage:
        numbers = itertools.count()

        def attempt(role: Role, messages: dict[str, tuple[bytes, tuple[str, ...]]], closed_by: tuple[int, ...] = ()) -> Callable[[], Any]:
            """`messages` by their ids, with the codes that may refuse each; `closed_by` are the codes with which the connection may end instead."""

            async def say() -> None:
                token = stage.server.token(ROOM, f"odd-{next(numbers)}", role)
                async with websockets.connect(f"{stage.server.gateway_url}/v1/rooms/{ROOM}?token={token}", max_size=None, max_queue=None) as viewer:
                    for data, _ in messages.values():
                        await viewer.send(data, text=True)
                    nameless, left = 0, dict(messages)
                    try:
                        while len(left) > nameless:
                            reply = orjson.loads(await viewer.recv())
                            if reply["type"] in ("accepted", "refused"):
                                codes = left.pop(reply["id"])[1] if reply["id"] else NAMELESS
                                nameless += not reply["id"]
                                assert not codes or reply.get("code") in codes, (codes, reply)
                    except websockets.ConnectionClosed as closed:
                        assert closed.rcvd is not None
                        assert closed.rcvd.code in closed_by, (closed.rcvd, [codes for _, codes in left.values()][:3])
                    assert nameless <= sum(bool(codes) for _, codes in left.values()), "what can be read is answered under its id"

            return say

        for name, of in COMMANDS.items():
            if not of.roles or name == "close_room":
                continue
            role = max(of.roles, key=list(Role).index)
            short, alone = {}, []
            for number, (body, text) in enumerate(odd_bodies(of)):
                for made in (escaped, raw):
                    id_ = f"{made.__name__}-{number}"
                    data = made({"id": id_, "command": body})
                    codes = (*refused_as(text), *UNDECIDED.get(name, ())) if refused_as(text) else ()
                    if len(data) < COMMAND_BYTES_MAX and not (made is raw and is_no_utf8(text)):
                        short[id_] = (data, codes)
                    else:
                        alone.append(attempt(role, {id_: (data, codes)}, (1009, 4503)))
            await stage.tried(iter([attempt(role, short), *alone]))
        chat = {"type": "send_chat", "text": "hello"}
        for text in ODD.values():
            good_id = bool(re.fullmatch(r"[!-~]{1,64}", text))
            for made in (escaped, raw):
                ends = (1009, 4503) if len(text) > COMMAND_BYTES_MAX or (made is raw and is_no_utf8(text)) else ()
                bad_type = {"id": "c1", "command": {"type": text}}
                bad_field = {"id": "c1", "command": {**chat, text: text}}
                await stage.tried(
                    iter(
                        [
                            attempt(Role.viewer, {text: (made({"id": text, "command": chat}), () if good_id else NAMELESS)}, ends),
                            attempt(Role.viewer, {"c1": (made(bad_type), ("unknown_command", "bad_utf8", "too_large"))}, ends),
                            attempt(Role.viewer, {"c1": (made(bad_field), ("unknown_field", "bad_utf8", "too_large"))}, ends),
                        ]
                    )
                )


async def test_odd_claims(tmp_path: Path) -> None:
    """Each token is believed at both doors or refused at both, for the same reason. A name is cleaned; its anchor opens a room that others enter."""
    registered = ("iss", "aud", "jti", "nbf", "iat")
    async with staged(tmp_path) as stage, aiohttp.ClientSession() as session:

        def attempt(claims: dict[str, Any], headers: dict[str, Any], role: Role, room: str) -> Callable[[], Any]:
            async def enter() -> None:
                token = stage.sign({"sub": "odd", "room": room, "role": role.value, "exp": int(time.time()) + 600, **claims}, headers)
                url = f"{stage.server.console_url}/v1/rooms/{room}/commands/"
                for command, body in (("open_room", {"title": "Odd"}), ("send_chat", {"text": "hello"})):
                    async with session.post(url + command, json=body, headers={"Authorization": f"Bearer {token}"}) as response:
                        assert response.status < 500, await response.text()
                        code = orjson.loads(await response.read()).get("code", "")
                gateway = f"{stage.server.gateway_url}/v1/rooms/{room}?token={quote(token)}"
                while (told := await entered(gateway))[0] == COME_BACK:  # a busy machine has the room's state late
                    pass
                if told[0]:
                    assert told[0] == TOLD.get(code, 4004), (claims, code, told)
                else:
                    wanted = clean_name(claims["name"], NAME_CHARS_MAX, "odd") if isinstance(claims.get("name"), str) else told[1]
                    assert (told[1], code in TOLD) == (wanted, False), (claims, code)

            return enter

        names = [*(field.name for field in msgspec.structs.fields(TokenClaims)), *registered]
        for name in names:
            values: list[Any] = [*(text[:2_000] for text in ODD.values()), None, True, -1, 1.5, 2**70, [], {}]
            rooms = [next(stage.colds) if name == "name" else ROOM for _ in values]  # which an odd anchor opens, and a viewer waits for
            await stage.tried(
                attempt({name: value}, {}, role, room) for value, room in zip(values, rooms, strict=True) for role in (Role.anchor, Role.viewer)
            )
        headers = [{name: text[:2_000]} for name in ("kid", "typ", "cty") for text in ODD.values()]
        await stage.tried(attempt({}, header, Role.viewer, ROOM) for header in headers)


async def test_odd_headers_and_queries(tmp_path: Path) -> None:
    """Each request is answered in its protocol, at the gateway and at the console; none is the server's fault."""
    async with staged(tmp_path) as stage:
        token = stage.server.token(ROOM, "odd")
        queries = [f"token={token}&{name}=" for name in ("stream_id", "seq", "token", "other")]

        def lines(name: str, value: str) -> bytes:
            return f"{name}: {value}".encode("utf-8", "surrogatepass")

        def asked(where: str, data: bytes) -> Callable[[], Any]:
            async def ask() -> None:
                with await Raw.connect(_address(where), "127.0.0.1") as client:
                    try:
                        await client.send(data)
                        head = await client.head()
                    except OSError:
                        assert len(data) > HEAD_BYTES_MAX, data[:200]
                        return
                    status = head.split(b" ", 2)[1:2]
                    assert status, (data[:200], "hung up without a word")
                    assert head.startswith(b"HTTP/1."), (data[:200], head)
                    assert status[0] < b"500" or status == [b"505"], (data[:200], head)

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
            fields = ("id", "room", "source", "user", "name", "role", "address_hash")

            async def refuses(requests: list[dict[str, Any]], count: int) -> None:
                """So many of these requests at least are refused or set aside, as often as they are sent."""
                before = await stage.outcomes()
                await stage.tried(_produced(stage, producer, partition, requests, numbers))
                after = await stage.outcomes()  # the room's later replies come behind them
                assert sum(after.get(outcome, 0) - before.get(outcome, 0) for outcome in ("refused", "poison")) >= count, (requests[0], before, after)

            bad = [text for text in ODD.values() if refused_as(text)]
            halves = [text for text in ODD.values() if is_no_utf8(text)]
            for field in fields:  # a name is cleaned, where it is text at all; the last two are compared and shown to nobody
                count = len(halves) if field in ("name", "source", "address_hash") else 2 * len(bad)
                await refuses([_request_with(base, field, text) for text in ODD.values()], count + 1)
            for name, of in COMMANDS.items():
                if name != "close_room" and (bodies := list(odd_bodies(of))):
                    requests = [{**base, "command": body} for body, _ in bodies]
                    await refuses(requests, 2 * sum(bool(refused_as(text)) for _, text in bodies) + 1)
        finally:
            await producer.stop()
        assert {"sender", "command", "connection", "id", "room", "source"} == {field.name for field in msgspec.structs.fields(Request)}


def _request_with(base: dict[str, Any], field: str, text: str) -> dict[str, Any]:
    places = {"user": 0, "name": 1, "role": 2, "address_hash": 6}
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
        for made in (escaped, raw):  # under ids of their own: the second is no repetition
            yield send(made({**body, "id": f"c{next(numbers)}"} if body["id"] == "c1" else body))
    yield send(raw(requests[:40]))
