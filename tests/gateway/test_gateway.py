"""Starting, draining, TLS."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import websockets

from liveroom.config.schema import GatewayConfig
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.messages.errors import BadConfig
from tests.gateway.place import WAIT_S, Object, Viewer, raw, running, scripted, show, token


async def test_draining_sends_everybody_away_with_a_delay_of_their_own() -> None:
    """The gateway is not ready, accepts no viewers, sends `going_away` with delays spread over the set time, then 1012, paced."""
    async with show(drain_ms=300, reconnect_spread_ms=10_000) as place:
        assert place.gateway.ready
        clients = [await websockets.connect(place.url(token=token(f"u{i}"))) for i in range(20)]
        viewers = [Viewer(c) for c in clients]
        for viewer in viewers:
            await viewer.until("keyframe")
        draining = asyncio.create_task(place.gateway.drain())
        await asyncio.sleep(0)
        assert not place.gateway.ready
        delays = []
        for viewer in viewers:
            delays.append((await viewer.until("going_away"))["reconnect_after_ms"])
            assert await viewer.closed() == 1012
        assert len(set(delays)) > 10
        assert all(0 <= d <= 10_000 for d in delays)
        with pytest.raises((OSError, websockets.InvalidMessage, websockets.InvalidStatus)):
            await websockets.connect(place.url(token=token("late")))
        await asyncio.wait_for(draining, WAIT_S)
        assert place.metric("connections") == 0


async def test_draining_does_not_wait_for_who_does_not_read() -> None:
    """A stalled viewer is dropped."""
    async with scripted(socket_send_bytes=4_096) as (place, script):
        client = await raw(place, "stalled", recv_buffer=4_096)
        await script.say(30, length=6_000)
        async with asyncio.timeout(WAIT_S):
            while not any(connection.blocked for connection in place.gateway._connections):
                await asyncio.sleep(0.01)
        await asyncio.wait_for(place.gateway.drain(), WAIT_S)
        assert place.metric("connections") == 0
        client.close()


async def test_draining_drops_handshakes_that_never_ended() -> None:
    """Nothing of the gateway is left open after it."""
    async with show() as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
        writer.write(b"GET /v1/rooms/demo HTTP/1.1\r\n")
        async with asyncio.timeout(WAIT_S):
            while not place.metric("handshakes_waiting"):
                await asyncio.sleep(0.01)
        await asyncio.wait_for(place.gateway.drain(), WAIT_S)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        writer.close()


async def test_an_address_in_use_is_a_bad_setting() -> None:
    """The message names the setting."""
    async with show() as place:
        with pytest.raises(BadConfig, match=r"gateway\.port"):
            async with running(GatewayConfig(port=place.gateway.port), place.journal):
                pass


async def test_over_tls_everything_is_the_same(certificate: tuple[Path, Path]) -> None:
    """Joining, commands, frames larger than a record, a viewer that pauses."""
    cert_file, key_file = certificate
    settings = {"tls_cert_file": str(cert_file), "tls_key_file": str(key_file), "tick_ms_min": 1, "tick_ms_max": 1, "ring_frames_max": 2_000}
    async with scripted(**settings) as (place, script):
        place.tls = ssl.create_default_context(cafile=str(cert_file))
        async with place.viewer("bob") as bob, place.viewer("eve", deflate=False) as eve:
            await bob.until("keyframe")
            await eve.until("keyframe")
            for _ in range(200):
                await script.emit(AnnouncementSet("x" * 8_000))
                await asyncio.sleep(0)
            for viewer in (bob, eve):
                events: list[Object] = []
                cursor = 1
                while cursor < script.seq:
                    delta = await viewer.until("delta")
                    assert delta["from"] == cursor
                    cursor = delta["to"]
                    events += delta["events"]
                assert [e["seq"] for e in events] == list(range(1, script.seq))
            await bob.socket.send("x")
            assert (await bob.until("refused"))["code"] == "malformed"


async def test_a_certificate_that_cannot_be_used_is_a_bad_setting(tmp_path: Path) -> None:
    """The message names the settings."""
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    for file, setting in ((cert_file, "tls_cert_file"), (key_file, "tls_key_file: .* no such file"), (None, "tls_cert_file")):
        with pytest.raises(BadConfig, match=setting):
            async with scripted(tls_cert_file=str(cert_file), tls_key_file=str(key_file)):
                pass
        if file:
            file.write_text("nonsense")


async def test_plain_bytes_to_a_tls_port_harm_nobody(certificate: tuple[Path, Path]) -> None:
    """A wrong scheme is the client's own problem."""
    cert_file, key_file = certificate
    async with show(tls_cert_file=str(cert_file), tls_key_file=str(key_file)) as place:
        place.tls = ssl.create_default_context(cafile=str(cert_file))
        async with place.viewer("bob") as bob:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.wait_for(reader.read(), WAIT_S)
            writer.close()
            assert (await bob.ask("send_likes"))["type"] == "accepted"
