"""What a delivery costs: the gateway's write path beside `websockets.broadcast` and beside bare writes, in one run.

    python -m loadtests.fanout --viewers 2000 --events-per-frame 2 --seconds 30 --json fanout.json

All servers run on uvloop in processes of their own with the same number of loopback viewers, who are held by
reader processes. Rounds take turns; the figures are medians over the rounds, the ratio a median of ratios.
A delivery is one event at one viewer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from liveroom.config import AuthConfig
from liveroom.messages.fields import Role
from liveroom.tokens import make_token
from loadtests.contenders import CONTENDERS, ROOM, SECRET, Round, run_contender
from loadtests.readers import run_readers

#: Rounds of each contender.
ROUNDS = 7
#: CPU that a frame may take per viewer before the next one is sent, with room to spare.
PACE_US_PER_VIEWER = 30
INTERVAL_S_MIN = 0.02
CONNECT_AT_ONCE = 100
QUIET_S = 0.3
TARGET = 0.5


class Crowd:
    """The reader process, seen from here."""

    def __init__(self, context: multiprocessing.context.SpawnContext, viewers: int, cpu: int | None) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=run_readers, args=(theirs, viewers, cpu), daemon=True)
        self.process.start()
        self._viewers = viewers

    def connect(self, port: int) -> None:
        """All viewers to one server."""
        auth = AuthConfig()
        for at in range(0, self._viewers, CONNECT_AT_ONCE):
            users = [f"u{i}" for i in range(at, min(self._viewers, at + CONNECT_AT_ONCE))]
            tokens = [make_token(SECRET, auth, user=u, room=ROOM, role=Role.viewer, lifetime_s=36_000) for u in users]
            _ask(self.pipe, ("connect", port, [f"/v1/rooms/{ROOM}?token={token}" for token in tokens]))

    def settled(self) -> dict[int, int]:
        """Bytes that came per port since the last time, once no more come."""
        total: dict[int, int] = {}
        while True:
            time.sleep(QUIET_S)
            counts: dict[int, int] = _ask(self.pipe, ("count",))
            for port, n in counts.items():
                total[port] = total.get(port, 0) + n
            if not any(counts.values()):
                return total


class Server:
    """One contender's process, seen from here."""

    def __init__(self, context: multiprocessing.context.SpawnContext, kind: str, viewers: int, events: int, cpu: int | None) -> None:
        self.kind = kind
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=run_contender, args=(kind, theirs, viewers, events, cpu), daemon=True)
        self.process.start()
        self.port, self.rss_empty = self.pipe.recv()
        self.us: list[float] = []  # of CPU per delivery, one a round
        self.rss_bytes = 0

    def round(self, crowd: Crowd, frames: int, interval_s: float, viewers: int, events: int) -> None:
        """One round; raises `SystemExit` when fewer bytes came than were sent."""
        crowd.settled()
        result: Round = _ask(self.pipe, (frames, interval_s))
        came = crowd.settled().get(self.port, 0)
        expected = result.frames * result.frame_bytes * viewers
        if came < expected:
            raise SystemExit(f"{self.kind}: {came} of {expected} bytes came")
        self.us.append(result.cpu_s * 1e6 / (result.frames * viewers * events))
        self.rss_bytes = self.rss_bytes or result.rss_bytes


def _ask(pipe: Connection, order: Any) -> Any:
    pipe.send(order)
    return pipe.recv()


def measure(kinds: list[str], viewers: int, events: int, seconds: float) -> dict[str, Any]:
    """Run the rounds; gives the figures as plain values."""
    context = multiprocessing.get_context("spawn")
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu, reader_cpu = (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)
    crowd = Crowd(context, viewers, reader_cpu)
    servers = [Server(context, kind, viewers, events, server_cpu) for kind in kinds]
    try:
        for server in servers:
            _say(f"connecting {viewers} viewers to {server.kind}")
            crowd.connect(server.port)
        interval_s = max(INTERVAL_S_MIN, viewers * PACE_US_PER_VIEWER / 1e6)
        frames = max(3, int(seconds / ROUNDS / len(servers) / interval_s))
        for number in range(ROUNDS + 1):
            for server in servers:
                server.round(crowd, frames, interval_s, viewers, events)
                _say(
                    f"round {number} of {ROUNDS}: {server.kind} {server.us[-1]:.2f} us a delivery" + (" (warm-up, not counted)" if not number else "")
                )
        return _figures(servers, viewers, events, frames)
    finally:
        for process in (crowd.process, *(s.process for s in servers)):
            process.terminate()
            process.join()


def _figures(servers: list[Server], viewers: int, events: int, frames: int) -> dict[str, Any]:
    ours = next(s for s in servers if s.kind == "liveroom")
    contenders = {}
    for server in servers:
        us = server.us[1:]
        contenders[server.kind] = {
            "cpu_us_per_delivery": round(median(us), 3),
            "cpu_us_per_write": round(median(us) * events, 3),
            "ratio_of_liveroom_to_it": round(median(a / b for a, b in zip(ours.us[1:], us, strict=True)), 3),
            "rss_bytes_per_viewer": round((server.rss_bytes - server.rss_empty) / viewers),
        }
    ratio = contenders.get("broadcast", {}).get("ratio_of_liveroom_to_it")
    return {
        "ok": ratio is not None and ratio <= TARGET,
        "viewers": viewers,
        "events_per_frame": events,
        "rounds": ROUNDS,
        "frames_per_round": frames,
        "ratio": ratio,
        "target": TARGET,
        "contenders": contenders,
    }


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _table(figures: dict[str, Any]) -> str:
    lines = [
        f"{figures['viewers']} viewers, {figures['events_per_frame']} events a frame, median of {figures['rounds']} rounds",
        f"{'':12}{'us/write':>10}{'us/delivery':>13}{'liveroom / it':>15}{'bytes/viewer':>14}",
    ]
    for kind, of in figures["contenders"].items():
        ratio = of["ratio_of_liveroom_to_it"]
        lines.append(f"{kind:12}{of['cpu_us_per_write']:10.2f}{of['cpu_us_per_delivery']:13.2f}{ratio:15.2f}{of['rss_bytes_per_viewer']:14}")
    if figures["ratio"] is not None:
        lines.append(f"liveroom takes {figures['ratio']:.2f} of what websockets.broadcast takes (target: at most {figures['target']})")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.fanout", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--viewers", type=int, default=2_000)
    parser.add_argument("--events-per-frame", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30, help="time of sending, over all rounds and servers")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS), help="which servers to compare liveroom with")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    kinds = list(dict.fromkeys(["liveroom", *args.only]))
    figures = measure(kinds, args.viewers, args.events_per_frame, args.seconds)
    if args.json:
        args.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    print(_table(figures))
    sys.exit(0 if figures["ok"] or "broadcast" not in kinds else 1)


if __name__ == "__main__":
    main()
