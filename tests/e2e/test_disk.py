"""A disk that fills up or breaks under a running server: viewers stay, commands are refused with a code, and it goes on by itself."""

from __future__ import annotations

import asyncio
import resource
import shlex
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.messages.fields import Role
from tests.e2e.viewer import Viewer, enter
from tests.serving import Server

ROOM = "demo"
TEXT = "x" * 180
WRITES_MAX = 2_000
END_S = 30
LEFT_BYTES = 100_000
LIMITS = (
    *("--gateway-commands-per-s", "1000", "--gateway-commands-burst", "10000"),
    *("--gateway-reply-wait-ms", "700", "--console-reply-wait-ms", "700"),
)

Switch = Callable[[], None]


def limited(tmp_path: Path) -> tuple[Server, Switch, Switch]:
    """A server that may not write beyond a file size, which is an I/O error in the middle of a COMMIT."""
    server = Server(tmp_path / "data", *LIMITS)

    def obstruct() -> None:
        size = max((server.data_dir / (FILE_NAME + end)).stat().st_size for end in ("", "-wal"))
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size + LEFT_BYTES, resource.RLIM_INFINITY))

    def relieve() -> None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return server, obstruct, relieve


def full(tmp_path: Path) -> tuple[Server, Switch, Switch]:
    """A server whose data lie on a small file system of its own, which is filled up."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "dev-secret").write_text("s" * 64)  # hidden from the server by its mount, so it gets the secret in a file beside it
    secret_file = tmp_path / "secret"
    secret_file.write_text("s" * 64)
    mount = f'mount -t tmpfs -o size=8m tmpfs {shlex.quote(str(data_dir))} && exec "$@"'
    within = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    server = Server(data_dir, *LIMITS, "--auth-secret-file", str(secret_file), within=within)

    def ballast() -> Path:
        return Path(f"/proc/{server.pid}/root{data_dir}/ballast")

    def obstruct() -> None:
        with ballast().open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                file.truncate(file.tell() - LEFT_BYTES)

    return server, obstruct, lambda: ballast().unlink()


async def can_mount() -> bool:
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt")
    try:
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    except FileNotFoundError:
        return False
    return await process.wait() == 0


@pytest.mark.journal("embedded", "it is about the disk under the embedded journal's file")
@pytest.mark.parametrize("disk", ["full", "limited"])
async def test_a_disk_without_room(tmp_path: Path, disk: str) -> None:
    """Viewers stay and may join, commands are refused `unavailable`; with room again the same ids are accepted, each once and nothing is missing."""
    if disk == "full" and not await can_mount():
        pytest.skip("mounting in a name space of one's own is not possible here")
    server, obstruct, relieve = (full if disk == "full" else limited)(tmp_path)
    async with server:
        opened = await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        assert opened["http_status"] == 200, opened
        async with enter(server, ROOM, "mo", Role.moderator) as speaker, enter(server, ROOM, "witness") as witness:
            await speaker.do("set_announcement", text="before")
            obstruct()
            accepted = await write_until_refused(speaker)
            answer = await server.command(ROOM, "set_announcement", {"text": "over HTTP"})
            assert (answer["http_status"], answer["code"]) == (503, "unavailable"), answer
            async with enter(server, ROOM, "late") as late:
                assert late.keyframe["title"] == "Autumn silk"
                assert (await late.ask("send_chat", text="anybody?"))["code"] == "unavailable"
            assert await status(server, "/livez") == 200
            assert await status(server, "/readyz") == 503
            relieve()
            await write_until_accepted(speaker, accepted)
            assert await status(server, "/readyz") == 200
            end = await speaker.do("set_announcement", text="after")
            await witness.until(lambda: witness.cursor >= end)
            texts = [event["text"] for event in witness.events if event["type"] == "announcement_set"]
            assert [text for text in texts if text != "over HTTP"] == [
                "before",
                *accepted,
                "after",
            ]  # the command over HTTP got no outcome
            assert not any(frame["type"] == "skipped" for frame in witness.others)
        log = server.log.read_text()
        assert "Traceback" not in log, log[-4000:]
        assert ("the disk is full" if disk == "full" else "COMMIT failed") in log
        assert await server.stop() == 0


async def write_until_refused(speaker: Viewer) -> list[str]:
    """Announcements until there is no room for one more; gives those that were accepted."""
    accepted: list[str] = []
    while len(accepted) < WRITES_MAX:
        text = f"{len(accepted)} {TEXT}"
        reply = await speaker.ask("set_announcement", f"id-{len(accepted)}", text=text)
        if reply["type"] == "refused":
            assert reply["code"] == "unavailable", reply
            return accepted
        accepted.append(text)
    raise AssertionError("the disk was never full")


async def write_until_accepted(speaker: Viewer, accepted: list[str]) -> None:
    """The command that was refused, again with its id, as a client does."""
    async with asyncio.timeout(END_S):
        text = f"{len(accepted)} {TEXT}"
        while (reply := await speaker.ask("set_announcement", f"id-{len(accepted)}", text=text))["type"] != "accepted":
            assert reply["code"] in ("unavailable", "overloaded"), reply
        accepted.append(text)


async def status(server: Server, path: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(server.console_url + path) as response:
        return response.status
