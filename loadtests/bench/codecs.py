"""How fast a command is decoded and checked: msgspec's typed decoder, orjson and then msgspec's convert, pydantic.

    python -m loadtests codecs [--seconds S] [--json FILE]

All three get the same frames and check the same limits; they take turns in short rounds, so that a busy moment
of the machine falls on all of them. The figure of a side is its median round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import orjson

from liveroom.features.chat.messages import SendChat
from liveroom.features.likes.messages import SendLikes
from liveroom.features.moderation.messages import SetBannedWords
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.protocol.codec import encode
from liveroom.protocol.inbound import ClientMessage
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_files
from loadtests.lib.report_page import Figure, text_of

Decode = Callable[[bytes], Any]

ROUND_S = 0.02

FRAMES: dict[str, bytes] = {
    "send_likes": encode(ClientMessage("c1", SendLikes(3))),
    "send_chat, 20 characters": encode(ClientMessage("c2", SendChat("这个有蓝色吗？ thank you"))),
    "send_chat, 300 characters": encode(ClientMessage("c3", SendChat(("很好看 nice! " * 30)[:300]))),
    "add_product": encode(ClientMessage("c4", AddProduct(Product("p1", "Silk scarf", 9_900, "https://shop.example/p1.jpg")))),
    "set_banned_words, 200 words": encode(ClientMessage("c5", SetBannedWords(tuple(f"word {i}" for i in range(200))))),
}

#: Invalid messages that every side must refuse, or the comparison is not fair.
BAD_FRAMES = (
    b'{"id":"c1","command":{"type":"send_chat","text":""}}',
    b'{"id":"c1","command":{"type":"send_chat","text":"a","x":1}}',
    b'{"id":"c 1","command":{"type":"send_chat","text":"a"}}',
    b'{"id":"c1","command":{"type":"send_likes","count":51}}',
    b'{"id":"c1","command":{"type":"send_likes","count":"1"}}',
    b'{"id":"c1","command":{"type":"steal_money"}}',
)


def sides() -> dict[str, Decode]:
    """The three ways, each from bytes to a checked, typed command."""
    decoder = msgspec.json.Decoder(ClientMessage)
    return {
        "msgspec": decoder.decode,
        "orjson + convert": lambda data: msgspec.convert(orjson.loads(data), ClientMessage),
        "pydantic": _pydantic(),
    }


def _pydantic() -> Decode:
    try:
        import pydantic
    except ImportError:
        sys.exit("codecs: pydantic is one side of this comparison and is not installed; pip install -e '.[load]'")
    from loadtests.bench.pydantic_models import model_of

    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(model_of(ClientMessage))
    return adapter.validate_json


def measure(decoders: dict[str, Decode], frame: bytes, seconds: float) -> dict[str, float]:
    """Microseconds per frame of each side."""
    counts = {name: _frames_per_round(decode, frame) for name, decode in decoders.items()}
    rounds: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(max(3, int(seconds / ROUND_S / len(decoders)))):
        for name, decode in decoders.items():
            rounds[name].append(_round(decode, frame, counts[name]) / counts[name] * 1e6)
    return {name: statistics.median(times) for name, times in rounds.items()}


def _frames_per_round(decode: Decode, frame: bytes) -> int:
    count = 1
    while (took := _round(decode, frame, count)) < ROUND_S / 4:
        count *= 2
    return max(1, int(count * ROUND_S / took))


def _round(decode: Decode, frame: bytes, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        decode(frame)
    return time.perf_counter() - began


def check_fair(decoders: dict[str, Decode]) -> None:
    """Every side takes the good frames with the same values and refuses the bad ones."""
    for name, decode in decoders.items():
        for frame in FRAMES.values():
            value = decode(frame)
            plain = value.model_dump(exclude_unset=True) if hasattr(value, "model_dump") else msgspec.to_builtins(value)
            if orjson.loads(orjson.dumps(plain)) != orjson.loads(frame):
                sys.exit(f"codecs: {name} reads another command from {frame!r}")
        for frame in BAD_FRAMES:
            try:
                decode(frame)
            except ValueError:
                continue
            sys.exit(f"codecs: {name} takes {frame!r}")


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and write it as JSON when asked; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests codecs", description="Compare three ways to decode and check a command.")
    parser.add_argument("--seconds", type=float, default=3.0, help="time per kind of frame (default: 3)")
    add_report_options(parser)
    options = parser.parse_args(arguments)
    decoders = sides()
    check_fair(decoders)
    report: list[dict[str, Any]] = []
    recorder = Recorder()
    recorder.watch("this process", lambda: [os.getpid()])
    print(f"{'microseconds per frame':30} {'bytes':>6}  " + "  ".join(f"{name:>24}" for name in decoders))
    with recorder:
        for kind, frame in FRAMES.items():
            recorder.stage(kind, 1)
            took = measure(decoders, frame, options.seconds)
            least = took["msgspec"]
            print(f"{kind:30} {len(frame):6}  " + "  ".join(f"{us:14.2f} ({us / least:5.1f} x)" for us in took.values()), flush=True)
            ratios = {name: round(us / least, 2) for name, us in took.items()}
            report.append({"frame": kind, "bytes": len(frame), "us": {n: round(us, 3) for n, us in took.items()}, "ratio": ratios})
    figures = [Figure(row["frame"], f"{text_of(row['us']['msgspec'])} µs", f"others: {text_of(row['ratio'])} times") for row in report]
    write_files({"ok": True, "frames": report}, options, recorder, figures)
    return 0
