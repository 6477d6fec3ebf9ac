"""The command line: each command works, and every failure is one plain line and an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from liveroom.auth.tokens import TokenChecker, load_secret
from liveroom.cli import main
from liveroom.config.schema import Config, LiveroomConfig
from liveroom.config.settings import load_config, settings, to_toml
from liveroom.features.lifecycle.messages import RoomOpened
from liveroom.journal.partition import partition_of
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.messages.fields import Role
from liveroom.messages.room_rules import RoomRules
from liveroom.messages.text import first_forbidden
from liveroom.protocol.records import RECORD_VERSION, Record, RoomSpan, Takeover
from liveroom.telemetry.metrics import Metrics
from tests.serving import Server

TIMEOUT_S = 60


def liveroom(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in an environment without settings of our own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LIVEROOM_")}
    return subprocess.run(
        [sys.executable, "-m", "liveroom", *arguments],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_demo_goes_where_the_settings_say(tmp_path: Path) -> None:
    """`demo --config` looks for the server at the ports of the file; its flags come first."""
    with socket.socket() as listener:  # bound and not listening: every connection is refused
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        (tmp_path / "liveroom.toml").write_text(f'[auth]\nsecret = "{"s" * 64}"\n[console]\nport = {port}\n')
        done = liveroom("demo", "--config", "liveroom.toml", cwd=tmp_path)
        assert (done.returncode, f"http://127.0.0.1:{port}: " in done.stderr) == (1, True), done.stderr
        done = liveroom("demo", "--config", "liveroom.toml", "--console-url", f"http://localhost:{port}", cwd=tmp_path)
        assert f"http://localhost:{port}: " in done.stderr


def test_default_config_is_the_default(tmp_path: Path) -> None:
    """`default-config` prints a file that holds every setting and is read back as the defaults."""
    done = liveroom("default-config", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == to_toml(Config())
    for setting in settings():
        assert f"{setting.name} = " in done.stdout
    (tmp_path / "liveroom.toml").write_text(done.stdout)
    assert load_config(tmp_path / "liveroom.toml", {}, {}) == Config()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check-config",), "auth.secret"),
        (("check-config", "--config", "missing.toml"), "missing.toml"),
        (("check-config", "--gateway-port", "notaport"), "--gateway-port"),
        (("serve",), "auth.secret"),
        (("token", "--room", "*", "--user", "u", "--role", "viewer", "--mode", "dev"), "platform"),
        (("tail", "demo", "--mode", "dev", "--journal-kind", "memory"), "journal.kind"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """A wrong setting or argument ends with exit code 2 and one line that names it."""
    done = liveroom(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("liveroom: ")
    assert words in done.stderr


def test_a_secret_is_no_flag(tmp_path: Path) -> None:
    """A secret on a command line could be read by everybody on the machine: there is no such flag."""
    done = liveroom("check-config", "--auth-secret", "x" * 40, cwd=tmp_path)
    assert done.returncode == 2
    assert "x" * 40 not in done.stdout
    assert liveroom("check-config", cwd=tmp_path, LIVEROOM_AUTH_SECRET="x" * 40).returncode == 0


def test_serve_help_lists_every_setting(tmp_path: Path) -> None:
    """`serve --help` has each setting's flag with its meaning, the secret excepted; the other commands say where to look."""
    done = liveroom("serve", "--help", cwd=tmp_path, COLUMNS="2000")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    for setting in settings():
        assert (f" {setting.flag} VALUE {setting.description} (" in words) is not setting.secret
    assert "liveroom serve --help" in liveroom("token", "--help", cwd=tmp_path).stdout


def test_token_makes_tokens_that_verify(tmp_path: Path) -> None:
    """`token` signs with the shared secret, in dev mode with the one that the server made, and never makes one itself."""
    nothing = liveroom("token", "--mode", "dev", "--room", "demo", "--user", "vera", cwd=tmp_path)
    assert nothing.returncode == 2
    assert "there is no dev secret here" in nothing.stderr
    load_secret(Config(liveroom=LiveroomConfig(mode="dev", data_dir=str(tmp_path / "data"))))
    done = liveroom("token", "--mode", "dev", "--room", "demo", "--user", "vera", "--name", "Vera", "--role", "moderator", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    identity = TokenChecker(Config().auth, (tmp_path / "data" / "dev-secret").read_text()).check(done.stdout.strip())
    assert (identity.user, identity.name, identity.room, identity.role) == ("vera", "Vera", "demo", Role.moderator)


def test_a_token_that_no_server_would_take_is_not_made(tmp_path: Path) -> None:
    """The token command refuses values that the server would refuse."""
    secret = {"LIVEROOM_AUTH_SECRET": "s" * 32}
    for user, name, code in (("a b", "Anna", 1), ("a\udc80", "Anna", 1), ("anna", "Anna \udc80", 0)):
        done = liveroom("token", "--room", "r1", "--user", user, "--name", name, cwd=tmp_path, **secret)
        assert (done.returncode, bool(done.stdout)) == (code, not code), done.stderr
        assert len(done.stderr.splitlines()) == code


async def test_nothing_in_a_journal_moves_a_terminals_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tail` and `verify-envelope` write controls and bidi overrides of a journal or a file as JSON escapes; a reader of JSON reads the same."""
    config = Config(liveroom=LiveroomConfig(data_dir=str(tmp_path / "data")))
    journal = await SqliteJournal.open(tmp_path / "data", config.journal, Metrics())
    partition = partition_of("r1", journal.partitions)
    opened = RoomOpened("Eve\x9b\x7f\u202e\u2028", "anna", "e1", RoomRules(1_000, 5, 10, 30_000), "Anna\x9b")
    await journal.append(partition, Takeover(RECORD_VERSION, "engine", 1))
    await journal.append(partition, Record(RECORD_VERSION, fencing_epoch=0, step=0, from_=0, to=0, time_ms=1, rooms={"r1": RoomSpan(0, (opened,))}))
    await journal.close()
    await asyncio.to_thread(main, ["tail", "r1", "--data-dir", str(tmp_path / "data")])
    (line,) = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert not first_forbidden(line)
    assert orjson.loads(line)["title"] == opened.title
    story = tmp_path / "story.jsonl"
    story.write_bytes(b'{"type":"red_envelope_dropped","seq":"\xc2\x9b31m"}')
    with pytest.raises(SystemExit):
        await asyncio.to_thread(main, ["verify-envelope", "r1", "0", "--file", str(story), "--data-dir", "\x9b"])
    told = capsys.readouterr().err.removesuffix("\n")
    assert told
    assert not first_forbidden(told)


def test_tail_of_nothing_says_so(tmp_path: Path) -> None:
    """`tail` without a journal is one clear line, not a new journal."""
    done = liveroom("tail", "demo", cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "data").exists()


def test_tail_of_a_bad_room_id_says_so(tmp_path: Path) -> None:
    """A room id of a wrong form is named as such."""
    done = liveroom("tail", "no way", cwd=tmp_path)
    assert done.returncode == 1
    assert "bad_room_id" in done.stderr


async def test_tail_tells_a_rooms_story_while_the_server_runs(tmp_path: Path) -> None:
    """`tail` prints a room's events in order as JSON lines, from any seq on, while the server writes more of them."""
    server = Server(tmp_path / "data")
    await server.start()
    try:
        await server.command("demo", "open_room", {"title": "Evening show"})
        for number in range(5):
            await server.command("demo", "set_announcement", {"text": f"number {number}"})
        await server.command("other", "open_room", {"title": "Another"})
        done = await asyncio.to_thread(liveroom, "tail", "demo", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
        lines = [orjson.loads(line) for line in done.stdout.splitlines()]
        assert [line["seq"] for line in lines] == list(range(6))
        assert [line["type"] for line in lines] == ["room_opened", *["announcement_set"] * 5]
        assert {line["room"] for line in lines} == {"demo"}
        nobody = await asyncio.to_thread(liveroom, "tail", "nobody", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
        assert (nobody.returncode, nobody.stdout) == (1, "")
        assert "has no event" in nobody.stderr
        done = await asyncio.to_thread(liveroom, "tail", "demo", "--from-seq", "4", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
        assert [orjson.loads(line)["text"] for line in done.stdout.splitlines()] == ["number 3", "number 4"]
    finally:
        assert await server.stop() == 0


async def test_verify_envelope_checks_the_journal_and_saved_files(tmp_path: Path) -> None:
    """It draws the shares again from the journal of a running server, or from what `tail` printed; exit code 1 and the first difference otherwise."""
    server = Server(tmp_path / "data")
    data = ("--data-dir", str(tmp_path / "data"))
    await server.start()
    try:
        await server.command("demo", "open_room", {"title": "Evening show"})
        dropped = await server.command("demo", "drop_red_envelope", {"total_fen": 1_000, "shares": 3, "opens_in_ms": 0})
        envelope = str(dropped["result"]["envelope"])
        for user in ("vera", "wang", "yi"):
            grabbed = await server.command("demo", "grab_red_envelope", {"envelope": int(envelope)}, user=user, role=Role.viewer)
            assert grabbed["http_status"] == 200, grabbed
        done = await asyncio.to_thread(liveroom, "verify-envelope", "demo", envelope, *data, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "3 of 3 granted" in done.stdout
        saved = tmp_path / "events.jsonl"
        saved.write_text((await asyncio.to_thread(liveroom, "tail", "demo", *data, cwd=tmp_path)).stdout)
        again = await asyncio.to_thread(liveroom, "verify-envelope", "demo", envelope, "--file", str(saved), cwd=tmp_path)
        assert again.stdout == done.stdout
        saved.write_text(saved.read_text().replace('"user":"wang"', '"user":"vera"'))
        false = await asyncio.to_thread(liveroom, "verify-envelope", "demo", envelope, "--file", str(saved), cwd=tmp_path)
        assert (false.returncode, false.stdout) == (1, "")
        assert "vera got a second share" in false.stderr
    finally:
        assert await server.stop() == 0


@pytest.mark.parametrize("arguments", [(), ("--file", "missing.jsonl"), ("--file", ".")])
def test_verify_envelope_without_events_says_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """No journal, no file: one clear line."""
    done = liveroom("verify-envelope", "demo", "3", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_full_disk_for_its_words_stops_no_server(tmp_path: Path) -> None:
    """It cannot say where it listens, nor what goes on; it starts, serves and stops all the same."""
    ready = tmp_path / "ready"
    flags = ("--mode", "dev", "--journal-kind", "memory", "--gateway-port", "0", "--console-port", "0", "--gateway-drain-ms", "0")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "liveroom", "serve", *flags, "--ready-file", str(ready)]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=full, stderr=full)
        try:
            while not ready.exists():
                assert process.poll() is None
                time.sleep(0.02)
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()
            process.wait()


def test_what_a_server_starts_with_is_no_work_for_the_garbage_collector(tmp_path: Path) -> None:
    """A full collection stops everybody: it looks only at what came after the start."""
    ready = tmp_path / "ready"
    flags = ("--mode", "dev", "--journal-kind", "memory", "--gateway-port", "0", "--console-port", "0", "--gateway-drain-ms", "0")
    program = "import atexit, gc, sys; from liveroom.cli import main; atexit.register(lambda: print(gc.get_freeze_count())); main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "serve", *flags, "--ready-file", str(ready)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        said, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert int(said.splitlines()[-1]) > 10_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_not_ready_yet_can_be_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """A process whose brokers do not answer ends when asked, without waiting for them and without a kill."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(TIMEOUT_S)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "liveroom", "engine", "--mode", "dev", "--journal-kind", "kafka", "--kafka-bootstrap-servers", address]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            with silent.accept()[0]:
                process.send_signal(number)
                said, complained = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert (process.returncode, complained) == (0, "")
    assert said.startswith("liveroom: stopping before it was ready")
