"""The commands of the accounts on the command line: verify-envelope, audit, restore-journal and export-money.

Each imports its own modules when it runs, because the command line is to start fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import astuple

from liveroom.accounting.statement import Totals
from liveroom.config.schema import Config
from liveroom.journal.tail import tail
from liveroom.messages.errors import LiveroomError
from liveroom.process.output import write_line

if TYPE_CHECKING:
    from liveroom.accounting.audit import PartitionAudit

__all__ = ["add_accounting_commands"]


def add_accounting_commands(commands: argparse._SubParsersAction[Any], common: Mapping[str, Any]) -> None:
    """Add the commands. `common` holds the arguments that every command's parser gets."""
    verifying = commands.add_parser("verify-envelope", help="recompute a red envelope's shares from its seed and check every grab", **common)
    verifying.add_argument("room", help="room id")
    verifying.add_argument("envelope", type=int, help="the red envelope's id: the seq of the event that dropped it, `#` in the console")
    verifying.add_argument("--file", type=Path, help="read events from this file instead of the journal, as JSON lines from `tail`")
    verifying.set_defaults(run=_verify_envelope)

    auditing = commands.add_parser("audit", help="recompute every account from the journal; fails at the first difference", **common)
    auditing.add_argument("room", nargs="?", default="", help="room id; without it, all rooms")
    auditing.set_defaults(run=_audit)

    restoring = commands.add_parser("restore-journal", help="replace the SQLite journal by a copy", **common)
    restoring.add_argument("file", type=Path, help="the copy; or the journal's own file, to accept its present content")
    restoring.set_defaults(run=_restore_journal)

    exporting = commands.add_parser("export-money", help="print a room's money events as rows; see docs/money.md", **common)
    exporting.add_argument("room", help="room id")
    exporting.add_argument("--format", default="jsonl", choices=["jsonl", "csv"])
    exporting.set_defaults(run=_export_money)


def _verify_envelope(config: Config, options: argparse.Namespace) -> None:
    from liveroom.accounting.verify_envelope import verify_envelope

    if options.file is None:
        proof = verify_envelope(tail(config, options.room, from_seq=0, follow=False), options.room, options.envelope)
    else:
        try:
            with options.file.open("rb") as lines:
                proof = verify_envelope(lines, options.room, options.envelope)
        except OSError as error:
            raise LiveroomError(f"{options.file}: {error.strerror}") from None
    for line in f"envelope {options.envelope} of room {options.room}: {proof.words()}".split("\n"):
        write_line(line)


def _audit(config: Config, options: argparse.Namespace) -> None:
    from liveroom.accounting.audit import audit

    audits = audit(config, options.room)
    for line in _table(_totals(audits)):
        write_line(line)
    events = sum(room.next_seq for one in audits for room in one.rooms.values())
    rooms, replies, skipped = (sum(counts) for counts in zip(*((len(b.rooms), b.replies, b.skipped) for b in audits), strict=True))
    print(f"{rooms} rooms, {events} events, {replies} replies; {skipped} entries do not count")
    _print_heads(audits)
    print("verdict: every account adds up, every command has one outcome, every entry is the one that was written")


def _totals(audits: list[PartitionAudit]) -> Iterator[tuple[str, ...]]:
    """A heading, then a line for every room with money events."""
    yield ("room", *Totals.__struct_fields__)
    for one in audits:
        for room in one.rooms.values():
            if room.ledger.seq >= 0:
                yield (room.room, *map(str, astuple(room.ledger.totals())))


def _table(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def _restore_journal(config: Config, options: argparse.Namespace) -> None:
    from liveroom.accounting.restore import restore_journal

    restored = restore_journal(config, options.file)
    rooms, events = len([room for one in restored.audits for room in one.rooms]), sum(r.next_seq for b in restored.audits for r in b.rooms.values())
    print(f"{rooms} rooms, {events} events, {restored.entries} entries; {restored.missing} entries of the replaced journal are gone")
    _print_heads(restored.audits)
    if restored.replaced is not None:
        print(f"the replaced journal is now {restored.replaced}")
    print("restored: the next start serves this journal, and every client begins with a keyframe")


def _print_heads(audits: list[PartitionAudit]) -> None:
    for one in audits:
        print(f"head of partition {one.partition}: {one.head.end} entries, chain {one.head.chain.hex()}")


def _export_money(config: Config, options: argparse.Namespace) -> None:
    from liveroom.accounting.export import export_money

    for line in export_money(config, options.room, options.format):
        write_line(line)
