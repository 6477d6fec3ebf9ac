"""Both clients under one roof: a test gives either of them an address, and reads its reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from liveroom.client import Banned, ClientError, Disconnected, Joined, Reconnecting, connect
from liveroom.features.chat.messages import SendChat

__all__ = ["NODE", "Client", "JavaScript", "Python"]

NODE = shutil.which("node")
HERE = Path(__file__).parent
WAIT_S = 20.0


class Client(Protocol):
    """A client that was told to connect. `gives` is what its token function gives, in turn; `None` = it fails, the last one for good."""

    async def start(self, url: str, *, fixed: str | None = None, gives: list[str | None] | None = None, join_timeout_s: float = 5) -> None:
        """Begin to connect."""

    async def until(self, type: str) -> dict[str, Any]:
        """The next report of `type`: joined, reconnecting, unauthorized, banned, failed (a command) or ended (with `code`)."""

    async def stop(self) -> None:
        """Leave."""


class JavaScript:
    """liveroom.js in a node process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, url: str, *, fixed: str | None = None, gives: list[str | None] | None = None, join_timeout_s: float = 5) -> None:
        options = json.dumps({"url": url, "fixed": fixed, "gives": gives or [], "joinTimeoutMs": join_timeout_s * 1000})
        assert NODE is not None
        self._process = await asyncio.create_subprocess_exec(
            *(NODE, "--experimental-websocket", "--no-warnings", str(HERE / "liveroom_js.mjs"), options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def until(self, type: str) -> dict[str, Any]:
        wanted = {"closed", "replaced"} if type == "ended" else {type}
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            while line := await self._process.stdout.readline():
                told: dict[str, Any] = json.loads(line)
                if told["type"] in wanted:
                    return told
        raise AssertionError(f"the process ended without {type}")

    async def retry_now(self) -> None:
        """The user wants this window back."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"retry\n")
        await self._process.stdin.drain()

    async def say(self, text: str, id: str = "", timeout_s: float = 60) -> None:
        """Send a chat line, under `id` if one is given. Returns when the client has it; an error comes as the report `failed`."""
        assert self._process is not None
        assert self._process.stdin is not None
        order = json.dumps({"text": text, "id": id or None, "timeoutMs": timeout_s * 1000})
        self._process.stdin.write(f"say {order}\n".encode())
        await self._process.stdin.drain()
        await self.until("saying")

    async def ended_by_itself(self) -> None:
        """Nothing is scheduled, so the process has no reason to go on."""
        async with asyncio.timeout(WAIT_S):
            assert self._process is not None
            assert await self._process.wait() == 0

    async def stop(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


class Python:
    """The Python client in a task."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._sayings: set[asyncio.Task[None]] = set()

    async def start(self, url: str, *, fixed: str | None = None, gives: list[str | None] | None = None, join_timeout_s: float = 5) -> None:
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._room = connect(url, "demo", fixed or _giver(gives or []), join_timeout_s=join_timeout_s)
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        # Entering raises after its time although the client would go on: a test that needs longer enters through the first connection.
        try:
            async with self._room as room:
                async for item in room:
                    self._tell(item)
        except Disconnected as end:
            self._told.put_nowait({"type": "ended", "code": end.code, "reason": end.reason})

    def _tell(self, item: object) -> None:
        if isinstance(item, Joined):
            self._told.put_nowait({"type": "joined"})
        elif isinstance(item, Banned):
            self._told.put_nowait({"type": "banned", "untilMs": item.until_ms, "reason": item.reason})
        elif isinstance(item, Reconnecting):
            self._told.put_nowait({"type": "reconnecting", "code": item.code, "delayMs": item.delay_ms, "attempt": item.attempt})
            if item.unauthorized:
                self._told.put_nowait({"type": "unauthorized", "code": item.code})

    async def say(self, text: str, id: str = "", timeout_s: float = 60) -> None:
        """Send a chat line, under `id` if one is given. Returns when the client has it; an error comes as the report `failed`."""

        async def send() -> None:
            self._room._command_timeout_s = timeout_s  # read when a command is sent
            try:
                await self._room.send(SendChat(text), id=id or None)
            except ClientError as error:
                told = {"name": type(error).__name__, "words": str(error)}
                told |= {name: getattr(error, name) for name in ("code", "reason", "sent") if hasattr(error, name)}
                self._told.put_nowait({"type": "failed", "text": text, **told})

        saying = asyncio.create_task(send())
        self._sayings.add(saying)
        saying.add_done_callback(self._sayings.discard)
        await asyncio.sleep(0)  # the command waits in the client now

    async def until(self, type: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while (told := await self._told.get())["type"] != type:
                pass
        return told

    async def ended_by_itself(self) -> None:
        """The client's own task is over."""
        async with asyncio.timeout(WAIT_S):
            assert self._task is not None
            await self._task

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._room.close()


def _giver(gives: list[str | None]) -> Callable[[], str]:
    left = list(gives)

    def token() -> str:
        given = left.pop(0) if len(left) > 1 else left[0]
        if given is None:
            raise OSError("no network")
        return given

    return token
