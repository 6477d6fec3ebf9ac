"""The command line: servers, tokens, tools for the journal and for settings; `liveroom --help` lists the commands."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import gc
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from liveroom import __version__
from liveroom.accounting.commands import add_accounting_commands
from liveroom.auth.tokens import ANY_ROOM, TokenChecker, load_secret, make_token
from liveroom.config.schema import Config
from liveroom.config.settings import Setting, load_config, settings, to_toml
from liveroom.journal.tail import tail
from liveroom.messages.errors import BadConfig, JournalDamaged, LiveroomError
from liveroom.messages.fields import Role
from liveroom.messages.text import escaped
from liveroom.planning.commands import add_planning_command
from liveroom.process.open_files import files_needed, fit_connections, raise_open_files_limit, tell_fit
from liveroom.process.output import write_line
from liveroom.process.roles import ProcessRole, console_url, gateway_url, local_url
from liveroom.process.workers import WorkerSlot
from liveroom.telemetry.logs import set_up_logs
from liveroom.workers.workers import settings_digest, worker_config

# Each command imports its own modules when it runs, because importing all of them takes a second.
if TYPE_CHECKING:
    from liveroom.app import App
    from liveroom.demo import Demo

__all__ = ["main", "parser"]

#: Exit codes: 1 = the command failed, 2 = its arguments or settings are wrong.
EXIT_FAILED = 1
EXIT_USAGE = 2

DAY_S = 86_400
#: Time between switches of Python's threads. The event loop waits while another thread, such as one that reads a ledger, has its turn.
#: Python's default of 5 ms would be added to each system call of the loop.
SWITCH_S = 0.000_5
HEALTH_TIMEOUT_S = 5
#: The beginning of the names of arguments that are settings.
SETTING = "setting:"

#: The roles that can run as separate processes, with their descriptions.
PARTS = {
    ProcessRole.engine: "only the engine, which decides the commands of its partitions",
    ProcessRole.gateway: "only a gateway, which holds the connections of viewers",
    ProcessRole.console: "only a console, which serves the HTTP API and the pages",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. A failure is a line on standard error, or one for each wrong setting, and an exit code."""
    options = parser().parse_args(arguments)
    try:
        config = load_config(_config_file(options), os.environ, _flags(options))
        options.run(config, options)
    except BadConfig as error:
        _fail(EXIT_USAGE, *error.mistakes)
    except LiveroomError as error:
        _fail(EXIT_FAILED, str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has exited, such as `| head`
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(code: int, *reasons: str) -> None:
    for reason in reasons:
        print(escaped(f"liveroom: {reason}"), file=sys.stderr)
    sys.exit(code)


# serve


def _serve(config: Config, options: argparse.Namespace) -> None:
    set_up_logs(config.logs)
    try:
        _run(_serve_until_stopped(config, options))
    except OSError as error:
        raise LiveroomError(str(error)) from None


def _say(words: str) -> None:
    """Print words; if that fails, for example on a full disk, the server goes on without output."""
    try:
        print(words, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would write the unwritten rest again at exit, and fail


def _say_nothing(words: str) -> None:
    """A worker leaves the words to its main process."""


def _run(main: Any) -> None:
    sys.setswitchinterval(SWITCH_S)
    try:
        import uvloop
    except ImportError:  # no wheel for this platform: asyncio's own loop does the same, slower
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _serve_until_stopped(config: Config, options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    from liveroom.app import App

    slot = WorkerSlot(Path(config.liveroom.data_dir), options.worker) if options.worker else None
    settings_read = settings_digest(config)
    if slot is not None:
        config = worker_config(config, slot, options.worker_port)
    gateway = ProcessRole.gateway in options.parts and (slot is not None or not config.gateway.workers)
    allowed = raise_open_files_limit(files_needed(config, gateway=gateway))
    wanted, config = config, fit_connections(config, allowed, gateway=gateway)
    app = App(config, options.parts, worker_command=_worker_command(options), slot=slot, settings=settings_read)
    _heed_hangups(app, stopping)
    if not await _started_unless(stopping, app):
        return
    gc.collect()
    gc.freeze()  # objects from the start stay forever, so full collections, which stop everything, can skip them
    tell_fit(wanted, config, allowed, gateway=gateway)
    demo: Demo | None = None
    try:
        say = _say if slot is None else _say_nothing
        say(f"liveroom {__version__}: {_addresses(app, options.parts)}")
        if options.demo:
            from liveroom.demo import Demo

            demo = Demo(config, gateway_url=app.gateway_url, console_url=app.console_url)
            _say(await demo.start())
        if options.ready_file:
            _write_ready_file(options.ready_file, app)
        damage = await _stopped_or_damaged(stopping, app)
        say(f"liveroom: {'the journal is damaged: ' if damage else ''}draining; a second Ctrl-C stops at once")
        _let_signals_end_it()
    finally:
        if demo is not None:
            await demo.stop()
        await app.stop()
    if damage is not None:
        raise damage


def _worker_command(options: argparse.Namespace) -> Callable[[WorkerSlot, int], list[str]]:
    """The command of a worker: it reads the settings of this process from the same places."""
    flags = [f"{setting.flag}={text}" for setting in settings() if (text := getattr(options, _dest(setting), None)) is not None]
    if (file := _config_file(options)) is not None:
        flags.append(f"--config={file}")

    def command(slot: WorkerSlot, port: int) -> list[str]:
        own = (f"--worker={slot.number}", f"--worker-port={port}", f"--ready-file={slot.ready_file}")
        return [sys.executable, "-m", "liveroom", "gateway", *flags, *own]

    return command


async def _stopped_or_damaged(stopping: asyncio.Event, app: App) -> JournalDamaged | None:
    """Wait for the first of them; returns the damage, if there is any."""
    asked, damaged = asyncio.create_task(stopping.wait()), asyncio.create_task(app.until_damaged())
    await asyncio.wait((asked, damaged), return_when=asyncio.FIRST_COMPLETED)
    for task in (asked, damaged):
        task.cancel()
    return None if stopping.is_set() else damaged.result()


def _heed_hangups(app: App, stopping: asyncio.Event) -> None:
    """SIGHUP reads the certificate again. It stops the process if its terminal is gone."""
    terminal = next((number for number in range(3) if os.isatty(number)), None)

    def hung_up() -> None:
        if terminal is not None and not _is_there(terminal):
            stopping.set()
        else:
            app.reload()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


def _is_there(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        return False
    return True


async def _started_unless(stopping: asyncio.Event, app: App) -> bool:
    """Start the app. A stop before it is ready, for example without brokers, does not wait for the start."""
    starting, asked = asyncio.create_task(app.start()), asyncio.create_task(stopping.wait())
    await asyncio.wait((starting, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not starting.done():
        _say("liveroom: stopping before it was ready; a second Ctrl-C stops at once")
        _let_signals_end_it()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False
    await starting
    return True


def _let_signals_end_it() -> None:
    """Restore the signals' defaults."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)


def _addresses(app: App, parts: frozenset[ProcessRole]) -> str:
    """The addresses of the process, in words."""
    places = [f"gateway {app.gateway_url}"] if ProcessRole.gateway in parts else []
    places.append(f"{'console' if ProcessRole.console in parts else 'health and metrics'} {app.console_url}")
    return ", ".join(places)


def _write_ready_file(path: Path, app: App) -> None:
    secret = Path(app.config.liveroom.data_dir) / "dev-secret"
    ready = {"pid": os.getpid(), "gateway": app.gateway_url, "console": app.console_url, "secret_file": str(secret) if secret.exists() else ""}
    part = path.with_name(path.name + ".part")
    part.write_bytes(orjson.dumps(ready))
    part.replace(path)


def _demo(config: Config, options: argparse.Namespace) -> None:
    set_up_logs(config.logs)
    gateway, console = options.gateway_url or gateway_url(config), options.console_url or console_url(config)
    try:
        _run(_demo_until_stopped(config, gateway, console))
    except OSError as error:
        raise LiveroomError(f"{console}: {error}") from None


async def _demo_until_stopped(config: Config, gateway: str, console: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    from liveroom.demo import Demo

    demo = Demo(config, gateway_url=gateway, console_url=console)
    _say(await demo.start())
    await stopping.wait()
    await demo.stop()


# token, tail, check-config, check-health, default-config


def _token(config: Config, options: argparse.Namespace) -> None:
    if options.room == ANY_ROOM and options.role != Role.platform.value:
        raise BadConfig("--room '*': only a platform token may be for every room")
    secret = load_secret(config, make=False)  # no server would accept tokens of a new secret
    token = make_token(
        secret,
        config.auth,
        user=options.user,
        room=options.room,
        role=Role(options.role),
        lifetime_s=options.lifetime_s,
        name=options.name,
        buyer=options.buyer,
    )
    TokenChecker(config.auth, secret).check(token)  # raises the refusal of a server
    print(token)


def _tail(config: Config, options: argparse.Namespace) -> None:
    found = False
    for line in tail(config, options.room, from_seq=options.from_seq, follow=options.follow):
        found = True
        write_line(line)
        if options.follow:
            sys.stdout.flush()
    if not found:
        raise LiveroomError(f"room {options.room!r} has no event from seq {options.from_seq} on in this journal")


def _check_config(config: Config, _: argparse.Namespace) -> None:
    from liveroom.app import check_files

    check_files(config)
    print("the settings are fine")


def _check_health(config: Config, options: argparse.Namespace) -> None:
    """Health check of a container with one process, which answers at the console's address or at that of `[ops]`."""
    path = "/readyz" if options.ready else "/livez"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ignore proxies of the environment
    failures = []
    for where in (config.console, config.ops):
        url = local_url("http", where.host, where.port) + path
        try:
            with opener.open(url, timeout=HEALTH_TIMEOUT_S) as answer:
                return print(f"{url}: {answer.read().decode().strip()}")
        except urllib.error.HTTPError as error:
            with error:
                raise LiveroomError(f"{url}: {error.code} {error.read().decode(errors='replace').strip()}") from None
        except OSError as error:
            failures.append(f"{url}: {getattr(error, 'reason', error)}")
    raise LiveroomError("; ".join(failures))


def _default_config(_: Config, __: argparse.Namespace) -> None:
    print(to_toml(Config()), end="")


# Arguments


class _Parser(argparse.ArgumentParser):
    """A parser that suggests a flag in place of an unknown one."""

    def error(self, message: str) -> NoReturn:
        flags = [setting.flag for setting in settings() if not setting.secret]
        if message.startswith("unrecognized arguments:"):
            near = [match for word in message.split() for match in difflib.get_close_matches(word.partition("=")[0], flags, n=1, cutoff=0.75)]
            message += f"; did you mean {', '.join(near)}?" if near else ""
        super().error(message)


def parser() -> argparse.ArgumentParser:
    """Every command and its flags."""
    top = _Parser(prog="liveroom", description="The real-time backend of live-commerce rooms.")
    top.add_argument("--version", action="version", version=f"liveroom {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    common: dict[str, Any] = {"parents": [_settings_unshown()], "epilog": "Every setting is a flag here too: `liveroom serve --help` lists them."}

    serve = commands.add_parser("serve", help="run gateway, engine and console in one process")
    serve.add_argument("--demo", action="store_true", help="open a demo room with simulated viewers and print links to it")
    serve.add_argument("--ready-file", type=Path, metavar="FILE", help="write addresses and pid to this file as JSON when the server is ready")
    serve.add_argument("--workers", dest=f"{SETTING}gateway:workers", metavar="N", help="processes that hold the viewers (gateway.workers)")
    serve.set_defaults(run=_serve, parts=frozenset(ProcessRole), worker=0)

    for part, words in PARTS.items():
        role = commands.add_parser(part.value, help=f'run {words} (journal.kind = "kafka")', **common)
        role.add_argument("--ready-file", type=Path, metavar="FILE", help="write addresses and pid to this file as JSON when the process is ready")
        role.set_defaults(run=_serve, parts=frozenset({part}), demo=False, worker=0)
        if part is ProcessRole.gateway:  # a worker is started by its main process alone
            role.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
            role.add_argument("--worker-port", type=int, default=0, help=argparse.SUPPRESS)

    demo = commands.add_parser("demo", help="open the demo room in a running server, with simulated viewers", **common)
    demo.add_argument("--gateway-url", default="", help="default: by the settings")
    demo.add_argument("--console-url", default="", help="default: by the settings")
    demo.set_defaults(run=_demo)

    token = commands.add_parser("token", help="create a token with the shared secret", **common)
    token.add_argument("--room", required=True, help="room id; '*' for a platform token for every room")
    token.add_argument("--user", required=True, help="user id (the token's `sub`)")
    token.add_argument("--role", default="viewer", choices=[role.value for role in Role])
    token.add_argument("--name", default="", help="name shown with the user's messages")
    token.add_argument("--buyer", action="store_true", help="mark the user as a buyer, whose chat ranks higher")
    token.add_argument("--lifetime-s", type=int, default=DAY_S, help="seconds until the token expires (default: a day)")
    token.set_defaults(run=_token)

    tailing = commands.add_parser("tail", help="print a room's events as JSON lines, also while the server runs", **common)
    tailing.add_argument("room", help="room id")
    tailing.add_argument("--from-seq", type=int, default=0, help="first seq to print")
    tailing.add_argument("--follow", "-f", action="store_true", help="keep printing new events")
    tailing.set_defaults(run=_tail)

    add_accounting_commands(commands, common)
    add_planning_command(commands, common)

    check = commands.add_parser("check-config", help="check the settings and list the mistakes", **common)
    check.set_defaults(run=_check_config)

    health = commands.add_parser("check-health", help="check that the process with these settings is alive", **common)
    health.add_argument("--ready", action="store_true", help="check that it is ready, too")
    health.set_defaults(run=_check_health)

    default = commands.add_parser("default-config", help="print every setting with its default as a TOML file", **common)
    default.set_defaults(run=_default_config)

    _add_settings(serve, shown=True)
    return top


def _settings_unshown() -> argparse.ArgumentParser:
    """A parent parser with every setting as a flag, hidden from the help."""
    common = argparse.ArgumentParser(add_help=False)
    _add_settings(common, shown=False)
    return common


def _add_settings(parser: argparse.ArgumentParser, *, shown: bool) -> None:
    """Add every setting as a flag; `shown` includes it in the help."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings (or LIVEROOM_CONFIG)")
    if shown:
        parser.usage = f"{parser.prog} [-h] [--demo] [--ready-file FILE] [--config FILE] [--SETTING VALUE ...]"
    group: argparse._ActionsContainer = parser
    section = ""
    for setting in settings():
        if setting.secret:  # all users of the machine can read command lines
            continue
        words = argparse.SUPPRESS
        if shown:
            words = f"{setting.description} ({setting.expected}; default: {_default_words(setting)})".replace("%", "%%")
            if setting.section != section:
                section = setting.section
                group = parser.add_argument_group(f"settings of [{section}]")
        group.add_argument(setting.flag, dest=_dest(setting), metavar="VALUE", help=words)


def _default_words(setting: Setting) -> str:
    value = ",".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
    return (value.lower() if isinstance(setting.default, bool) else value) or "none"


def _dest(setting: Setting) -> str:
    return f"{SETTING}{setting.section}:{setting.name}"


def _flags(options: argparse.Namespace) -> dict[tuple[str, str], str]:
    given = ((s, getattr(options, _dest(s), None)) for s in settings())
    return {(s.section, s.name): text for s, text in given if text is not None}


def _config_file(options: argparse.Namespace) -> Path | None:
    named = options.config or os.environ.get("LIVEROOM_CONFIG")
    return Path(named) if named else None
