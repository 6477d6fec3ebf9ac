"""The mark beside the journal: it says what was noted, and nothing when a byte of it is another."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from liveroom.journal.sqlite.mark import LINE_BYTES, MARK_FILE, Head, Mark, Marked, read_mark
from liveroom.messages.errors import JournalDamaged

MARKED = Marked("0123456789abcdef", "a1b2c3d4", (Head(0, b"\0" * 32), Head(2**62, b"\xff" * 32)))


@pytest.fixture
def mark(tmp_path: Path) -> Mark:
    return Mark(tmp_path, MARKED)


def test_it_says_what_was_noted(mark: Mark, tmp_path: Path) -> None:
    """From its making on, and after each note, in the file that others read; for its owner alone."""
    assert read_mark(tmp_path) == MARKED
    later = Head(2**62 + 1, bytes(range(32)))
    mark.note([(1, later)])
    found = read_mark(tmp_path)
    assert found is not None
    assert found.heads == (MARKED.heads[0], later)
    assert stat.S_IMODE((tmp_path / MARK_FILE).stat().st_mode) == 0o600
    mark.close()


def test_lines_never_cross_a_page(mark: Mark, tmp_path: Path) -> None:
    """A killed process leaves a note whole: all lines have one size, which divides a page."""
    lines = (tmp_path / MARK_FILE).read_bytes().splitlines(keepends=True)
    assert {len(line) for line in lines} == {LINE_BYTES}
    assert 4096 % LINE_BYTES == 0
    mark.close()


def test_no_byte_changes_unseen(mark: Mark, tmp_path: Path) -> None:
    """Whichever bit is flipped, and wherever the file is cut, it is damaged, and the way out is named."""
    mark.close()
    path = tmp_path / MARK_FILE
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        with pytest.raises(JournalDamaged, match="restore-journal"):
            read_mark(tmp_path)
    for size in (0, 1, LINE_BYTES, 2 * LINE_BYTES, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(JournalDamaged):
            read_mark(tmp_path)


def test_it_is_written_again_where_it_was_removed(mark: Mark, tmp_path: Path) -> None:
    """Somebody may remove it alone; what is noted is then written into a new file."""
    assert mark.is_there
    (tmp_path / MARK_FILE).unlink()
    assert not mark.is_there
    again = mark.again(MARKED.heads)
    assert read_mark(tmp_path) == MARKED
    again.close()
