"""The other side of `decisions`: Redis does the same two jobs with a Lua script each, through redis-py.

The scripts do no more than the engine's rules. Each claim id has one outcome, which is stored and given again.
A user gets one share, from a list that was drawn before, or units of a stock up to a limit. Each unit is a hold with an owner, an id and an expiry.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis
from msgspec import Struct

from liveroom.features.red_envelope.fairness import split
from loadtests.bench.claims import PER_USER_MAX, ClaimRound, JobKind, SampleClaim
from loadtests.bench.engine_alone import TOTAL_FEN_PER_PART, Wrong

__all__ = ["PIPELINE", "RedisSample", "claim_all", "running_redis"]

#: Claims that go to Redis in one write.
PIPELINE: Final = 100
HOLD_MS: Final = 3_600_000
START_S: Final = 10.0
HOST: Final = "127.0.0.1"
SEED: Final = "00" * 32

#: KEYS: winners (user -> claim, fen), shares (a list). ARGV: claim, user. A retry finds its own claim with its share.
#: A refused claim would be refused again in the same way, so it needs no entry.
GRAB: Final = """
local won = redis.call('HGET', KEYS[1], ARGV[2])
if won then
  local claim, fen = string.match(won, '^(%S+) (%d+)$')
  return (claim == ARGV[1] and 'granted ' or 'already_grabbed ') .. fen
end
local fen = redis.call('LPOP', KEYS[2])
if not fen then return 'envelope_empty' end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1] .. ' ' .. fen)
return 'granted ' .. fen
"""

#: KEYS: outcomes (claim -> answer), sale ('left' -> units, '@' user -> units taken), expiry (holds by time; a hold is named by its claim).
#: ARGV: claim, user, units, most units a user may have, now in ms, how long a hold lasts in ms. Stock may come back, so refusals are kept too.
RESERVE: Final = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then return known end
local answer
local user = '@' .. ARGV[2]
local sale = redis.call('HMGET', KEYS[2], 'left', user)
local left, taken, units = tonumber(sale[1]), tonumber(sale[2] or 0), tonumber(ARGV[3])
if taken + units > tonumber(ARGV[4]) then
  answer = 'per_user_limit'
elseif left < units then
  answer = 'sold_out'
else
  local until_ms = string.format('%d', ARGV[5] + ARGV[6])
  redis.call('HSET', KEYS[2], 'left', left - units, user, taken + units)
  redis.call('ZADD', KEYS[3], until_ms, ARGV[1])
  answer = 'granted ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. until_ms
end
redis.call('HSET', KEYS[1], ARGV[1], answer)
return answer
"""


class RedisSample(Struct, frozen=True):
    """The times of one run, without set-up."""

    claims: int
    wall_s: float
    server_s: float  # CPU time of Redis
    client_s: float  # CPU time of redis-py's process


@contextmanager
def running_redis(*, append_only: bool) -> Iterator[int | None]:
    """A Redis of our own on a free loopback port, with nothing in it; gives the port, or `None` when no redis-server is installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="liveroom-redis-") as directory:
        port = _free_port()
        durable = ["--appendonly", "yes", "--appendfsync", "everysec"] if append_only else ["--appendonly", "no"]
        command = [program, "--bind", HOST, "--port", str(port), "--dir", directory, "--save", "", *durable]
        with (Path(directory) / "log.txt").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            with redis.Redis(HOST, port) as client:
                client.ping()
            return
        except redis.RedisError as error:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise Wrong(f"redis-server did not start: {error}") from None
            time.sleep(0.05)


def claim_all(port: int, kind: JobKind, rounds: Sequence[ClaimRound]) -> RedisSample:
    """Claim everything, then check what Redis holds. Raises `Wrong`."""
    answers: Counter[str] = Counter()
    wall_s = server_s = client_s = 0.0
    with redis.Redis(HOST, port) as client:
        client.flushall()
        sha = client.script_load(GRAB if kind == "grab" else RESERVE)
        for number, each in enumerate(rounds):
            keys = _offer(client, kind, number, each)
            began = time.perf_counter(), _server_cpu_s(client), time.process_time()
            replies = _claim(client, kind, sha, keys, each.claims)
            ended = time.perf_counter(), _server_cpu_s(client), time.process_time()
            wall_s += ended[0] - began[0]
            server_s += ended[1] - began[1]
            client_s += ended[2] - began[2]
            answers.update(reply.split()[0].decode() for reply in replies)
            _check(client, kind, keys, each)
    expected: Counter[str] = sum((each.answers for each in rounds), Counter())
    if answers != expected:
        raise Wrong(f"Redis answered {dict(answers)}, not {dict(expected)}")
    return RedisSample(sum(len(each.claims) for each in rounds), wall_s, server_s, client_s)


def _offer(client: redis.Redis, kind: JobKind, number: int, each: ClaimRound) -> list[str]:
    """Put the shares or the stock there; the keys of a claim."""
    if kind == "grab":
        keys = [f"{name}:{number}" for name in ("winners", "shares")]
        client.rpush(keys[1], *split(SEED, each.units * TOTAL_FEN_PER_PART, each.units, "lucky"))
    else:
        keys = [f"{name}:{number}" for name in ("outcomes", "sale", "expiry")]
        client.hset(keys[1], "left", each.units)
    return keys


def _claim(client: redis.Redis, kind: JobKind, sha: str, keys: list[str], claims: Sequence[SampleClaim]) -> list[bytes]:
    replies: list[bytes] = []
    for at in range(0, len(claims), PIPELINE):
        pipeline = client.pipeline(transaction=False)
        more: tuple[Any, ...] = () if kind == "grab" else (1, PER_USER_MAX, time.time_ns() // 1_000_000, HOLD_MS)
        for claim in claims[at : at + PIPELINE]:
            pipeline.evalsha(sha, len(keys), *keys, claim.id, claim.user, *more)
        replies += pipeline.execute()
    return replies


def _server_cpu_s(client: redis.Redis) -> float:
    info: dict[str, Any] = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _check(client: redis.Redis, kind: JobKind, keys: list[str], each: ClaimRound) -> None:
    found: tuple[object, ...]
    wanted: tuple[object, ...]
    if kind == "grab":
        amounts = [int(won.split()[1]) for won in client.hvals(keys[0])]
        found, wanted = (len(amounts), sum(amounts)), (each.units, each.units * TOTAL_FEN_PER_PART)
    else:
        found, wanted = (client.hget(keys[1], "left"), client.zcard(keys[2])), (b"0", each.units)
    if found != wanted:
        raise Wrong(f"Redis holds {found}, not {wanted}")
