"""Commands that wait for an answer are bounded in bytes, too."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from contextlib import suppress

import pytest
from msgspec.structs import replace

from liveroom.features.flash_sale.messages import ConfirmHold
from liveroom.features.moderation.messages import SetBannedWords
from liveroom.journal import commands_log
from liveroom.journal.commands_log import CommandsLog
from liveroom.messages.errors import JournalFull
from liveroom.messages.fields import Role
from liveroom.protocol.codec import decode_requests, encode
from liveroom.protocol.records import Request, Sender
from tests.journal.entries import request

WORDS = SetBannedWords(tuple(chr(0x4E00 + n) * 50 for n in range(500)))


def batch() -> Sequence[Request]:
    """A large command, as it comes out of the codec."""
    return decode_requests(encode([replace(request(), command=WORDS)]))


def fill(log: CommandsLog, one: Request) -> None:
    """Append the same until there is no room for it in bytes."""
    try:
        while True:
            log.append([one])
    except JournalFull as error:
        assert "bytes" in str(error)


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


def test_an_eighth_of_the_bytes_is_kept_for_staff(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes of viewers' lines wait, a payment is taken, until the bytes of all are used up."""
    monkeypatch.setattr(commands_log, "WAITING_BYTES_MAX", 100_000)
    log, line = CommandsLog(0, 1_000_000), request(text="x" * 300)
    payment = replace(line, sender=Sender("shop", "shop", Role.platform), command=ConfirmHold(1, "pay-1"))
    fill(log, line)
    with pytest.raises(JournalFull, match="bytes"):
        log.append([payment, line])  # beside a payment a viewer's line has no more room
    for _ in range(2):
        log.append([payment])
        with pytest.raises(JournalFull, match="bytes"):
            log.append([line])
    fill(log, payment)


def test_a_command_that_cannot_be_encoded_is_measured_too() -> None:
    """Measuring is no check: a command with half a character is the engine's to refuse, and its batch waits like any other."""
    log = CommandsLog(0, 1_000)
    log.append([request(text="half \ud83d"), request("c2", text="x" * 300)])
    assert log.end == 1
