"""The stored log: a journal's entries for commands that read it from outside, also while servers write."""

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
    """A stored log.

    Its calls block, so an event loop runs them in a thread, one at a time.
    Memory is bounded, whatever the length of the log.
    """

    #: The journal's number of partitions.
    partitions: int
    #: The text from which the hash chain of every partition starts.
    chain_text: str

    def entries(self, partition: int, offset: int = 0) -> Iterator[PastEntry]:
        """Entries from `offset` up to at least the present end.
        To follow, call again with the next offset every 200 ms or so.

        Raises: `JournalUnavailable`; `JournalDamaged` when an entry from `offset` on is missing or cannot be read.
        """

    def verify(self, *, against_mark: bool = True) -> None:
        """Check the data beside the entries, and that the log reaches as far as it must. Raises `JournalDamaged`, `JournalUnavailable`."""

    def close(self) -> None:
        """Release everything."""


def open_stored_log(config: Config) -> AbstractContextManager[StoredLog]:
    """Open the stored log of the configured journal, for reading only.
    No server needs to run.

    Raises: `BadConfig` for a journal in memory, `JournalUnavailable` when there is none, `JournalVersion`, `JournalDamaged`.
    """
    match config.journal.kind:
        case "sqlite":
            return open_reader(Path(config.liveroom.data_dir))
        case "kafka":
            from liveroom.journal.kafka.stored_log import open_kafka_stored_log  # the client library is slow to import

            return open_kafka_stored_log(config.kafka)
    raise BadConfig(f"journal.kind: a journal of kind {config.journal.kind} has no past that can be read; sqlite and kafka have")
