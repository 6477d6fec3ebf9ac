"""Runs one load test: `python -m loadtests COMMAND ...`; `--help` lists the commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple

__all__ = ["COMMANDS", "Command", "main"]


class Command(NamedTuple):
    """One load test: the module whose `main` runs it, and one line for `--help`."""

    module: str
    summary: str


COMMANDS: Final[dict[str, Command]] = {
    "swarm": Command(
        "loadtests.storm.swarm",
        "a swarm of viewers, by scenario: steady, join, reconnect, slow, overload, many-rooms, red-envelope, coupon, flash-sale",
    ),
    "replay": Command("loadtests.crowd.replay", "a real chat from a file, sent through real sockets"),
    "chaos": Command("loadtests.chaos.chaos", "faults of processes and brokers while money flows"),
    "kills": Command("loadtests.chaos.kills", "SIGKILL again and again while people buy, grab and chat"),
    "bitflips": Command("loadtests.chaos.bitflips", "single bits flipped in copies of a journal"),
    "hostile": Command("loadtests.hostile.hostile", "honest users beside hostile clients on one server"),
    "fanout": Command("loadtests.bench.fanout", "the cost of a delivery, beside websockets.broadcast and bare writes"),
    "decisions": Command("loadtests.bench.decisions", "claims that the engine decides per second, beside Redis"),
    "codecs": Command("loadtests.bench.codecs", "three ways to decode and check a command"),
    "joins": Command("loadtests.bench.joins", "viewers that a gateway on Kafka lets in per second"),
    "round-trip": Command("loadtests.bench.round_trip", "the time from a command to its answer through Kafka"),
    "closed-rooms": Command("loadtests.bench.closed_rooms", "the cost of closed rooms on an idle server"),
}


def main(arguments: Sequence[str]) -> int:
    """Run a load test; returns its exit code."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="python -m loadtests",
        usage="%(prog)s COMMAND ...",
        description="Load tests and benchmarks of liveroom.",
        epilog="\n".join(["commands (each has its own --help):", *(f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    # Only the first argument belongs to this parser. Modules load late, because each needs other packages of the `load` extra.
    command = COMMANDS[parser.parse_args(arguments[:1]).command]
    run: Callable[[Sequence[str]], int] = import_module(command.module).main
    return run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
