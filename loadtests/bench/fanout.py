"""The cost of a delivery: the gateway's write path beside `websockets.broadcast` and bare writes, in one run.

    python -m loadtests fanout --viewers 2000 --events-per-frame 2 --seconds 30 --json fanout.json

With `--centrifugo`, Centrifugo takes part with one Go processor.
All Python servers run on uvloop. Each server has a process of its own, with the same number of loopback viewers in reader processes.
They take turns with every frame, so that other load on the machine hits all alike. Figures are medians over the frames;
ratios are medians of the ratios within a turn. A delivery is one event at one viewer.

There are two measurements. In `compressed`, viewers offer permessage-deflate as every browser does, and both servers accept it by default:
the gateway compresses a frame once, `broadcast` once per viewer. In `plain`, viewers offer no compression.
There a delivery is little more than the kernel's own work, and `bare` shows how little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from liveroom.auth.tokens import make_token
from liveroom.config.schema import AuthConfig
from liveroom.messages.fields import Role
from loadtests.bench.contenders import CENTRIFUGO_INSTALL, ROOM, SECRET, FrameSample, run_contender
from loadtests.bench.readers import run_readers
from loadtests.lib.meters import children_of
from loadtests.lib.progress import Bar
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_files
from loadtests.lib.report_page import Figure, text_of

#: Frames that are sent before any is counted.
WARM_UP_FRAMES = 5
FRAMES_MIN = 10
#: Pause after each frame, in which the readers take it and the kernel settles, per viewer.
PAUSE_US_PER_VIEWER = 15
PAUSE_S_MIN = 0.01
CONNECT_AT_ONCE = 100
ARRIVE_S_MAX = 20
SETTLE_S = 1.0
STOP_S_MAX = 5
TARGET = 0.5
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


class ReaderProcess:
    """A reader process, seen from here."""

    def __init__(self, context: multiprocessing.context.SpawnContext, cpu: int | None) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=run_readers, args=(theirs, cpu), daemon=True)
        self.process.start()

    def connect(self, port: int, path: str, viewers: int, headers: str) -> None:
        """All viewers to a server."""
        auth = AuthConfig()
        for at in range(0, viewers, CONNECT_AT_ONCE):
            users = [f"u{i}" for i in range(at, min(viewers, at + CONNECT_AT_ONCE))]
            tokens = [make_token(SECRET, auth, user=u, room=ROOM, role=Role.viewer, lifetime_s=36_000) for u in users]
            _ask(self.pipe, ("connect", port, [path.replace("{token}", token) for token in tokens], headers))

    def frames(self) -> int:
        """Text frames that came so far."""
        count: int = _ask(self.pipe, ("count",))
        return count


class Server:
    """One contender's process and its viewers, seen from here."""

    def __init__(
        self, context: multiprocessing.context.SpawnContext, kind: str, viewers: int, events: int, cpus: tuple[int | None, int | None]
    ) -> None:
        self.kind = kind
        self.viewers = viewers
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=run_contender, args=(kind, theirs, viewers, events, cpus[0]), daemon=True)
        self.process.start()
        self.port, self.rss_empty, self.path = self.pipe.recv()
        self.crowd = ReaderProcess(context, cpus[1])
        self.us: list[float] = []  # CPU per write, one entry a frame
        self.rss_bytes = 0
        self.frames_at_start = 0

    def connect(self, headers: str) -> None:
        """Let the viewers in; what joining brings them is not counted later."""
        self.crowd.connect(self.port, self.path, self.viewers, headers)
        while (count := self.crowd.frames()) != self.frames_at_start:
            self.frames_at_start = count
            time.sleep(SETTLE_S)

    def frame(self) -> None:
        """Send one frame to all."""
        sample: FrameSample = _ask(self.pipe, True)
        self.us.append(sample.cpu_s * 1e6 / self.viewers)
        self.rss_bytes = self.rss_bytes or sample.rss_bytes

    def missing(self) -> int:
        """Frames that were sent and have not come."""
        return self.frames_at_start + len(self.us) * self.viewers - self.crowd.frames()

    def stop(self) -> None:
        """End all processes, the readers first, because a server that ends looks like a fault to them."""
        self.crowd.process.terminate()
        self.crowd.process.join()
        self.pipe.send(False)
        self.process.join(timeout=STOP_S_MAX)
        self.process.terminate()
        self.process.join()


def _ask(pipe: Connection, order: Any) -> Any:
    pipe.send(order)
    return pipe.recv()


def measure(kinds: list[str], viewers: int, events: int, seconds: float, bar: Bar, *, deflate: bool) -> dict[str, Any]:
    """Connect, take turns, check that every frame arrived; gives the figures as plain values."""
    context = multiprocessing.get_context("spawn")
    found = sorted(os.sched_getaffinity(0))
    cpus = (found[0], found[1]) if len(found) > 1 else (None, None)
    servers: list[Server] = []
    try:
        for kind in kinds:
            bar.update(0, f"s, connecting {viewers} viewers to {kind}")
            servers.append(Server(context, kind, viewers, events, cpus))
            servers[-1].connect(OFFER if deflate else "")
        frames = _take_turns(servers, viewers, seconds, bar)
        _check(servers)
        return _figures(servers, events, frames)
    finally:
        for server in servers:
            server.stop()


def _take_turns(servers: list[Server], viewers: int, seconds: float, bar: Bar) -> int:
    """Frames until the time is over; gives how many each server sent."""
    pause_s = max(PAUSE_S_MIN, viewers * PAUSE_US_PER_VIEWER / 1e6)
    end = time.monotonic() + seconds
    frames = 0
    while frames < WARM_UP_FRAMES + FRAMES_MIN or time.monotonic() < end:
        for server in servers:
            server.frame()
            time.sleep(pause_s)
        frames += 1
        medians = ", ".join(f"{s.kind} {median(s.us[WARM_UP_FRAMES:]):.2f} us" for s in servers) if frames > WARM_UP_FRAMES else "warm-up"
        bar.update(seconds - max(0.0, end - time.monotonic()), f"s, {frames} frames: {medians}")
    return frames


def _check(servers: list[Server]) -> None:
    """Every frame reached every viewer; raises `SystemExit` when not."""
    deadline = time.monotonic() + ARRIVE_S_MAX
    while missing := {s.kind: n for s in servers if (n := s.missing())}:
        if time.monotonic() > deadline:
            raise SystemExit(f"these frames did not come: {missing}")
        time.sleep(0.1)


def _figures(servers: list[Server], events: int, frames: int) -> dict[str, Any]:
    ours = next(s for s in servers if s.kind == "liveroom").us[WARM_UP_FRAMES:]
    contenders = {}
    for server in servers:
        us = server.us[WARM_UP_FRAMES:]
        contenders[server.kind] = {
            "cpu_us_per_write": round(median(us), 2),
            "cpu_us_per_delivery": round(median(us) / events, 3),
            "ratio_of_liveroom_to_it": round(median(a / b for a, b in zip(ours, us, strict=True)), 3),
            "rss_bytes_per_viewer": round((server.rss_bytes - server.rss_empty) / server.viewers),
        }
    ratio = contenders.get("broadcast", {}).get("ratio_of_liveroom_to_it")
    return {"ok": ratio is not None and ratio <= TARGET, "ratio": ratio, "frames": frames - WARM_UP_FRAMES, "contenders": contenders}


def _page_figures(mode: str, figures: dict[str, Any]) -> list[Figure]:
    return [
        Figure(
            f"{kind}, {mode}",
            f"{text_of(of['cpu_us_per_delivery'])} µs",
            f"CPU time a delivery; liveroom takes {text_of(of['ratio_of_liveroom_to_it'])} times it",
        )
        for kind, of in figures["contenders"].items()
    ]


def _table(mode: str, figures: dict[str, Any]) -> str:
    lines = [
        f"{mode}, medians over {figures['frames']} frames",
        f"{'':12}{'us/write':>10}{'us/delivery':>13}{'liveroom / it':>15}{'bytes/viewer':>14}",
    ]
    for kind, of in figures["contenders"].items():
        ratio = of["ratio_of_liveroom_to_it"]
        lines.append(f"{kind:12}{of['cpu_us_per_write']:10.2f}{of['cpu_us_per_delivery']:13.2f}{ratio:15.2f}{of['rss_bytes_per_viewer']:14}")
    if figures["ratio"] is not None:
        lines.append(f"liveroom takes {figures['ratio']:.2f} of what websockets.broadcast takes (target: at most {TARGET})")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Compare the servers; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests fanout", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--viewers", type=int, default=2_000)
    parser.add_argument("--events-per-frame", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30, help="time of sending, over all servers and modes")
    parser.add_argument("--mode", choices=["compressed", "plain"], help="measure one of them only")
    parser.add_argument("--centrifugo", action="store_true", help=f"measure Centrifugo, too; install it with: {CENTRIFUGO_INSTALL}")
    add_report_options(parser)
    args = parser.parse_args(arguments)
    viewers, events = args.viewers, args.events_per_frame
    modes = [args.mode] if args.mode else ["compressed", "plain"]
    measured: dict[str, dict[str, Any]] = {}
    recorder = Recorder()
    recorder.watch("servers and readers", lambda: children_of(os.getpid()))
    print(f"{viewers} viewers, {events} events a frame")
    with recorder:
        for mode in modes:
            deflate = mode == "compressed"
            kinds = ["liveroom", "broadcast"] if deflate else ["liveroom", "broadcast", "bare"]
            kinds += ["centrifugo"] if args.centrifugo else []
            recorder.stage(mode, args.seconds / len(modes))
            measured[mode] = measure(kinds, viewers, events, args.seconds / len(modes), recorder, deflate=deflate)
            print(_table(mode, measured[mode]), flush=True)
    figures = {"ok": measured[modes[0]]["ok"], "target": TARGET, "viewers": viewers, "events_per_frame": events, **measured}
    write_files(figures, args, recorder, [figure for mode, of in measured.items() for figure in _page_figures(mode, of)])
    return 0 if figures["ok"] else 1
