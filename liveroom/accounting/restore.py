"""Replaces the embedded journal by a copy: on explicit request, fully checked, and so that no client resumes into another history."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from liveroom.accounting.audit import PartitionAudit, audit
from liveroom.config.schema import Config
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.lock import DirectoryLock
from liveroom.journal.sqlite.mark import read_mark
from liveroom.journal.sqlite.restore import copy_into, put_in_place
from liveroom.messages.errors import BadConfig, JournalDamaged, JournalMismatch, JournalUnavailable

__all__ = ["Restored", "restore_journal"]


class Restored(Struct, frozen=True):
    """The result of a restore: the restored entries, the lost entries, and the folder of the replaced files."""

    audits: list[PartitionAudit]
    missing: int
    replaced: Path | None

    @property
    def entries(self) -> int:
        """The number of restored entries, over all partitions."""
        return sum(one.head.end for one in self.audits)


def restore_journal(config: Config, file: Path) -> Restored:
    """Check a copy as `liveroom audit` does, and make it the current journal under a new incarnation.
    No server may run.

    Raises: `BadConfig`, `JournalLocked`, `JournalMismatch`, `JournalUnavailable`; `JournalDamaged` or `AuditFailed` when the copy is not
    whole.
    After an error nothing has changed.
    """
    if config.journal.kind != "sqlite":
        raise BadConfig(f"journal.kind: a journal of kind {config.journal.kind} is not restored from a file; sqlite is")
    data_dir = Path(config.liveroom.data_dir)
    lock = DirectoryLock(data_dir)
    try:
        path = data_dir / FILE_NAME
        in_place = _is_same(file, path)
        directory = data_dir if in_place else copy_into(data_dir, file)
        try:
            return _restore(config, data_dir, directory)
        finally:
            if not in_place:
                shutil.rmtree(directory, ignore_errors=True)
    finally:
        lock.release()


def _is_same(file: Path, path: Path) -> bool:
    try:
        return file.exists() and path.exists() and os.path.samefile(file, path)
    except OSError as error:
        raise JournalUnavailable(f"{error.filename}: cannot be looked at: {error.strerror}") from None


def _restore(config: Config, data_dir: Path, directory: Path) -> Restored:
    audits = audit(replace(config, liveroom=replace(config.liveroom, data_dir=str(directory))), against_mark=False)
    if len(audits) != config.journal.partitions:
        raise JournalMismatch(f"the copy has {len(audits)} partitions, the settings say {config.journal.partitions} (journal.partitions)")
    heads = [one.head for one in audits]
    missing = _missing(data_dir, heads=[head.end for head in heads])
    return Restored(audits, missing, put_in_place(data_dir, directory / FILE_NAME, heads))


def _missing(data_dir: Path, heads: list[int]) -> int:
    """Entries that the mark lists and the copy lacks; 0 if no mark can be read."""
    try:
        marked = read_mark(data_dir)
    except JournalDamaged:
        return 0
    return sum(max(0, head.end - end) for head, end in zip(marked.heads, heads, strict=False)) if marked is not None else 0
