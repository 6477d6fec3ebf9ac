"""A real Apache Kafka broker on loopback without Docker: one KRaft node from its Maven artifacts.

    python deploy/kafka-local/broker.py start [--data-dir DIR] [--port PORT] [--lib-dir DIR] [--listen ...] [--settings FILE] [--scram ...]
    python deploy/kafka-local/broker.py stop  [--data-dir DIR]

`start` prints the broker's address once it answers and leaves it running; its data stays until the directory is
deleted. It needs Java 17 or newer; Maven is needed once, to fetch the jars. Nothing but the standard library is used.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent

FETCH_S = 600
START_S = 60
STOP_S = 30
HEAP = "512m"

#: One node with both roles. Short sessions and no wait for a group's first members, so that tests need not wait for a takeover.
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners={also}PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={also}PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map={also_map}CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dir}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""


class CannotRun(Exception):
    """The broker cannot be fetched, started or stopped; the words say why."""


def fetch(lib_dir: Path) -> None:
    """Have the jars in `lib_dir`; about 43 MB, fetched once."""
    if all(any(lib_dir.glob(jar)) for jar in ("kafka_*.jar", "kafka-tools-[0-9]*.jar")):
        return
    if shutil.which("mvn") is None:
        raise CannotRun("Maven (mvn) is not installed; it fetches Apache Kafka. Debian: apt-get install maven")
    print(f"kafka: fetching Apache Kafka into {lib_dir} (once, about 43 MB)", file=sys.stderr, flush=True)
    part = lib_dir.with_name(f"{lib_dir.name}.{os.getpid()}.part")
    command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={part.resolve()}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        shutil.rmtree(part, ignore_errors=True)
        raise CannotRun(f"Maven did not fetch Apache Kafka within {FETCH_S} s") from None
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        raise CannotRun(f"Maven could not fetch Apache Kafka: {(done.stdout + done.stderr).strip()[-2000:]}")
    try:
        part.rename(lib_dir)
    except OSError:  # somebody else was faster, or fetched less at another time
        for jar in part.glob("*.jar"):
            jar.replace(lib_dir / jar.name)
        shutil.rmtree(part, ignore_errors=True)


def start(data_dir: Path, port: int, lib_dir: Path, *, listen: str = "", settings_file: Path | None = None, scram: str = "") -> str:
    """Start the broker of `data_dir`; returns its address. Port 0 takes the port that the directory had before, else a free one.

    One that runs already is left as it is. `listen` is one listener more, such as SECURE:SASL_SSL:9093, `settings_file` has lines
    for the broker's settings, `scram` is a user as Kafka's own `--add-scram` takes it, made with the storage.
    """
    if shutil.which("java") is None:
        raise CannotRun("Java is not installed; Apache Kafka needs Java 17 or newer. Debian: apt-get install default-jre-headless")
    settings = data_dir / "server.properties"
    if (pid := running(data_dir)) is not None:
        if port not in (0, _port_of(settings)) or listen or settings_file or scram:
            raise CannotRun(f"a broker runs already on {data_dir} (pid {pid}) with settings of its own; stop it first")
        print(f"kafka: a broker runs already on {data_dir} (pid {pid})", file=sys.stderr, flush=True)
        return f"127.0.0.1:{_port_of(settings)}"
    fetch(lib_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or _port_of(settings) or _free_port()
    name, protocol, also_port = listen.split(":") if listen else ("", "", "")
    text = SETTINGS.format(
        port=port,
        controller_port=_free_port(),
        log_dir=(data_dir / "logs").resolve(),
        also=f"{name}://127.0.0.1:{also_port}," if listen else "",
        also_map=f"{name}:{protocol}," if listen else "",
    )
    text += settings_file.read_text(encoding="utf-8") if settings_file else ""
    settings.write_text(text, encoding="utf-8")
    java = ["java", f"-Xmx{HEAP}", f"-Xms{HEAP}", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    java += ["-cp", str(lib_dir.resolve() / "*")]
    if not (data_dir / "logs" / "meta.properties").exists():
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").lstrip("-") or "liveroom"
        done = subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", identity.ljust(22, "A"), "-c", str(settings)]
            + (["--add-scram", scram] if scram else []),
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        if done.returncode:
            raise CannotRun(f"the storage could not be formatted: {(done.stdout + done.stderr).strip()[-2000:]}")
    log = data_dir / "broker.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*java, "kafka.Kafka", str(settings)], stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
    (data_dir / "broker.pid").write_text(str(process.pid), encoding="utf-8")
    _wait_until_it_answers(process, port, log)
    return f"127.0.0.1:{port}"


def stop(data_dir: Path) -> None:
    """End the broker of `data_dir`; its data stays."""
    pid = running(data_dir)
    if pid is None:
        raise CannotRun(f"no broker runs on {data_dir}")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while running(data_dir) is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):  # started by another process
        os.waitpid(pid, 0)
    (data_dir / "broker.pid").unlink(missing_ok=True)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CannotRun(f"the broker ended: {log.read_text(encoding='utf-8', errors='replace').strip()[-2000:]}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise CannotRun(f"the broker did not answer within {START_S} s; see {log}")


def running(data_dir: Path) -> int | None:
    """The pid of the broker of this directory, when it runs: it names the directory on its command line."""
    try:
        pid = int((data_dir / "broker.pid").read_text(encoding="utf-8"))
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # started by another process
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        return pid if not command.exists() or str(data_dir / "server.properties").encode() in command.read_bytes() else None
    except OSError:
        return None


def _port_of(settings: Path) -> int:
    try:
        for line in settings.read_text(encoding="utf-8").splitlines():
            if line.startswith("advertised.listeners="):
                return int(line.rpartition(":")[2])
    except OSError:
        pass
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A real Apache Kafka broker on loopback, without Docker.")
    parser.add_argument("command", choices=("fetch", "start", "stop"))
    parser.add_argument("--data-dir", type=Path, default=Path("data/kafka"), help="where the broker keeps its logs (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 = the one it had, else any free one (default: %(default)s)")
    parser.add_argument("--listen", default="", metavar="NAME:PROTOCOL:PORT", help="one listener more, such as SECURE:SASL_SSL:9093")
    parser.add_argument("--settings", type=Path, help="a file with lines for the broker's settings")
    parser.add_argument("--scram", default="", help="a user, as Kafka's --add-scram takes it; for a directory that is new")
    parser.add_argument("--lib-dir", type=Path, default=HERE / "lib", help="where the jars are kept")
    options = parser.parse_args()
    try:
        if options.command == "fetch":
            fetch(options.lib_dir)
        elif options.command == "start":
            more = {"listen": options.listen, "settings_file": options.settings, "scram": options.scram}
            print(start(options.data_dir, options.port, options.lib_dir, **more))
        else:
            stop(options.data_dir)
    except (CannotRun, OSError, subprocess.SubprocessError) as error:
        print(f"kafka: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
