"""What waits for an answer is bounded in bytes, too."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from contextlib import suppress

import pytest
from msgspec.structs import replace

from liveroom.codec import decode_requests, encode
from liveroom.errors import JournalFull
from liveroom.journal import commands_log
from liveroom.journal.commands_log import CommandsLog
from liveroom.messages.commands import SetBannedWords
from liveroom.messages.records import Request
from tests.journal.entries import request

WORDS = SetBannedWords(tuple(chr(0x4E00 + n) * 50 for n in range(500)))


def batch() -> Sequence[Request]:
    """A large command, as it comes out of the codec."""
    return decode_requests(encode([replace(request(), command=WORDS)]))


def test_the_commands_that_wait_take_no_more_memory_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few large ones are refused as many small ones are; what was answered makes room."""
    monkeypatch.setattr(commands_log, "WAITING_BYTES_MAX", 10_000_000)
    log, taken = CommandsLog(0, 1_000_000), 0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with suppress(JournalFull):
            while True:
                log.append(batch())
                taken += 1
        assert tracemalloc.get_traced_memory()[0] - before <= 10_000_000
    finally:
        tracemalloc.stop()
    assert 10 < taken < 200
    log.trim(1)
    log.append(batch())
    with pytest.raises(JournalFull, match="bytes"):
        log.append(batch())


def test_a_command_that_cannot_be_encoded_is_measured_too() -> None:
    """Measuring is no check: a command with half a character is the engine's to refuse, and its batch waits like any other."""
    log = CommandsLog(0, 1_000)
    log.append([request(text="half \ud83d"), request("c2", text="x" * 300)])
    assert log.end == 1
