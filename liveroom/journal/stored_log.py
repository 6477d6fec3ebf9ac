"""A journal's past: what stands in it now, for whoever reads it from outside, also while servers write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from liveroom.config.schema import Config
from liveroom.journal.base import PastEntry
from liveroom.journal.sqlite.reader import open_reader
from liveroom.messages.errors import BadConfig

__all__ = ["StoredLog", "open_stored_log"]


class StoredLog(Protocol):
    """What it does blocks, so in an event loop it belongs into a thread; one thread at a time. Memory is bounded, however long the past."""

    #: Number of partitions, as the journal was made.
    partitions: int
    #: What the hash chain of every partition begins with.
    chain_text: str

    def entries(self, partition: int, offset: int = 0) -> Iterator[PastEntry]:
        """Entries from `offset` up to the present end at least; to follow, ask again from the next offset every 200 ms or so.

        Raises: `JournalUnavailable`; `JournalDamaged` when something from `offset` on is missing or no entry.
        """

    def verify(self, *, against_mark: bool = True) -> None:
        """Check what stands beside the entries, and how far they must reach at least. Raises `JournalDamaged`, `JournalUnavailable`."""

    def close(self) -> None:
        """Release everything."""


def open_stored_log(config: Config) -> AbstractContextManager[StoredLog]:
    """The past of the journal that the settings name, for reading only; needs none of the processes to run.

    Raises: `BadConfig` for a journal in memory, `JournalUnavailable` when there is none, `JournalVersion`, `JournalDamaged`.
    """
    match config.journal.kind:
        case "sqlite":
            return open_reader(Path(config.liveroom.data_dir))
        case "kafka":
            from liveroom.journal.kafka.stored_log import open_kafka_past  # its client takes long to import: only who uses it waits

            return open_kafka_past(config.kafka)
    raise BadConfig(f"journal.kind: a journal of kind {config.journal.kind} has no past that can be read; sqlite and kafka have")
