"""The server under load: one started for the test, or one that runs already."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from liveroom.config import AuthConfig, load_config
from liveroom.messages.fields import Role
from liveroom.tokens import ANY_ROOM, make_token

__all__ = ["ProcessMeter", "Target", "TargetError", "given_server", "own_server", "raise_file_limit"]

START_S: Final = 60.0
STOP_S: Final = 30.0
HTTP_S: Final = 30.0
TOKEN_LIFETIME_S: Final = 86_400
#: Lines of the server's own words that are shown when it does not start.
LOG_LINES_SHOWN: Final = 5


class TargetError(Exception):
    """The server cannot be had or refused a command; the text says why."""


class Target(Struct, frozen=True):
    """A server: its addresses, what tokens are signed with, and its process when it runs on this machine."""

    gateway_url: str
    console_url: str
    auth: AuthConfig
    pid: int | None = None

    def token(self, user: str, room: str, role: Role = Role.viewer, name: str = "") -> str:
        """A token for one room."""
        return make_token(self.auth.secret, self.auth, user=user, room=room, role=role, lifetime_s=TOKEN_LIFETIME_S, name=name)

    async def command(self, room: str, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command over HTTP as the platform. Raises `TargetError` with the refusal's code."""
        return await asyncio.to_thread(self._post, f"/v1/rooms/{room}/commands/{command}", fields)

    async def open_room(self, room: str, title: str) -> None:
        """Open a room; one that is open already will do."""
        try:
            await self.command(room, "open_room", title=title)
        except TargetError as error:
            if not str(error).startswith("room_already_open"):
                raise

    def _post(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        token = self.token("load-test", ANY_ROOM, Role.platform)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.console_url + path, msgspec.json.encode(fields), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=HTTP_S) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise TargetError(_problem(error)) from None
        except (OSError, ValueError) as error:
            raise TargetError(f"{self.console_url}: {error}") from None


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(error)
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code} from {error.url}"


def given_server(gateway_url: str, console_url: str, secret_file: Path | None, pid: int | None) -> Target:
    """A server that runs already; `LIVEROOM_AUTH_*` say how its tokens are signed. Raises `TargetError`, `BadConfig`."""
    auth = load_config(None, {name: text for name, text in os.environ.items() if name.startswith("LIVEROOM_AUTH_")}, {}).auth
    file = secret_file or (Path(auth.secret_file) if auth.secret_file else None)
    if file is not None:
        try:
            auth = msgspec.structs.replace(auth, secret=file.read_text(encoding="ascii").strip(), secret_file="")
        except (OSError, UnicodeDecodeError) as error:
            raise TargetError(f"{file}: the secret cannot be read: {error}") from None
    if not auth.secret:
        raise TargetError("a running server's tokens need its secret: --token-secret-file or LIVEROOM_AUTH_SECRET")
    return Target(gateway_url.rstrip("/"), console_url.rstrip("/"), auth, pid)


@asynccontextmanager
async def own_server(settings: Sequence[str] = ()) -> AsyncIterator[Target]:
    """A server of our own with a temporary data directory and free ports; `settings` are further flags. Raises `TargetError`."""
    with tempfile.TemporaryDirectory(prefix="liveroom-load-") as directory:
        ready_file = Path(directory) / "ready.json"
        log_file = Path(directory) / "log.txt"
        flags = ["--mode", "dev", "--data-dir", str(Path(directory) / "data"), "--gateway-port", "0", "--console-port", "0"]
        quick = ["--gateway-drain-ms", "0", "--logs-level", "warning"]
        environ = {name: text for name, text in os.environ.items() if not name.startswith("LIVEROOM_")}
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "liveroom", "serve", *flags, *quick, "--ready-file", str(ready_file), *settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                start_new_session=True,  # Ctrl-C is for us; we stop the server when we are done with it
            )
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_S
        try:
            while (target := _ready(ready_file)) is None:
                if process.returncode is not None or loop.time() > deadline_s:
                    raise TargetError(f"the server did not start: {_last_words(log_file)}")
                await asyncio.sleep(0.05)
            yield target
        finally:
            await _stop(process)


def _ready(ready_file: Path) -> Target | None:
    if not ready_file.exists():
        return None
    ready = json.loads(ready_file.read_text(encoding="utf-8"))
    secret = Path(ready["secret_file"]).read_text(encoding="ascii")
    return Target(ready["gateway"], ready["console"], AuthConfig(secret=secret), ready["pid"])


def _last_words(log_file: Path) -> str:
    return " | ".join(log_file.read_text(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:]) or "it said nothing"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise


class ProcessMeter:
    """Reads a process' CPU time and memory from /proc; where there is none, or no process is given, everything is `None`."""

    def __init__(self, pid: int | None) -> None:
        self._stat = Path(f"/proc/{pid}/stat") if pid is not None else None
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.rss_bytes_start = self._fields()[1]
        self.rss_bytes_max = self.rss_bytes_start
        self._cpu_s_start = self._fields()[0]

    def cpu_s(self) -> float | None:
        """CPU time, user and system, since this meter was made."""
        now_s = self._fields()[0]
        return None if now_s is None or self._cpu_s_start is None else now_s - self._cpu_s_start

    def sample(self) -> None:
        """Look at the memory."""
        rss_bytes = self._fields()[1]
        if rss_bytes is not None:
            self.rss_bytes_max = max(rss_bytes, self.rss_bytes_max or 0)

    def _fields(self) -> tuple[float | None, int | None]:
        if self._stat is None:
            return None, None
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None, None
        return (int(fields[11]) + int(fields[12])) * self._tick_s, int(fields[21]) * self._page_bytes


def raise_file_limit(needed: int) -> None:
    """Allow `needed` open files, for this process and those it starts. Raises `TargetError` when the system does not."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard))
    except (OSError, ValueError) as error:
        raise TargetError(f"{needed} open files are needed: {error}") from None
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TargetError(f"{needed} open files are needed and the hard limit is {hard}; raise it with `ulimit -Hn`")
