"""Real Apache Kafka on loopback without Docker: one or several KRaft brokers from their Maven artifacts.

    python deploy/kafka-local/broker.py start [--brokers N] [--only N] [--data-dir DIR] [--port PORT] [--settings FILE] ...
    python deploy/kafka-local/broker.py stop  [--brokers N] [--only N] [--data-dir DIR]

`start` prints the brokers' addresses once all answer, and leaves the brokers running. Their data stays until the directory
is deleted. Java 17 or newer is needed; Maven is needed once, to fetch the jars. Nothing but the standard library is used.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
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
BROKERS_MAX = 9
#: Memory of a broker that is alone, and of each of several.
HEAP_ALONE = "512m"
HEAP_OF_SEVERAL = "384m"

#: Every broker is a controller, too. Sessions are short and a group's first members are not waited for, so that tests need not wait for a takeover.
SETTINGS = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners={also}PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={also}PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map={also_map}CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dir}
num.partitions=4
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={insync}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={insync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={insync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
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
        check_jars(part)
    except CannotRun:
        shutil.rmtree(part, ignore_errors=True)
        raise
    try:
        part.rename(lib_dir)
    except OSError:  # somebody else was faster, or fetched less at another time
        for jar in part.glob("*.jar"):
            jar.replace(lib_dir / jar.name)
        shutil.rmtree(part, ignore_errors=True)


def check_jars(lib_dir: Path) -> None:
    """Every jar has the bytes that `jars.sha256` names, and no other jar is there. Raises `CannotRun`."""
    expected = {name: digest for digest, name in (line.split() for line in (HERE / "jars.sha256").read_text(encoding="ascii").splitlines())}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in lib_dir.glob("*.jar")}
    if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise CannotRun(f"these jars are not the ones that jars.sha256 names: {', '.join(wrong)}")


class Broker:
    """One broker of a directory, by its number, which counts from 1."""

    def __init__(self, data_dir: Path, number: int) -> None:
        self.home = data_dir / f"broker-{number}"
        self.number = number
        self.log = self.home / "broker.log"
        self.settings = self.home / "server.properties"
        self._pid_file = self.home / "broker.pid"

    @property
    def port(self) -> int:
        """The port that it has or had; 0 when it never ran."""
        return int(self._setting("advertised.listeners").rpartition(":")[2] or 0)

    @property
    def controller_port(self) -> int:
        """The same of its controller."""
        return int(self._setting("listeners").rpartition(":")[2] or 0)

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def pid(self) -> int | None:
        """Its process, when that runs: it names the directory on its command line."""
        try:
            pid = int(self._pid_file.read_text(encoding="utf-8"))
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass  # started by another process
        except (OSError, ValueError):
            return None
        try:
            os.kill(pid, 0)
            command = Path(f"/proc/{pid}/cmdline")
            return pid if not command.exists() or str(self.settings).encode() in command.read_bytes() else None
        except OSError:
            return None

    @property
    def has_storage(self) -> bool:
        """Whether its storage was made."""
        return (self.home / "logs" / "meta.properties").exists()

    def format(self, java: list[str], cluster_id: str, scram: str) -> subprocess.Popen[str]:
        """Begin to make its storage; see `formatted`."""
        command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self.settings)]
        return subprocess.Popen(command + (["--add-scram", scram] if scram else []), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def begin(self, java: list[str]) -> subprocess.Popen[bytes]:
        """Start its process; see `wait_until_it_answers`."""
        with self.log.open("wb") as out:
            process = subprocess.Popen(
                [*java, "kafka.Kafka", str(self.settings)], stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._pid_file.write_text(str(process.pid), encoding="utf-8")
        return process

    def wait_until_it_answers(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Raises `CannotRun` when it ended or does not answer in time."""
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise CannotRun(f"broker {self.number} ended: {self.log.read_text(encoding='utf-8', errors='replace').strip()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        process.kill()
        raise CannotRun(f"broker {self.number} did not answer within {START_S} s; see {self.log}")

    def end(self, deadline: float) -> None:
        """Wait until it has ended after SIGTERM; SIGKILL when time is over."""
        pid = self.pid()
        while pid is not None and _runs(pid):
            if time.monotonic() > deadline and self.pid() == pid:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        self._pid_file.unlink(missing_ok=True)

    def _setting(self, name: str) -> str:
        with contextlib.suppress(OSError):
            for line in self.settings.read_text(encoding="utf-8").splitlines():
                if line.startswith(f"{name}="):
                    return line.partition("=")[2]
        return ""


def formatted(processes: list[subprocess.Popen[str]]) -> None:
    """Wait until the storage of all is made. Raises `CannotRun`."""
    deadline = time.monotonic() + START_S
    try:
        for process in processes:
            words, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
            if process.returncode:
                raise CannotRun(f"the storage could not be formatted: {words.strip()[-2000:]}")
    except subprocess.TimeoutExpired:
        raise CannotRun(f"the storage could not be formatted within {START_S} s") from None
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def brokers_of(data_dir: Path) -> list[Broker]:
    """The brokers that were ever started on a directory."""
    return [Broker(data_dir, number) for number in range(1, BROKERS_MAX + 1) if Broker(data_dir, number).settings.exists()]


def running(data_dir: Path) -> list[Broker]:
    """The brokers of a directory whose process runs."""
    return [broker for broker in brokers_of(data_dir) if broker.pid() is not None]


def start(
    data_dir: Path,
    port: int,
    lib_dir: Path,
    *,
    count: int = 1,
    only: int = 0,
    listen: str = "",
    settings_file: Path | None = None,
    scram: str = "",
) -> str:
    """Start the `count` brokers of `data_dir`, or `only` one of them; returns the addresses of all, with commas.

    Port 0 takes the ports that the directory had before, else free ones; with several brokers `port` is the first one's. Brokers that run already
    are left as they are. `listen` is one listener more, such as SECURE:SASL_SSL:9093, for one broker alone. `settings_file` has lines for every
    broker's settings. `scram` is a user as Kafka's own `--add-scram` takes it, made with the storage. Raises `CannotRun`.
    """
    if shutil.which("java") is None:
        raise CannotRun("Java is not installed; Apache Kafka needs Java 17 or newer. Debian: apt-get install default-jre-headless")
    there = brokers_of(data_dir)
    brokers = [Broker(data_dir, number) for number in range(1, count + 1)]
    if there and len(there) != count:
        raise CannotRun(f"{data_dir} is of {len(there)} brokers, not of {count}; take another directory, or delete it")
    if listen and count > 1:
        raise CannotRun("a listener more is for one broker alone: several cannot share its port")
    run_already = {broker.number: broker for broker in running(data_dir)}
    if run_already and not only:
        pids = ", ".join(str(broker.pid()) for broker in run_already.values())
        words = f"{'a broker runs' if count == 1 else f'{len(run_already)} of {count} brokers run'} already on {data_dir} (pid {pids})"
        if port not in (0, brokers[0].port) or listen or settings_file or scram:
            raise CannotRun(f"{words} with settings of its own; stop it first")
        print(f"kafka: {words}", file=sys.stderr, flush=True)
    fetch(lib_dir)
    if not there or (not run_already and (port or listen or settings_file)):
        _write_settings(brokers, port, listen, settings_file)
    heap = HEAP_ALONE if count == 1 else HEAP_OF_SEVERAL
    java = ["java", f"-Xmx{heap}", f"-Xms{heap}", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    java += ["-cp", str(lib_dir.resolve() / "*")]
    cluster_id = _cluster_id(data_dir)
    starting = [broker for broker in brokers if broker.number not in run_already and only in (0, broker.number)]
    formatted([broker.format(java, cluster_id, scram) for broker in starting if not broker.has_storage])
    processes = [(broker, broker.begin(java)) for broker in starting]
    deadline = time.monotonic() + START_S
    for broker, process in processes:
        broker.wait_until_it_answers(process, deadline)
    return ",".join(broker.address for broker in brokers)


def stop(data_dir: Path, *, only: int = 0) -> None:
    """End the brokers of `data_dir`, or `only` one of them; their data stays. Raises `CannotRun` when none runs."""
    ending = [broker for broker in running(data_dir) if only in (0, broker.number)]
    if not ending:
        raise CannotRun(f"no broker runs on {data_dir}")
    for broker in ending:
        if (pid := broker.pid()) is not None:
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for broker in ending:
        broker.end(deadline)


def _runs(pid: int) -> bool:
    """Whether a process runs. One that is about to end still does, although it has no command line any more."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)  # ours: it is gone once its end was taken
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_bytes().rpartition(b") ")[2][:1] != b"Z"  # another process has to take the end of a zombie
    except OSError:
        return False


def _write_settings(brokers: list[Broker], port: int, listen: str, settings_file: Path | None) -> None:
    """Write the settings of all brokers together, because each has to know the others' ports."""
    ports = [broker.port or _free_port() for broker in brokers]
    ports[0] = port or ports[0]
    controllers = [broker.controller_port or _free_port() for broker in brokers]
    name, protocol, also_port = listen.split(":") if listen else ("", "", "")
    for broker, own_port, controller_port in zip(brokers, ports, controllers, strict=True):
        broker.home.mkdir(parents=True, exist_ok=True)
        text = SETTINGS.format(
            number=broker.number,
            voters=",".join(f"{number}@127.0.0.1:{at}" for number, at in enumerate(controllers, 1)),
            port=own_port,
            controller_port=controller_port,
            copies=min(3, len(brokers)),
            insync=min(2, len(brokers)),
            log_dir=(broker.home / "logs").resolve(),
            also=f"{name}://127.0.0.1:{also_port}," if listen else "",
            also_map=f"{name}:{protocol}," if listen else "",
        )
        text += settings_file.read_text(encoding="utf-8") if settings_file else ""
        broker.settings.write_text(text, encoding="utf-8")


def _cluster_id(data_dir: Path) -> str:
    """The same for all brokers of a directory."""
    file = data_dir / "cluster-id"
    if not file.exists():
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").lstrip("-") or "liveroom"
        file.write_text(text.ljust(22, "A"), encoding="ascii")
    return file.read_text(encoding="ascii")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= BROKERS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {BROKERS_MAX}")
    return number


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Real Apache Kafka on loopback, without Docker.")
    parser.add_argument("command", choices=("fetch", "start", "stop"))
    parser.add_argument("--brokers", type=_number, default=1, help="how many (default: %(default)s)")
    parser.add_argument("--only", type=_number, default=0, metavar="N", help="start or stop this one of them alone")
    parser.add_argument("--data-dir", type=Path, help="where the brokers keep their logs (default: data/kafka, with several data/kafka-N)")
    parser.add_argument(
        "--port", type=int, default=0, help="port of the first on 127.0.0.1; 0 = the one it had, else any free one (default: %(default)s)"
    )
    parser.add_argument("--listen", default="", metavar="NAME:PROTOCOL:PORT", help="one listener more, such as SECURE:SASL_SSL:9093")
    parser.add_argument("--settings", type=Path, help="a file with lines for the brokers' settings")
    parser.add_argument("--scram", default="", help="a user, as Kafka's --add-scram takes it; for a directory that is new")
    parser.add_argument("--lib-dir", type=Path, default=HERE / "lib", help="where the jars are kept")
    options = parser.parse_args()
    data_dir = options.data_dir or Path("data", "kafka" if options.brokers == 1 else f"kafka-{options.brokers}")
    try:
        if options.command == "fetch":
            fetch(options.lib_dir)
        elif options.command == "start":
            more = {"listen": options.listen, "settings_file": options.settings, "scram": options.scram}
            print(start(data_dir, options.port, options.lib_dir, count=options.brokers, only=options.only, **more))
        else:
            stop(data_dir, only=options.only)
    except (CannotRun, OSError, subprocess.SubprocessError) as error:
        print(f"kafka: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
