"""A server whose journal vanishes acknowledges nothing more, logs the reason and ends; the next start makes no empty one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp
import orjson
import pytest
import websockets

from liveroom.cli import main
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.writer import LOOKED_S
from tests.serving import Server

pytestmark = pytest.mark.journal("embedded", "it is about the files of the embedded journal")

ROOM = "demo"
END_S = 20


async def said(server: Server, text: str) -> str:
    """The outcome of a chat line: accepted, a refusal's code, or that the server is gone."""
    try:
        answer = await server.command(ROOM, "send_chat", {"text": text})
    except aiohttp.ClientError:
        return "gone"
    return str(answer.get("code", "accepted"))


async def ended(server: Server) -> int:
    """The exit code of a server that ends by itself; until then nothing is accepted."""
    assert server._process is not None
    ending = asyncio.create_task(server._process.wait())
    async with asyncio.timeout(END_S):
        while not ending.done():
            assert await said(server, "is anybody there") in ("unavailable", "gone")
            await asyncio.sleep(0.05)
    return ending.result()


async def refused_start(server: Server) -> str:
    """The message of a start that ends with exit code 1."""
    with pytest.raises(RuntimeError, match="ended with 1") as failed:
        await server.start()
    return str(failed.value)


@pytest.mark.parametrize("files", [("", "-wal", "-shm"), ("",)])
async def test_a_removed_journal_ends_its_server(tmp_path: Path, files: tuple[str, ...]) -> None:
    """`rm journal.sqlite*`: exit code 1 with words; the next start says what was there; with the files back it has all that was acknowledged."""
    async with Server(tmp_path / "data", "--gateway-drain-ms", "500") as server:
        await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        acknowledged = 0
        while acknowledged < 5:
            assert await said(server, f"line {acknowledged}") == "accepted"
            acknowledged += 1
        kept = {end: (server.data_dir / (FILE_NAME + end)).read_bytes() for end in ("", "-wal")}
        for end in files:
            (server.data_dir / (FILE_NAME + end)).unlink()
        await asyncio.sleep(LOOKED_S)  # a commit that soon after another one does not look again
        assert await said(server, "too late") in ("unavailable", "gone")
        assert await ended(server) == 1
        words = server.log.read_text()
        assert f"liveroom: {server.data_dir / FILE_NAME}: was removed while it was in use" in words
        assert words.count("Traceback") <= 4, "at most one of each partition that stopped"
        assert "is missing, but journal" in await refused_start(server)
        for end, content in kept.items():
            (server.data_dir / (FILE_NAME + end)).write_bytes(content)
        await server.start()
        state = await server.command(ROOM, "send_chat", {"text": "again"})
        assert state["seq"] == acknowledged + 2, "the room, its lines, and this one"


async def test_an_older_copy_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """The file of yesterday in place of today's: the start names the command that takes it on purpose."""
    async with Server(tmp_path / "data") as server:
        await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        await server.stop()
        older = (server.data_dir / FILE_NAME).read_bytes()
        await server.start()
        assert await said(server, "one more") == "accepted"
        await server.stop()
        (server.data_dir / FILE_NAME).write_bytes(older)
        words = await refused_start(server)
        assert "entries of it had been written" in words
        assert "liveroom restore-journal" in words


async def test_a_restored_copy_is_another_stream(tmp_path: Path) -> None:
    """A page that stayed open resumes with its old cursor: it gets `skipped` and a keyframe, and follows."""
    async with Server(tmp_path / "data") as server:
        await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        await server.stop()
        copy = tmp_path / "copy.sqlite"
        shutil.copy(server.data_dir / FILE_NAME, copy)
        await server.start()
        for line in range(3):
            assert await said(server, f"line {line}") == "accepted"
        url = f"{server.gateway_url}/v1/rooms/{ROOM}?token={server.token(ROOM, 'bob')}"
        async with websockets.connect(url) as page:
            stream_id = orjson.loads(await page.recv())["stream_id"]
            cursor = orjson.loads(await page.recv())["seq"]
        await server.stop()
        main(["restore-journal", str(copy), "--data-dir", str(server.data_dir)])
        await server.start()
        assert cursor == 4
        for seq in (1, cursor):  # one that the copy has, too, and one that it does not have
            async with asyncio.timeout(END_S), websockets.connect(f"{url}&stream_id={stream_id}&seq={seq}") as page:
                joined, skipped, keyframe = [orjson.loads(await page.recv()) for _ in range(3)]
                assert not joined["resumed"]
                assert (skipped["type"], keyframe["type"]) == ("skipped", "keyframe")
                assert joined["stream_id"] == keyframe["stream_id"] != stream_id
                text = f"after {seq}"
                assert await said(server, text) == "accepted"
                while text not in str(await page.recv()):
                    pass
