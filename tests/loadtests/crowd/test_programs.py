"""The programs as people start them, against a server of their own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.crowd.crowd import sources_for
from loadtests.crowd.replay_run import user_id, user_name
from loadtests.lib.target import own_server
from tests.loadtests.commands import ROOT, charts_of, refused, report_of, run

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("more", [(), ("--deflate", "--characters", "900")])
def test_steady(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Every viewer who reads gets every announcement once; viewers who never read harm no other; the report has both."""
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    files = ("--json", str(file), "--html", str(page))
    done = run("swarm", "steady", "--viewers", "40", "--stalled", "8", "--rate", "30", "--seconds", "2", *files, *more)
    report = report_of(done, file)
    assert {"Deliveries", "Latency: delivery", "CPU time", "Memory", "Open files"} <= charts_of(page)
    assert report["ok"]
    assert report["delivered"] == report["expected"] == 60 * 32
    assert [report[name] for name in ("events", "viewers", "lost", "doubled", "out_of_order")] == [60, 40, 0, 0, 0]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]
    if Path("/proc/self/stat").exists():
        assert report["server"]["rss_bytes"]["max"] > 1_000_000
        assert report["server"]["cpu_us_per_delivery"] > 0


@pytest.mark.parametrize(
    ("program", "missing"), [("swarm", "rich"), ("swarm", "jinja2"), ("replay", "rich"), ("codecs", "pydantic"), ("decisions", "redis")]
)
def test_a_package_that_is_missing_is_one_line(program: str, missing: str) -> None:
    """Without the `load` extra a load test says in one line how to have it."""
    words = f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv[1:] = [{program!r}]; runpy.run_module('loadtests', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert missing in done.stderr
    assert "pip install -e '.[load]'" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--viewers", "0", "--rate", "1", "--seconds", "1"),
        ("--viewers", "5", "--stalled", "5", "--rate", "1", "--seconds", "1"),
        ("--viewers", "5", "--rate", "nan", "--seconds", "1"),
        ("--viewers", "5", "--rate", "1", "--seconds", "1", "--json", "/no/such/directory/report.json"),
        ("--viewers", "5", "--rate", "1", "--seconds", "1", "--url", "ws://127.0.0.1:1"),
        ("--viewers", "5", "--rate", "1", "--seconds", "1", "--url", "http://127.0.0.1:1", "--console", "http://127.0.0.1:1"),
        ("--viewers", "5", "--rate", "1", "--seconds", "1", "--characters", "5000"),
        ("--viewers", "5", "--rate", "1", "--seconds", "1", "--room", "a b"),
    ],
)
def test_steady_says_what_cannot_be(wrong: tuple[str, ...]) -> None:
    """Invalid arguments are an error before anything starts, with exit code 2 and no traceback."""
    assert refused("swarm", "steady", *wrong)


def test_what_cannot_be_is_an_exit_code() -> None:
    """So does the program as people start it."""
    done = run("swarm", "steady", "--viewers", "5", "--stalled", "5", "--rate", "1", "--seconds", "1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--stalled" in done.stderr


def test_steady_without_a_server(unused_tcp_port: int) -> None:
    """A server that is not there is one line and exit code 1."""
    url, console = f"ws://127.0.0.1:{unused_tcp_port}", f"http://127.0.0.1:{unused_tcp_port}"
    arguments = ("--viewers", "5", "--rate", "1", "--seconds", "1", "--url", url, "--console", console)
    done = run("swarm", "steady", *arguments, LIVEROOM_AUTH_SECRET="s" * 40)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


async def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends it at once, without a traceback, and nothing that it started stays."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtests", "swarm", "steady", "--viewers", "20", "--rate", "10", "--seconds", "60"),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    async with asyncio.timeout(60):
        while not list(tmp_path.glob("liveroom-load-*/ready.json")):
            await asyncio.sleep(0.05)
        server = json.loads(next(tmp_path.glob("liveroom-load-*/ready.json")).read_text(encoding="utf-8"))["pid"]
        process.send_signal(signal.SIGINT)
        _, words = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in words
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "untidy.jsonl",
            {
                "sent": 14,
                "shown": 5,
                "not_shown": {},
                "refused": {"control_characters": 4, "too_long": 1, "too_short": 1, "too_large": 1, "empty_text": 1, "bad_utf8": 1},
            },
        ),
        ("untidy.xml", {"sent": 10, "shown": 6, "not_shown": {}, "refused": {"too_short": 2, "bad_utf8": 1, "control_characters": 1}}),
        ("gbk.jsonl", {"sent": 3, "shown": 3, "not_shown": {}, "refused": {}}),
    ],
)
def test_replay(tmp_path: Path, name: str, expected: dict[str, Any]) -> None:
    """Each line of a file is shown exactly as written or refused with a code."""
    file = tmp_path / "report.json"
    report = report_of(run("replay", str(DATA / name), "--speed", "5", "--json", str(file)), file)
    assert {key: report[key] for key in expected} == expected
    assert report["ok"]
    assert report["altered"] == 0


def test_replay_beyond_the_limits(tmp_path: Path) -> None:
    """More than a room shows and a viewer may say is not shown or refused, and the numbers add up."""
    chat = tmp_path / "chat.jsonl"
    rows = [{"time": 0, "user": f"user {number % 20}", "text": f"line {number}"} for number in range(600)]
    chat.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    file = tmp_path / "report.json"
    report = report_of(run("replay", str(chat), "--budget", "5", "--json", str(file)), file)
    assert report["not_shown"]["over_budget"] > 0
    assert report["refused"]["rate_limited"] > 0
    assert report["sent"] == 600 == report["shown"] + sum(report["not_shown"].values()) + sum(report["refused"].values())


@pytest.mark.parametrize("name", ["binary.png", "array.json", "page.html", "empty.jsonl", "missing.jsonl", "."])
def test_replay_of_anything_else(name: str) -> None:
    """A file that is no chat is one line on standard error and exit code 2."""
    words = refused("replay", str(DATA / name))
    assert len(words.strip().splitlines()) == 1
    assert name in words or name == "."


ALL_USERS = ("set_announcement", "delivery announcement_set", "drop_red_envelope", "grab_red_envelope", "announce_flash_sale", "reserve_stock")


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("", ALL_USERS),
        ("watch", ("send_likes", "set_announcement")),
        ("chat", ("send_chat", "delivery chat_sent", "set_announcement")),
        ("envelope", ("drop_red_envelope", "grab_red_envelope")),
        ("sale", ("announce_flash_sale", "reserve_stock", "confirm_hold")),
    ],
)
async def test_locust_users(tmp_path: Path, tag: str, wanted: tuple[str, ...]) -> None:
    """The Locust users, or those of one tag, work against a running server without a failure, until all that is wanted of them has happened."""
    page = tmp_path / "locust.html"
    counts = dict.fromkeys(wanted, 1) | {"connect": 14}
    async with own_server() as target:
        environ = {**os.environ, "LIVEROOM_AUTH_SECRET": target.auth.secret, "LIVEROOM_LOAD_ROOM": "locust-room", "WANTED": json.dumps(counts)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "locust", "-f", "loadtests/crowd/locustfile.py,tests/loadtests/crowd/locust_until.py"),
            *("--headless", "-u", "14", "-r", "14", "-t", "60s", *(("--tags", tag) if tag else ())),
            *("--host", target.console_url, "--json", "--html", str(page), "--exit-code-on-error", "3"),
            cwd=ROOT,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(90):
            out, words = await process.communicate()
    assert process.returncode == 0, words.decode()
    requests = {row["name"]: row for row in json.loads(out)}
    assert counts.keys() <= requests.keys()
    assert requests["connect"]["num_requests"] == 14
    assert not any(row["num_failures"] for row in requests.values())
    if tag:
        others = {"send_likes", "send_chat", *ALL_USERS[2:]} - set(wanted)
        assert not others & requests.keys(), "only users of the tag take part"
    assert "</html>" in page.read_text(encoding="utf-8")


def test_users_of_a_file_become_users_of_a_room() -> None:
    """Whatever a file calls its users: the same stays the same, different stay different, and the id is one."""
    wild = ["c1cd5522", "C1CD5522", "用户", "", " ", "a" * 500, "x\x00y", "\ud800", "../../etc", "r-1"]
    assert len({user_id(user) for user in wild}) == len(wild)
    assert all(1 <= len(user_id(user)) <= 64 and user_id(user).isascii() for user in wild)
    assert [user_name(user) for user in ("小雨", " \n", "x\x00y", "b" * 100)] == ["小雨", user_id(" \n"), "xy", "b" * 64]


def test_many_viewers_come_from_many_addresses() -> None:
    """Beyond what one address has ports for, viewers of a gateway on this machine come from several."""
    assert sources_for(20_000, "ws://127.0.0.1:1") == []
    assert sources_for(100_000, "ws://10.0.0.1:1") == []
    sources = sources_for(5_000_000, "ws://127.0.0.1:1")
    assert len(sources) == len(set(sources)) == 500
    assert all(int(part) < 255 for source in sources for part in source.split("."))
