"""The base of all Locust users: the server, a connection to the room, commands and their answers."""

from __future__ import annotations

import itertools
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import gevent
import orjson
from locust import User, events
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from liveroom.auth.tokens import ANY_ROOM, DEV_SECRET_FILE, make_token
from liveroom.config.schema import AuthConfig
from liveroom.messages.fields import Role

ROOM: Final = os.environ.get("LIVEROOM_LOAD_ROOM", "demo")
HOST: Final = "http://127.0.0.1:8801"
TOKEN_LIFETIME_S: Final = 86_400
HTTP_S: Final = 10.0
REPLY_S: Final = 15.0
#: Refusals by the room's rules, which are no failures of the server: the user waits and goes on, or came too late.
ROOM_REFUSALS: Final = frozenset(
    {
        "slow_mode",
        "muted",
        "envelope_empty",
        "envelope_closed",
        "condition_not_met",
        "sold_out",
        "unpaid_limit",
        "others_first",
        "sale_closed",
        "hold_expired",
        "limit_reached",
    }
)

__all__ = ["ROOM", "RoomUser", "run_id"]

_numbers = itertools.count()
run_id = f"{os.getpid()}-{int(time.time())}"


def _auth() -> AuthConfig:
    secret = os.environ.get("LIVEROOM_AUTH_SECRET", "")
    if not secret:
        file = Path(os.environ.get("LIVEROOM_DATA_DIR", "data")) / DEV_SECRET_FILE
        try:
            secret = file.read_text(encoding="ascii")
        except OSError as error:
            raise SystemExit(f"no secret for tokens: set LIVEROOM_AUTH_SECRET or LIVEROOM_DATA_DIR ({file}: {error.strerror})") from None
    return AuthConfig(secret=secret)


def _token(auth: AuthConfig, user: str, role: Role, room: str = ROOM) -> str:
    return make_token(auth.secret, auth, user=user, room=room, role=role, lifetime_s=TOKEN_LIFETIME_S)


def _http(url: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, None if body is None else orjson.dumps(body), headers)
    with urllib.request.urlopen(request, timeout=HTTP_S) as response:
        answer: dict[str, Any] = orjson.loads(response.read())
        return answer


_target: dict[str, Any] = {}


def find_server(environment: Environment, **_: Any) -> None:
    """Ask the console where the gateway is, and see that the room is open."""
    if isinstance(environment.runner, MasterRunner):
        return
    host = (environment.host or HOST).rstrip("/")
    auth = _auth()
    try:
        _target.update(auth=auth, console_url=host, gateway_url=_http(f"{host}/v1/settings")["gateway_url"])
        _http(f"{host}/v1/rooms/{ROOM}/commands/open_room", {"title": "Load test"}, _token(auth, "locust", Role.platform, ANY_ROOM))
    except urllib.error.HTTPError as error:
        problem = orjson.loads(error.read())
        if problem.get("code") != "room_already_open":
            raise SystemExit(f"{host}: {problem.get('code')}: {problem.get('detail')}") from None
    except OSError as error:
        raise SystemExit(f"{host}: no server answers there: {error}") from None


_test_start: Any = events.test_start
_test_start.add_listener(find_server)


def keep_tagged_users(environment: Environment, **_: Any) -> None:
    """With `--tags` or `--exclude-tags`, take only users that have a task left: Locust would start the others, too, and they would fail."""
    options = environment.parsed_options
    wanted, unwanted = set(getattr(options, "tags", None) or ()), set(getattr(options, "exclude_tags", None) or ())

    def is_left(task: Any) -> bool:
        tags: set[str] = getattr(task, "locust_tag_set", set())
        return (not wanted or bool(tags & wanted)) and not tags & unwanted

    environment.user_classes[:] = [users for users in environment.user_classes if any(map(is_left, users.tasks))]
    if not environment.user_classes:
        raise SystemExit("no user has a task with these tags")


_init: Any = events.init
_init.add_listener(keep_tagged_users)


class RoomUser(User):
    """Somebody in the room: a connection, and a greenlet that reads it."""

    abstract = True
    host = HOST
    role = Role.viewer

    def on_start(self) -> None:
        """Join; the time until the room's state is there is the request `connect`."""
        self.user = f"locust-{run_id}-{next(_numbers)}"
        self._commands = itertools.count()
        self._waiting: dict[str, gevent.event.AsyncResult[dict[str, Any]]] = {}
        self._leaving = False
        started = time.perf_counter()
        try:
            self._socket: ClientConnection = connect(
                f"{_target['gateway_url']}/v1/rooms/{ROOM}",
                additional_headers={"Authorization": f"Bearer {_token(_target['auth'], self.user, self.role)}"},
                compression=None,
                max_size=4 * 1024 * 1024,
                close_timeout=2,
            )
            while orjson.loads(self._socket.recv(timeout=REPLY_S))["type"] != "keyframe":
                pass
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            self._report("connect", started, error)
            raise StopUser from None
        self._report("connect", started)
        self._joined_at = time.perf_counter()
        self._reader = gevent.spawn(self._read)

    def on_stop(self) -> None:
        """Leave."""
        self._leaving = True
        if hasattr(self, "_reader"):
            self._socket.close()
            self._reader.join(timeout=5)
            self._reader.kill()

    def on_event(self, event: dict[str, Any]) -> None:
        """Something happened."""

    def send(self, name: str, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and give its reply; the time until then is the request `name`."""
        id = f"c{next(self._commands)}"
        answer = self._waiting[id] = gevent.event.AsyncResult()
        started = time.perf_counter()
        try:
            self._socket.send(orjson.dumps({"id": id, "command": command}), text=True)
            reply: dict[str, Any] = answer.get(timeout=REPLY_S)
        except (ConnectionClosed, gevent.Timeout) as error:
            if not self._leaving:
                self._report(name, started, error if isinstance(error, Exception) else TimeoutError("no answer in time"))
            raise StopUser from None
        finally:
            del self._waiting[id]
        refused = reply["type"] == "refused" and reply["code"] not in ROOM_REFUSALS
        self._report(name, started, RuntimeError(f"{reply['code']}: {reply['detail']}") if refused else None)
        return reply

    def post(self, command: str, fields: dict[str, Any]) -> None:
        """Send a command over HTTP as the platform; the time until its answer is the request `command`."""
        started = time.perf_counter()
        url, token = f"{_target['console_url']}/v1/rooms/{ROOM}/commands/{command}", _token(_target["auth"], "locust", Role.platform, ANY_ROOM)
        failed: Exception | None = None
        try:
            _http(url, fields, token)
        except urllib.error.HTTPError as error:
            problem = orjson.loads(error.read())
            failed = None if problem["code"] in ROOM_REFUSALS else RuntimeError(f"{problem['code']}: {problem['detail']}")
        except OSError as error:
            failed = error
        self._report(command, started, failed, kind="HTTP")

    def _read(self) -> None:
        started = time.perf_counter()
        try:
            for text in self._socket:
                frame = orjson.loads(text)
                if frame["type"] == "delta":
                    self._on_events(frame["events"])
                elif answer := self._waiting.get(frame.get("id", "")):
                    answer.set(frame)
        except ConnectionClosed as closed:
            if not self._leaving:
                self._report("connection", started, closed)

    def _on_events(self, happened: list[dict[str, Any]]) -> None:
        """How long it took from the sender, when the sender was one of us on this machine."""
        for event in happened:
            self.on_event(event)
            words = event.get("text", "").split(" ")
            if event["type"] not in ("chat_sent", "announcement_set") or len(words) != 3 or words[:2] != ["locust", run_id]:
                continue
            sent_at = int(words[2]) / 1e9
            if sent_at >= self._joined_at:  # earlier lines are the history in the keyframe
                self._report(f"delivery {event['type']}", sent_at, now=time.perf_counter())

    def _report(self, name: str, started: float, error: BaseException | None = None, now: float | None = None, kind: str = "WS") -> None:
        took_ms = ((time.perf_counter() if now is None else now) - started) * 1000
        self.environment.events.request.fire(request_type=kind, name=name, response_time=took_ms, response_length=0, exception=error, context={})
