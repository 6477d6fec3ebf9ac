"""Stops, rivals and disks: what a server does at its end, and what cannot end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import orjson
import pytest
import websockets

from tests.docs.traffic import check_server_frame
from tests.serving import Server

ROOM = "demo"
VIEWERS = 30
END_S = 15


async def open_room(server: Server) -> None:
    opened = await server.command(ROOM, "open_room", {"title": "Autumn silk"})
    assert opened["http_status"] == 200, opened


async def run_rival(*flags: str) -> tuple[int, list[str]]:
    """Another server, which is to end by itself: its exit code and what it said."""
    command = (sys.executable, "-m", "liveroom", "serve", "--mode", "dev", *flags)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), END_S)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, [line for line in out.decode().splitlines() if line.startswith("liveroom:") or "Traceback" in line]


async def stay(server: Server, number: int, joined: asyncio.Semaphore) -> tuple[int, int]:
    """A viewer who stays to the end: the delay that it was told and the close code."""
    url = f"{server.gateway_url}/v1/rooms/{ROOM}?token={server.token(ROOM, f'viewer-{number}')}"
    delay_ms = -1
    async with websockets.connect(url) as connection:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frame = check_server_frame(await connection.recv())
                if frame["type"] == "keyframe":
                    joined.release()
                if frame["type"] == "going_away":
                    delay_ms = frame["reconnect_after_ms"]
    return delay_ms, connection.close_code or 0


async def test_sigterm_drains(tmp_path: Path) -> None:
    """Every viewer gets a time to come back, each another one, and is closed with 1012. The process ends with 0, and starts again."""
    async with Server(tmp_path / "data", "--gateway-drain-ms", "500") as server:
        await open_room(server)
        joined = asyncio.Semaphore(0)
        viewers = [asyncio.create_task(stay(server, number, joined)) for number in range(VIEWERS)]
        for _ in viewers:
            await asyncio.wait_for(joined.acquire(), END_S)
        assert await asyncio.wait_for(server.stop(), END_S) == 0
        told = await asyncio.wait_for(asyncio.gather(*viewers), END_S)
        assert {code for _, code in told} == {1012}
        assert all(0 <= delay_ms <= 5_000 for delay_ms, _ in told)
        assert len({delay_ms for delay_ms, _ in told}) > VIEWERS / 2
        assert "Traceback" not in server.log.read_text()
        await server.start()
        again = await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        assert again["code"] == "room_already_open"


@pytest.mark.journal("embedded", "with Kafka any number of processes may run")
async def test_a_second_process(tmp_path: Path) -> None:
    """A second process on the same data ends with 1 and one line that says why; the first goes on."""
    async with Server(tmp_path / "data") as server:
        await open_room(server)
        code, words = await run_rival("--data-dir", str(server.data_dir), "--gateway-port", "0", "--console-port", "0")
        assert code == 1
        assert len(words) == 1, words
        assert str(server.data_dir) in words[0]
        assert str(server.pid) in words[0], "the line names the process that has the data"
        said = await server.command(ROOM, "send_chat", {"text": "still here"})
        assert said["http_status"] == 200, said


@pytest.mark.parametrize("port", ["gateway", "console"])
async def test_a_port_in_use(tmp_path: Path, port: str) -> None:
    """A port that is taken ends the start with one line that names the setting and the address."""
    async with Server(tmp_path / "data") as server:
        taken = {"gateway": server.gateway_url, "console": server.console_url}[port].rpartition(":")[2]
        other = {"gateway": "console", "console": "gateway"}[port]
        code, words = await run_rival("--data-dir", str(tmp_path / "other"), f"--{port}-port", taken, f"--{other}-port", "0")
        assert code in (1, 2)
        assert len(words) == 1, words
        assert f"{port}.port" in words[0]
        assert taken in words[0]


async def test_the_ready_file(tmp_path: Path) -> None:
    """The ready file says where everything is, once it is."""
    async with Server(tmp_path / "data") as server:
        ready = orjson.loads((tmp_path / "data.ready").read_bytes())
        assert ready["pid"] == server.pid
        assert ready["gateway"] == server.gateway_url
        assert ready["console"] == server.console_url
