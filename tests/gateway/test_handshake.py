"""Accepted and refused handshakes: HTTP refusals before the upgrade, close codes after it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager, suppress
from typing import Any

import aiohttp
import pytest
import websockets

from liveroom.gateway import handshake
from liveroom.messages.fields import Role
from tests.gateway.place import ROOM, SECRET, WAIT_S, Place, Viewer, masked, raw, show, token


def an_end() -> AbstractContextManager[None]:
    """An end of file or a reset: both are an end."""
    return suppress(ConnectionError)


async def status_of(place: Place, **options: Any) -> tuple[int, Any]:
    """The HTTP status of a refused handshake, and its headers."""
    options = {"additional_headers": {"Authorization": f"Bearer {token('bob')}"}, **options}
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with websockets.connect(options.pop("url", None) or place.url(), **options):
            pass
    return caught.value.response.status_code, caught.value.response.headers


async def code_of(place: Place, url: str, **options: Any) -> int:
    """The close code of a connection that was upgraded and closed."""
    async with websockets.connect(url, **options) as connection:
        return await Viewer(connection).closed()


async def test_a_refused_origin_is_logged_once_with_the_setting(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser shows its page a lost connection only, so the log says what to set: once for each origin, and for so many of them."""
    monkeypatch.setattr(handshake, "ORIGINS_LOGGED_MAX", 2)
    async with show() as place:
        for origin in ("https://shop.example", "https://shop.example", "https://" + "x" * 500, "https://third.example"):
            assert (await status_of(place, origin=origin))[0] == 403
    lines = [line for line in caplog.records if "gateway.origins" in line.getMessage()]
    assert [getattr(line, "origin", "") for line in lines] == ["https://shop.example", ("https://" + "x" * 500)[:200]]


async def test_pages_of_other_origins_are_refused_with_403() -> None:
    """The console's own origin may connect, and clients without any; others not."""
    async with show(origins=("http://127.0.0.1:8801",)) as place:
        assert (await status_of(place, origin="http://evil.example"))[0] == 403
        headers = {"Authorization": f"Bearer {token('bob')}"}
        async with websockets.connect(place.url(), additional_headers=headers, origin="http://127.0.0.1:8801") as connection:  # type: ignore[arg-type]
            assert (await Viewer(connection).next())["type"] == "joined"
        assert (await status_of(place, origin="null"))[0] == 403


async def test_other_paths_are_404_and_requests_without_upgrade_400() -> None:
    """A path that is no room is not found; a room without WebSocket is a bad request. Both over plain HTTP."""
    async with show() as place:
        base = f"http://127.0.0.1:{place.gateway.port}"
        async with aiohttp.ClientSession() as session:
            for path, status in (("/", 404), ("/v1/other/x", 404), ("/v1/rooms/demo", 400)):
                async with session.get(base + path) as answer:
                    assert answer.status == status, path
                    assert await answer.text()
            async with session.post(base + "/v1/rooms/demo", data=b"x") as answer:
                assert answer.status in (400, 405)
        assert (await status_of(place, url=f"ws://127.0.0.1:{place.gateway.port}/elsewhere"))[0] == 404


async def test_more_connections_than_an_address_may_have_are_refused_with_429() -> None:
    """Counted by the client's address behind trusted proxies, and given back when a connection ends."""
    async with show(connections_per_address_max=1, trusted_proxies=("127.0.0.0/8",)) as place:
        auth = {"Authorization": f"Bearer {token('bob')}"}
        async with websockets.connect(place.url(), additional_headers={**auth, "X-Forwarded-For": "1.1.1.1"}):
            status, headers = await status_of(place, additional_headers={**auth, "X-Forwarded-For": "6.6.6.6, 1.1.1.1:4711"})
            assert status == 429
            assert headers["Retry-After"]
            async with websockets.connect(place.url(), additional_headers={**auth, "X-Forwarded-For": "2.2.2.2"}):
                pass
        async with asyncio.timeout(WAIT_S):
            while place.metric("connections"):
                await asyncio.sleep(0.01)
        async with websockets.connect(place.url(), additional_headers={**auth, "X-Forwarded-For": "1.1.1.1"}):
            pass


async def test_a_full_process_refuses_with_503() -> None:
    """`connections_max` is the process's limit; open connections stay."""
    async with show(connections_max=1) as place, place.viewer("bob") as bob:
        status, headers = await status_of(place)
        assert status == 503
        assert headers["Retry-After"]
        assert (await bob.ask("send_likes"))["type"] == "accepted"


async def test_bad_tokens_are_told_by_close_codes() -> None:
    """Browsers cannot see an HTTP status, so the upgrade is done and closed with a code that says what to do."""
    async with show() as place:
        base = f"ws://127.0.0.1:{place.gateway.port}/v1/rooms"
        assert await code_of(place, f"{base}/demo") == 4500
        assert await code_of(place, f"{base}/demo?token=nonsense") == 4500
        assert await code_of(place, f"{base}/demo?token={token('bob', lifetime_s=-3600)}") == 4000
        assert await code_of(place, f"{base}/demo?token={token('bob', room='other')}") == 4501
        assert await code_of(place, f"{base}/-bad-?token={token('bob')}") == 4505
        assert await code_of(place, f"{base}/a/b?token={token('bob')}") == 4505
        assert await code_of(place, f"{base}/demo?token={token('bob')[:-3]}xyz") == 4500


async def test_the_token_may_come_as_subprotocol_or_in_the_query() -> None:
    """A browser's way; the server answers with the protocol's name and never with the token."""
    async with show() as place:
        base = f"ws://127.0.0.1:{place.gateway.port}/v1/rooms/demo"
        async with websockets.connect(base, subprotocols=["liveroom.v1", f"liveroom.token.{token('bob')}"]) as connection:  # type: ignore[list-item]
            assert connection.subprotocol == "liveroom.v1"
            assert (await Viewer(connection).next())["user"] == "bob"
        async with websockets.connect(f"{base}?token={token('eve')}") as connection:
            assert connection.subprotocol is None
            assert (await Viewer(connection).next())["user"] == "eve"


async def test_a_platform_token_is_good_for_every_room() -> None:
    """Its room is `*`."""
    async with show() as place:
        headers = {"Authorization": f"Bearer {token('shop', role=Role.platform, room='*')}"}
        async with websockets.connect(place.url(), additional_headers=headers) as connection:
            assert (await Viewer(connection).next())["role"] == "platform"


async def test_tokens_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not even when everything is logged."""
    caplog.set_level(logging.DEBUG, "liveroom")
    secret_token = token("bob")
    async with show() as place:
        async with websockets.connect(place.url(token=secret_token)) as connection:
            await Viewer(connection).next()
            await connection.send(b"binary")
            await Viewer(connection).closed()
        (await raw(place, extra=f"X-Junk: {secret_token}\r\n")).close()
    logged = "".join(f"{r.name} {r.getMessage()} {vars(r)}" for r in caplog.records if not r.name.startswith("websockets."))
    assert secret_token not in logged
    assert SECRET not in logged


async def test_a_head_without_end_and_a_slow_one_are_dropped() -> None:
    """A handshake has a size and a time; others go on meanwhile."""
    async with show(handshake_ms=300) as place, place.viewer("bob") as bob:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
        writer.write(b"GET /v1/rooms/demo HTTP/1.1\r\nX-Junk: " + b"x" * 40_000)
        assert (await asyncio.wait_for(reader.read(200), WAIT_S)).startswith(b"HTTP/1.1 431 ")
        writer.close()
        began = loop.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
        writer.write(b"GET /v1/rooms/demo HTTP/1.1\r\nHo")
        with an_end():
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        assert loop.time() - began >= 0.25
        writer.close()
        assert (await bob.ask("send_likes"))["type"] == "accepted"


@pytest.mark.parametrize(
    ("offer", "accepted"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; server_max_window_bits=15", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
        ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", True),
        ("x-unknown", False),
    ],
)
async def test_compression_is_agreed_only_when_the_shared_bytes_fit(offer: str, accepted: bool) -> None:
    """A client that demands a smaller window of the server gets no compression; it is never given bytes it cannot read."""
    async with show() as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
        writer.write(
            f"GET /v1/rooms/{ROOM}?token={token('bob')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n".encode()
        )
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)).decode().lower()
        assert ("sec-websocket-extensions" in head) is accepted
        if accepted:
            assert "server_no_context_takeover" in head
            assert "client_no_context_takeover" in head
        writer.close()


async def test_compression_can_be_turned_off() -> None:
    """Nothing is agreed then."""
    async with show(compression=False) as place, place.viewer("bob") as bob:
        assert (await bob.next())["type"] == "joined"
        assert not bob.socket.protocol.extensions


async def test_frames_that_come_with_the_handshake_are_read() -> None:
    """A client may write its first command without waiting for the upgrade."""
    async with show() as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
        writer.write(
            f"GET /v1/rooms/{ROOM}?token={token('early')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            + masked(b'{"id":"c1","command":{"type":"send_chat","text":"early"}}')
        )
        received = b""
        while b'"accepted"' not in received:
            received += await asyncio.wait_for(reader.read(4_096), WAIT_S)
        writer.close()


async def test_a_page_of_the_gateways_own_host_and_of_a_wildcards_may_connect() -> None:
    """React Native sends the gateway's own address as its origin."""
    async with show(origins=("https://*.example.com",)) as place:
        headers = {"Authorization": f"Bearer {token('bob')}"}
        for origin in (f"http://127.0.0.1:{place.gateway.port}", "https://live.example.com"):
            async with websockets.connect(place.url(), additional_headers=headers, origin=origin) as connection:  # type: ignore[arg-type]
                assert (await Viewer(connection).next())["type"] == "joined"
        for origin in ("http://127.0.0.1:1", "https://a.live.example.com"):
            assert (await status_of(place, origin=origin))[0] == 403
