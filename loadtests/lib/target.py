"""The server under load: one started for the test, or one that runs already."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from liveroom.accounting.statement import Statement
from liveroom.auth.tokens import ANY_ROOM, make_token
from liveroom.config.schema import AuthConfig
from liveroom.config.settings import load_config
from liveroom.messages.fields import Role

__all__ = ["LIVEROOM", "OwnServer", "Target", "TargetError", "free_ports", "given_server", "ledger_of", "own_server", "raise_file_limit"]

START_S: Final = 60.0
STOP_S: Final = 30.0
HTTP_S: Final = 30.0
TOKEN_LIFETIME_S: Final = 86_400
#: The command that runs `liveroom`.
LIVEROOM: Final = ("-m", "liveroom")
#: Lines of the server's own words that are shown when it does not start.
LOG_LINES_SHOWN: Final = 5
#: Below the range that Linux gives to clients.
PORTS: Final = range(16_000, 32_000)


class TargetError(Exception):
    """The server cannot be had or refused a command; the text says why."""


class Target(Struct):
    """A server: its addresses, what tokens are signed with, and its process when it runs on this machine; `own` when it is ours."""

    gateway_url: str
    console_url: str
    auth: AuthConfig
    pid: int | None = None
    own: OwnServer | None = None

    def token(self, user: str, room: str, role: Role = Role.viewer, name: str = "") -> str:
        """A token for one room."""
        return make_token(self.auth.secret, self.auth, user=user, room=room, role=role, lifetime_s=TOKEN_LIFETIME_S, name=name)

    async def command(self, room: str, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command over HTTP as the platform. Raises `TargetError` with the refusal's code."""
        return await self._json(f"/v1/rooms/{room}/commands/{command}", fields)

    async def open_room(self, room: str, title: str) -> None:
        """Open a room; one that is open already will do."""
        try:
            await self.command(room, "open_room", title=title)
        except TargetError as error:
            if not str(error).startswith("room_already_open"):
                raise

    async def room(self, room: str) -> dict[str, Any]:
        """The room's public state. Raises `TargetError`."""
        return await self._json(f"/v1/rooms/{room}")

    async def ledger(self, room: str) -> Statement:
        """The room's accounts. Raises `TargetError`."""
        return msgspec.convert(await self._json(f"/v1/rooms/{room}/ledger"), Statement)

    async def metric(self, name: str) -> dict[str, float]:
        """A metric of this server's process, by the value of its label (empty without one). Raises `TargetError`."""
        text = (await asyncio.to_thread(self._http, "/metrics")).decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {next(iter(sample.labels.values()), ""): sample.value for sample in samples if sample.name == name}

    async def _json(self, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await asyncio.to_thread(self._http, path, fields))
        return answer

    def _http(self, path: str, fields: dict[str, Any] | None = None) -> bytes:
        """POST of `fields`, GET without."""
        token = self.token("load-test", ANY_ROOM, Role.platform)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.console_url + path, None if fields is None else orjson.dumps(fields), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=HTTP_S) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            raise TargetError(_problem(error)) from None
        except (OSError, ValueError) as error:
            raise TargetError(f"{self.console_url}: {error}") from None


async def ledger_of(target: Target, room: str) -> tuple[Statement | None, str]:
    """A room's ledger, or what is wrong with it. Raises `TargetError` when it cannot be had."""
    try:
        return await target.ledger(room), ""
    except TargetError as error:
        if not str(error).startswith("ledger_broken"):
            raise
        return None, str(error)


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        problem = orjson.loads(error.read())
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


class OwnServer:
    """A server of ours; it keeps its ports and its data when it is killed and started again."""

    def __init__(self, directory: Path, settings: Sequence[str], program: Sequence[str] = LIVEROOM) -> None:
        self._program = tuple(program)
        self.data_dir = directory / "data"
        self._ready_file = directory / "ready.json"
        self.log_file = directory / "log.txt"
        gateway_port, console_port = islice(free_ports(), 2)
        ports = ("--gateway-port", str(gateway_port), "--console-port", str(console_port))
        self._flags = (*("--mode", "dev", "--data-dir", str(self.data_dir), "--gateway-drain-ms", "0", "--logs-level", "warning"), *ports, *settings)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Target:
        """Start and wait until it is ready. Raises `TargetError`."""
        await self.launch()
        return await self.until_ready()

    async def launch(self) -> None:
        """Start the process and wait for nothing."""
        self._ready_file.unlink(missing_ok=True)
        environ = {name: text for name, text in os.environ.items() if not name.startswith("LIVEROOM_")}
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._program, "serve", *self._flags, "--ready-file", str(self._ready_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                start_new_session=True,  # Ctrl-C is for us; we stop the server when we are done with it
            )

    async def until_ready(self) -> Target:
        """Wait until what was launched is ready. Raises `TargetError`."""
        process, loop = self._process, asyncio.get_running_loop()
        assert process is not None
        deadline_s = loop.time() + START_S
        while not self._ready_file.exists():
            if process.returncode is not None or loop.time() > deadline_s:
                raise TargetError(f"the server did not start: {self.last_words()}")
            await asyncio.sleep(0.05)
        return self._ready()

    def _ready(self) -> Target:
        ready = orjson.loads(self._ready_file.read_bytes())
        secret = Path(ready["secret_file"]).read_text(encoding="ascii")
        return Target(ready["gateway"], ready["console"], AuthConfig(secret=secret), ready["pid"], self)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()
            raise

    @property
    def pid(self) -> int:
        """The pid of the process that was launched last."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    def last_words(self) -> str:
        """The end of its log."""
        return " | ".join(self.log_file.read_text(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:]) or "it said nothing"


@asynccontextmanager
async def own_server(settings: Sequence[str] = (), program: Sequence[str] = LIVEROOM) -> AsyncIterator[Target]:
    """A server of our own with a temporary data directory and free ports; `settings` are further flags. Raises `TargetError`."""
    with tempfile.TemporaryDirectory(prefix="liveroom-load-") as directory:
        server = OwnServer(Path(directory), settings, program)
        try:
            yield await server.start()
        finally:
            await server.stop()


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on, of those that no client is given: while a server is away its port must not be taken."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the server: ignore connections in TIME_WAIT
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


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
