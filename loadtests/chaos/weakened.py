"""liveroom with a part of its safety taken out: `python -m loadtests.chaos.weakened HOW[,HOW] COMMAND ...`, COMMAND as for `liveroom`.

For one purpose: to see that the chaos test notices. No setting of liveroom does any of this.

- `without-fencing_epoch`, `without-after`: the acceptance rule without that check, in whatever this process reads.
- `behind`: whenever this engine takes over, its fold misses the newest records, as if it had read a copy that lags. Kafka never
  gives it such a one: clients read from the leader.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

from msgspec.structs import replace

from liveroom import cli
from liveroom.engine.owner import Owner
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import StoredEntry
from liveroom.protocol.records import Entry, Record, Takeover

__all__ = ["RECORDS_MISSED"]

#: Records before its takeover that an engine which is behind misses.
RECORDS_MISSED: Final = 5

_judge = Acceptance.judge
_recover = Owner._recover


def _lenient(self: Acceptance, offset: int, entry: Record) -> Verdict:
    """The rule for a record, wherever it begins."""
    verdict = _judge(self, offset, replace(entry, from_=self.next_command, to=self.next_command))
    if verdict is Verdict.accepted:
        self.next_command = entry.to
    return verdict


def _without_fencing_epoch(self: Acceptance, offset: int, entry: Entry) -> Verdict:
    return _judge(self, offset, entry) if isinstance(entry, Takeover) else _lenient(self, offset, replace(entry, fencing_epoch=self.fencing_epoch))


def _without_after(self: Acceptance, offset: int, entry: Entry) -> Verdict:
    return _judge(self, offset, entry) if isinstance(entry, Takeover) else _lenient(self, offset, replace(entry, after=self.after))


class _Behind:
    """A journal whose events miss the newest before a takeover."""

    def __init__(self, journal: Any, takeover: Takeover) -> None:
        self._journal = journal
        self._takeover = takeover

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        held: deque[StoredEntry] = deque()
        async for stored in self._journal.read_events(partition, offset):
            if stored.entry == self._takeover:
                break
            held.append(stored)
            while sum(not isinstance(one.entry, Takeover) for one in held) > RECORDS_MISSED:
                yield held.popleft()
        for one in (*held, stored):
            if isinstance(one.entry, Takeover):
                yield one


async def _recover_behind(self: Owner, takeover: Takeover) -> None:
    whole = self._journal
    self._journal = _Behind(whole, takeover)  # type: ignore[assignment]  # all of a journal but this
    try:
        await _recover(self, takeover)
    finally:
        self._journal = whole


def main() -> None:
    """Weaken, then run liveroom."""
    hows, *rest = sys.argv[1:]
    for how in hows.split(","):
        match how:
            case "without-fencing_epoch":
                Acceptance.judge = _without_fencing_epoch  # type: ignore[method-assign]
            case "without-after":
                Acceptance.judge = _without_after  # type: ignore[method-assign]
            case "behind":
                Owner._recover = _recover_behind  # type: ignore[method-assign]
            case _:
                sys.exit(f"weakened: {how!r} is none of without-fencing_epoch, without-after, behind")
    cli.main(rest)


if __name__ == "__main__":
    main()
