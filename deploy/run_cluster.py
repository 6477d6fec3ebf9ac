"""`make run-cluster`: a whole cluster on this machine, with the demo room in it.

The cluster has a Kafka broker, two engines, three gateways on one port, a console and the demo's people.
Each is a process of its own on loopback. Ctrl-C ends them in the order in which data flows; a second Ctrl-C ends them at once.
A process that was killed from outside is started again, as systemd or Kubernetes would: `kill -9` an engine and watch another take over.
If a process ends by itself, the end of its log is printed and the rest is ended.

It needs Java 17 or newer and, once, Maven to fetch Kafka: see kafka-local/broker.py.
This file uses the standard library alone; run it with the Python of the environment that has liveroom.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import fcntl
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "kafka-local"))

import broker  # noqa: E402

ENGINES = 2
GATEWAYS = 3
HOST = "127.0.0.1"

START_S = 60
#: Longer than a drain and the last reports after it.
STOP_S = 30
POLL_S = 0.05
#: Parts that were killed from outside are started again this often in all.
RESTARTS_MAX = 50
LAST_LINES = 5

#: Settings that fit one broker and people who watch: a takeover within seconds, a short goodbye.
SETTINGS = {
    "mode": "dev",
    "journal-kind": "kafka",
    "kafka-replication-factor": "1",
    "kafka-min-insync-replicas": "1",
    "kafka-session-ms": "3000",
    "gateway-host": HOST,
    "gateway-share-port": "true",
    "gateway-drain-ms": "1000",
    "console-host": HOST,
    "ops-host": HOST,
}

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):
    """The cluster cannot start or go on; the words say why."""


class Asked:
    """How often somebody asked to stop, by Ctrl-C or a signal."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, *_: object) -> None:
        """Count a signal: the object is a signal handler."""
        self.times += 1


class Part:
    """One process of `liveroom` and the log that it writes."""

    def __init__(self, name: str, home: Path, arguments: Sequence[str], *, out: TextIO | None = None) -> None:
        """`out`: where its standard output goes, otherwise to the log like its errors."""
        self.name = name
        self.log = home / f"{name}.log"
        self._ready_file = home / f"{name}.ready"
        ready_flag = [] if out else ["--ready-file", str(self._ready_file)]
        self._command = [sys.executable, "-m", "liveroom", *arguments, *ready_flag]
        self._out = out
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C comes to us alone; on Linux it does not outlive us."""
        self._ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=self._out or log, stderr=log, start_new_session=True, preexec_fn=_END_WITH_PARENT
            )

    @property
    def pid(self) -> int:
        """Its process' id."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def is_ready(self) -> bool:
        """Whether it can do its work."""
        return self._ready_file.exists()

    def words(self) -> str:
        """Its name, its pid and where it can be reached, once it is ready."""
        ready = json.loads(self._ready_file.read_text(encoding="utf-8"))
        gateway = f"{ready['gateway']}, " if self.name.startswith("gateway") else ""
        page = "pages and HTTP API" if self.name == "console" else "health and metrics"
        return f"{self.name:<10} pid {self.pid:<8} {gateway}{page} {ready['console']}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def how_it_ended(self) -> str:
        """In words."""
        code = self.exit_code
        assert code is not None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} (pid {self.pid}) {how}; the end of {self.log}:\n{_last_lines(self.log)}"


def _linux_end_with_parent() -> Callable[[], None] | None:
    """A function for a new process to run, so that the kernel ends it when this one is killed; `None` outside Linux."""
    if sys.platform != "linux":
        return None
    prctl, set_parent_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_parent_death_signal, signal.SIGTERM)


_END_WITH_PARENT = _linux_end_with_parent()


def run(options: argparse.Namespace, asked: Asked) -> None:
    """Start everything, watch it until somebody asks to stop, end it. Raises `Failed`, `broker.CannotRun`."""
    home: Path = options.data_dir.resolve()
    home.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as ending:  # from the last that was started to the first
        ending.enter_context(_alone(home))
        _check_ports(options)
        ending.callback(_end_broker, home)
        address = _start_broker(home)
        for number in STOP_SIGNALS:
            signal.signal(number, asked)
        groups = _groups(options, home, address)
        try:
            for group in groups:
                ending.callback(_end, group, asked)
                _start(group, asked)
            demo = _demo(options, home, address)
            ending.callback(_end, [demo], asked)
            if not asked.times:
                say(f"logs are in {home}; kill -9 any engine, gateway or the console and watch the rest go on")
                demo.start()
                _watch([*itertools.chain(*groups), demo], home, asked)
        except Failed as failed:
            complain(f"{failed}\n  The rest is ended.")
            sys.exit(1)
        say("ending; a second Ctrl-C ends everything at once")


# The processes


def _groups(options: argparse.Namespace, home: Path, address: str) -> list[list[Part]]:
    """Groups of processes that start together. The first is a single engine, which makes the topics and the secret."""
    flags = _flags(options, home, address)
    names = [f"engine-{n}" for n in range(1, ENGINES + 1)] + [f"gateway-{n}" for n in range(1, GATEWAYS + 1)]
    first, *others = [Part(name, home, [name.partition("-")[0], *flags, "--ops-port", str(options.ops_port + n)]) for n, name in enumerate(names)]
    return [[first], [*others, Part("console", home, ["console", *flags])]]


def _demo(options: argparse.Namespace, home: Path, address: str) -> Part:
    """The simulated people; they print the links."""
    urls = ["--gateway-url", f"ws://{HOST}:{options.gateway_port}", "--console-url", f"http://{HOST}:{options.console_port}"]
    return Part("demo", home, ["demo", *_flags(options, home, address), *urls], out=sys.stdout)


def _flags(options: argparse.Namespace, home: Path, address: str) -> list[str]:
    here = {"data-dir": str(home), "kafka-bootstrap-servers": address, "gateway-port": options.gateway_port, "console-port": options.console_port}
    return [word for name, value in (SETTINGS | here).items() for word in (f"--{name}", str(value))]


def _check_ports(options: argparse.Namespace) -> None:
    """Raises `Failed` for the first port that is taken, or wanted twice."""
    wanted = {"--gateway-port": [options.gateway_port], "--console-port": [options.console_port]}
    wanted["--ops-port"] = list(range(options.ops_port, options.ops_port + ENGINES + GATEWAYS))
    ports_of_all = [port for ports in wanted.values() for port in ports]
    if twice := sorted({port for port in ports_of_all if ports_of_all.count(port) > 1}):
        raise Failed(f"port {twice[0]} is wanted twice; {', '.join(wanted)} have to be apart, the last with the four above it")
    for flag, ports in wanted.items():
        for port in ports:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
                try:
                    probe.bind((HOST, port))
                except (OSError, OverflowError) as error:
                    taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
                    why = "is taken by another program" if taken else f"cannot be had ({error})"
                    raise Failed(f"port {port} {why}; to have another: make run-cluster FLAGS='{flag} {port % 40_000 + 1_000}'") from None


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One cluster a directory. Raises `Failed`."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(f"a cluster runs already on {home}") from None
        yield


def _start_broker(home: Path) -> str:
    data_dir = home / "kafka"
    for left in broker.running(data_dir):
        say(f"ending the broker that an earlier run left behind (pid {left.pid()})")
        broker.stop(data_dir)
    say(f"starting Apache Kafka with its data in {data_dir}")
    address = broker.start(data_dir, 0, HERE / "kafka-local" / "lib")
    for started in broker.running(data_dir):
        say(f"broker     pid {started.pid():<8} {address}")
    return address


def _start(group: Sequence[Part], asked: Asked) -> None:
    """Start some parts and wait until they are ready. Raises `Failed`."""
    waiting = [] if asked.times else list(group)
    for part in waiting:
        part.start()
    deadline = time.monotonic() + START_S
    while waiting and not asked.times:
        for part in list(waiting):
            if part.exit_code is not None:
                raise Failed(part.how_it_ended())
            if part.is_ready():
                waiting.remove(part)
                say(part.words())
        if waiting and time.monotonic() > deadline:
            raise Failed(f"{waiting[0].name} was not ready within {START_S} s; the end of {waiting[0].log}:\n{_last_lines(waiting[0].log)}")
        time.sleep(POLL_S)


# While it runs


def _watch(parts: Sequence[Part], home: Path, asked: Asked) -> None:
    """Until somebody asks to stop. Raises `Failed` when a part ended by itself, or the broker did."""
    restarts = 0
    while not asked.times:
        for part in parts:
            code = part.exit_code
            if code is None:
                continue
            if code >= 0 or restarts == RESTARTS_MAX:
                raise Failed(part.how_it_ended())
            restarts += 1
            ended = f"{part.name} (pid {part.pid}) was ended by {signal.Signals(-code).name}"
            part.start()
            say(f"{ended}; the others go on, and it is started again (pid {part.pid})")
        if not broker.running(home / "kafka"):
            log = broker.brokers_of(home / "kafka")[0].log
            advice = "it is not started again by itself: run this once more, and all goes on"
            raise Failed(f"the broker ended; {advice}; the end of {log}:\n{_last_lines(log)}")
        time.sleep(POLL_S)


# The end


def _end(parts: Sequence[Part], asked: Asked) -> None:
    """SIGTERM to all, and SIGKILL to those that take too long, or when somebody asked a second time."""
    for part in parts:
        part.signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while running := [part for part in parts if part.runs()]:
        if asked.times > 1 or time.monotonic() > deadline:
            for part in running:
                part.signal(signal.SIGKILL)
        time.sleep(POLL_S)


def _end_broker(home: Path) -> None:
    if broker.running(home / "kafka"):
        broker.stop(home / "kafka")
    say("everything has ended")


def say(words: str) -> None:
    """Print one line of progress."""
    print(f"cluster: {words}", flush=True)


def complain(words: str) -> None:
    """Print why the cluster cannot go on."""
    print(f"cluster: {words}", file=sys.stderr, flush=True)


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-LAST_LINES:])


def _port(section: str, usual: int) -> str:
    """The port that the processes' own setting names, as text for the parser."""
    return os.environ.get(f"LIVEROOM_{section}_PORT", str(usual))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A whole cluster on this machine: Kafka, engines, gateways, console and the demo.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/cluster"), help="where broker, logs and secret are kept (default: %(default)s)")
    parser.add_argument("--gateway-port", type=int, default=_port("GATEWAY", 8800), help="the one port of all gateways (default: %(default)s)")
    parser.add_argument("--console-port", type=int, default=_port("CONSOLE", 8801), help="default: %(default)s")
    parser.add_argument(
        "--ops-port", type=int, default=_port("OPS", 8811), help="health and metrics: this port and the next four (default: %(default)s)"
    )
    options = parser.parse_args()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)  # while the broker is fetched and started
    try:
        run(options, Asked())
    except (Failed, broker.CannotRun, OSError, subprocess.SubprocessError) as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
