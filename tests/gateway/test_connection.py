"""Slow viewers, garbage and silence: no connection harms another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import time
import tracemalloc

import pytest

from liveroom.config.schema import AuthConfig
from liveroom.features.chat.messages import ChatSent
from liveroom.features.moderation.messages import SanctionExplained
from liveroom.gateway import gateway as server
from liveroom.gateway.connection import WAITING_BYTES_MAX, Stage
from liveroom.gateway.limits import ODD_FRAME_S, ODD_FRAMES_MAX
from tests.gateway.place import ROOM, WAIT_S, Object, masked, raw, read_frame, read_frames, scripted, show

LIKE = b'{"id":"c1","command":{"type":"send_likes"}}'


def check_story(frames: list[Object], to: int) -> int:
    """Frames of one connection hold the client's rules: no gap, no double, jumps only when told; gives how often it jumped."""
    cursor, jumps = -1, 0
    for frame in frames:
        match frame["type"]:
            case "keyframe":
                cursor = frame["seq"]
            case "skipped":
                assert frame["from"] == cursor
                assert frame["to"] > cursor
                jumps += 1
            case "delta":
                assert frame["from"] == cursor, frame
                cursor = frame["to"]
    assert cursor == to
    return jumps


@pytest.mark.parametrize("deflate", [False, True])
async def test_stalled_viewers_cost_a_cursor_and_harm_nobody(deflate: bool) -> None:
    """Ten viewers that do not read: one that does sees everything; memory stays at the ring; they catch up by skipping to a keyframe."""
    line = 4_000
    settings = {"socket_send_bytes": 4_096, "ring_frames_max": 64, "ring_bytes_max": 262_144, "tick_ms_min": 1, "tick_ms_max": 1}
    async with scripted(**settings) as (place, script), place.viewer("bob", deflate=deflate) as bob:
        frames = [await bob.next(), await bob.next()]
        stalled = [await raw(place, f"stalled{i}", recv_buffer=4_096) for i in range(10)]
        await script.say(20, length=line)
        tracemalloc.start()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for i in range(100):
            await script.emit(*[ChatSent("bob", "Bob", random.randbytes(line // 2).hex()) for _ in range(3)], with_keyframe=i % 10 == 9)
            while frames[-1]["type"] != "delta" or frames[-1]["to"] < script.seq:
                frames.append(await bob.next())
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        kept_by_the_test = 100 * 3 * line * 3
        assert grown < 2 * 262_144 * 2 + kept_by_the_test + 10 * 70_000
        assert check_story(frames, script.seq) == 0
        await script.emit(with_keyframe=True)
        for client in stalled:
            seen = await _read_up_to(client, script.seq)
            assert check_story(seen, script.seq) == 1
            client.close()
        assert place.metric("viewers_skipped_total") == 10


async def _read_up_to(client: socket.socket, seq: int) -> list[Object]:
    """Frames up to the one that brings the cursor to `seq`."""
    frames = [await read_frame(client)]
    while not (frames[-1]["type"] == "delta" and frames[-1]["to"] == seq) and not (frames[-1]["type"] == "keyframe" and frames[-1]["seq"] == seq):
        frames.append(await read_frame(client))
    return frames


async def test_a_viewer_that_pauses_within_the_ring_misses_nothing() -> None:
    """It gets the frames it did not read in order, none twice, across partial writes."""
    async with scripted(socket_send_bytes=4_096, tick_ms_min=1, tick_ms_max=1) as (place, script):
        client = await raw(place, "pausing", recv_buffer=4_096)
        rng = random.Random(7)
        seen: list[Object] = []
        for _ in range(6):
            for _ in range(rng.randint(5, 40)):
                await script.say(1, length=rng.randint(20, 6_000))
                await place.until_broadcast(script.seq)
            seen += await _read_up_to(client, script.seq)
        assert check_story(seen, script.seq) == 0
        assert [e["seq"] for f in seen if f["type"] == "delta" for e in f["events"]] == list(range(1, script.seq))
        client.close()


async def test_replies_wait_while_the_socket_is_full_and_come_in_order() -> None:
    """They are bounded: the gateway stops reading from a client that does not read."""
    async with scripted(socket_send_bytes=4_096, commands_waiting_max=8, flood_refusals_max=100_000) as (place, script):
        client = await raw(place, "asking", recv_buffer=4_096)
        loop = asyncio.get_running_loop()
        await script.say(40, length=4_000)
        async with asyncio.timeout(WAIT_S):
            while not any(connection.blocked for connection in place.gateway._connections):
                await asyncio.sleep(0.01)
        sent = 0
        try:
            while True:
                await asyncio.wait_for(loop.sock_sendall(client, b"".join(masked(b'{"id":"c%d"}' % i) for i in range(sent, sent + 100))), 1.0)
                sent += 100
        except TimeoutError:
            pass
        ids: list[str] = []
        while len(ids) < 100:
            ids += [f["id"] for f in await read_frames(client, "refused") if f["type"] == "refused"]
        assert ids == [f"c{i}" for i in range(100)]
        client.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(b"\x00\x01", 0x82), 4503),
        (b"\x81\x05hello", 4503),
        (masked(b"x", 0x83), 4503),
        (masked(b"x", 0xF1), 4503),
        (masked(b"orphan", 0x80), 4503),
        (masked(b"x" * 126, 0x89), 4503),
        (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009),
        (masked(b"x" * 20_000), 1009),
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_a_code(data: bytes, code: int) -> None:
    """And another viewer of the room goes on."""
    async with show() as place, place.viewer("bob") as bob:
        client = await raw(place)
        await asyncio.get_running_loop().sock_sendall(client, data)
        assert (await read_frames(client, "close"))[-1]["code"] == code
        client.close()
        assert (await bob.ask("send_chat", text="still here"))["type"] == "accepted"


async def test_garbage_of_every_kind_leaves_the_others_alone() -> None:
    """Random bytes before and after the handshake, fragments, wrong lengths, resets: the process stays up, a viewer is served."""
    rng = random.Random(11)
    async with show(handshake_ms=500) as place, place.viewer("bob") as bob:
        loop = asyncio.get_running_loop()
        for i in range(60):
            if i % 3 == 0:
                _, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
                writer.write(rng.randbytes(rng.randint(1, 3_000)) + rng.choice([b"", b"\r\n\r\n"]))
                writer.close()
                continue
            client = await raw(place, f"g{i}")
            data = rng.randbytes(rng.randint(1, 600))
            if i % 3 == 1:
                frame = bytearray(masked(LIKE, rng.choice([0x81, 0x01, 0x80, 0x89, 0x88, 0xC1])))
                frame[rng.randrange(8)] = rng.randrange(256)
                data = bytes(frame) + data
            await loop.sock_sendall(client, data)
            if i % 2:
                await asyncio.sleep(0.01)
            client.close()
        assert (await bob.ask("send_chat", text="unharmed"))["type"] == "accepted"
        async with asyncio.timeout(WAIT_S):
            while place.metric("connections") > 1:
                await asyncio.sleep(0.02)


async def test_a_text_in_fragments_with_a_ping_between_is_one_command() -> None:
    """And the ping gets its pong."""
    async with show() as place:
        client = await raw(place)
        loop = asyncio.get_running_loop()
        await read_frames(client, "entitlements")
        for part in (masked(LIKE[:7], 0x01), masked(b"are you there", 0x89), masked(LIKE[7:20], 0x00), masked(LIKE[20:], 0x80)):
            await loop.sock_sendall(client, part)
        pong = await asyncio.wait_for(loop.sock_recv(client, 15), WAIT_S)
        assert pong == b"\x8a\x0dare you there"
        assert (await read_frames(client, "accepted"))[-1]["id"] == "c1"
        client.close()


async def test_one_byte_at_a_time_is_read_too() -> None:
    """However the network cuts it."""
    async with show() as place:
        client = await raw(place)
        loop = asyncio.get_running_loop()
        for byte in masked(LIKE) + masked(LIKE.replace(b"c1", b"c2")):
            await loop.sock_sendall(client, bytes([byte]))
            await asyncio.sleep(0)
        frames = await read_frames(client, "accepted")
        frames += await read_frames(client, "accepted")
        assert {f["id"] for f in frames if f["type"] == "accepted"} == {"c1", "c2"}
        client.close()


async def test_the_clients_close_is_echoed_and_forgotten() -> None:
    """A normal close ends a connection at once."""
    async with show() as place:
        async with place.viewer("bob") as bob:
            await bob.until("keyframe")
        assert bob.socket.close_code == 1000
        async with asyncio.timeout(WAIT_S):
            while place.metric("connections"):
                await asyncio.sleep(0.01)
        assert place.metric("closes_total", code="1000") == 1


async def test_silence_is_answered_by_a_ping_and_then_by_4001() -> None:
    """A client that answers pings stays; one that does not is closed."""
    async with show(idle_ms=1_000) as place, place.viewer("bob") as bob:
        client = await raw(place, "silent")
        frames = await read_frames(client, "close")
        assert frames[-1]["code"] == 4001
        client.close()
        assert (await bob.ask("send_likes"))["type"] == "accepted"


async def test_time_in_which_the_gateway_stood_still_is_nobodys_silence() -> None:
    """A process that was stopped got no data meanwhile, so it pings its clients before it closes them."""
    async with show(idle_ms=1_000) as place:
        client = await raw(place)
        await read_frames(client, "entitlements")
        await place.clock.advance(1.5)  # this is the standstill: the gateway looks at its connections only afterwards
        assert not place.metric("closes_total", code="4001")
        assert (await read_frames(client, "ping"))[-1]["type"] == "ping"
        client.close()


async def test_an_expired_token_ends_the_connection_with_4000() -> None:
    """Not only at the handshake."""
    from tests.gateway.place import token

    async with show() as place:
        client = await raw(place, path=f"/v1/rooms/demo?token={token('short', lifetime_s=1 - AuthConfig().leeway_s)}")
        assert (await read_frames(client, "close"))[-1]["code"] == 4000
        client.close()


@pytest.mark.parametrize(("frames", "hung_up"), [(100, False), (ODD_FRAMES_MAX + 100, True)])
async def test_who_goes_on_talking_after_the_close_is_hung_up_on(frames: int, hung_up: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in flight when the close came are ignored. A flood is cut off, because reading on would cost the others."""
    monkeypatch.setattr(server, "CLOSING_S", 3_600.0)
    async with show(connections_per_user_max=1) as place:
        loop = asyncio.get_running_loop()
        client = await raw(place, "talks")
        other = await raw(place, "talks")
        assert (await read_frames(client, "close"))[-1]["code"] == 4003
        sent_s = place.clock.monotonic_s()
        await loop.sock_sendall(client, masked(LIKE) * frames)
        if not hung_up:
            (closing,) = [connection for connection in place.gateway._connections if connection.stage is Stage.closing]
            async with asyncio.timeout(WAIT_S):
                while closing.odd_until < sent_s + frames * ODD_FRAME_S:
                    await asyncio.sleep(0.002)
            assert place.metric("connections") == 2
            await loop.sock_sendall(client, masked((1000).to_bytes(2, "big"), 0x88))
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(loop.sock_recv(client, 1), WAIT_S) == b""
        client.close()
        other.close()


async def test_a_client_that_never_answers_the_close_is_dropped() -> None:
    """An unread close frame does not hold a connection."""
    async with scripted(socket_send_bytes=4_096, connections_per_user_max=1) as (place, script):
        client = await raw(place, "stalled", recv_buffer=4_096)
        await script.say(30, length=6_000)
        other = await raw(place, "stalled")
        async with asyncio.timeout(WAIT_S):
            while place.metric("connections") > 1:
                await asyncio.sleep(0.02)
        assert place.metric("closes_total", code="4003") == 1
        client.close()
        other.close()


async def test_a_token_within_the_leeway_is_not_closed_before_it_is_over() -> None:
    """An accepted token stays valid until the second at which a new handshake with it would be refused."""
    async with show() as place, place.viewer("bob", lifetime_s=-5) as bob:
        await bob.until("keyframe")
        (connection,) = place.gateway._connections
        expired_s = connection.expires_s
        assert 0 < expired_s - time.time() <= AuthConfig().leeway_s
        place.gateway._check_connection(connection, place.gateway.time(), expired_s - 0.001)
        assert (await bob.ask("send_chat", text="still here"))["type"] == "accepted"
        place.gateway._check_connection(connection, place.gateway.time(), expired_s)
        assert await bob.closed() == 4000


async def test_viewers_of_a_key_that_went_are_asked_for_fresh_tokens() -> None:
    """They are closed with 4000, spread over `reconnect_spread_ms`; those of other keys stay."""
    async with show(idle_ms=1_000, reconnect_spread_ms=300) as place, place.viewer("bob") as bob, place.viewer("eve") as eve:
        for viewer in (bob, eve):
            await viewer.until("keyframe")
        for connection in place.gateway._connections:
            assert connection.key
            connection.key = "gone" if connection.sender and connection.sender.user == "bob" else connection.key
        place.gateway.renew({"gone"})
        assert await bob.closed() == 4000
        assert (await eve.ask("send_chat", text="still here"))["type"] == "accepted"


async def test_what_waits_for_a_client_that_does_not_read_is_bounded_in_bytes() -> None:
    """Frames beside the ring wait in memory: one that reads none of them is dropped before they take more than they may."""
    async with scripted(socket_send_bytes=4_096) as (place, script):
        client = await raw(place, "stalled", recv_buffer=4_096)
        async with asyncio.timeout(WAIT_S):
            while place.metric("connections") < 1 or not place.gateway._hub.rooms[ROOM].viewers:
                await asyncio.sleep(0.01)
        connection = place.gateway._hub.rooms[ROOM].viewers[0].connection
        await script.say(30, length=6_000)
        waiting = 0
        async with asyncio.timeout(WAIT_S):
            while place.metric("connections"):
                await script.emit(SanctionExplained("stalled", "mute", "\U0001f600" * 200))
                await asyncio.sleep(0)
                waiting = max(waiting, sum(map(len, connection._replies or ())))
        assert WAITING_BYTES_MAX // 2 < waiting <= WAITING_BYTES_MAX
        client.close()
