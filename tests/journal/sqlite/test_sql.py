"""The SQL in docs/journal.md, run on a journal in use."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.journal.base import DeadLetter
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.protocol.frames import Refused
from liveroom.protocol.records import RECORD_VERSION, CommandReply, Record, RoomSpan
from tests.journal.entries import append_all, command_reply, record, request, takeover

DOC = Path(__file__).parents[3] / "docs" / "journal.md"
STATEMENTS = re.findall(r"```sql\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
TIME_MS = 1_700_000_000_123


@pytest.fixture
async def rows(sqlite: SqliteJournal, tmp_path: Path) -> list[list[dict[str, Any]]]:
    """The result of each statement of the page, in its order."""
    spans = {
        "lamp-sale": RoomSpan(1, (ChatSent("vera", "Vera", "二 \"quoted\" 'lines'"), AnnouncementSet("hello"))),
        "other-room": RoomSpan(0, (ChatSent("bob", "Bob", "elsewhere"),)),
    }
    replies = (command_reply(request("c1")), CommandReply("lamp-sale", "vera", 0, Refused("c2", "muted", "muted until later")))
    second = Record(RECORD_VERSION, 0, 1, 1, 3, TIME_MS, spans, replies)
    zombie = record(7, 2, 3, 4, text="never happened")
    await append_all(sqlite, [takeover("engine-a"), record(0, 0, 0, 1, text="one", time_ms=TIME_MS - 1_000), second, zombie])
    await sqlite.write_dead_letter(DeadLetter(0, 3, TIME_MS, "why", "{}"))
    connection = sqlite3.connect((tmp_path / FILE_NAME).as_uri() + "?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    found = [[dict(row) for row in connection.execute(statement)] for statement in STATEMENTS]
    connection.close()
    return found


@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 38), reason="the page uses SQLite's ->> operator")
async def test_every_statement_tells_what_the_page_says(rows: list[list[dict[str, Any]]]) -> None:
    """The room's events that count, in order of their seq; its chat; a user's replies; takeovers; verdicts; dead letters."""
    story, chat, replies, takeovers, verdicts, letters = rows
    assert [(row["seq"], row["time"], row["type"]) for row in story] == [
        (0, "2023-11-14 22:13:19.123", "chat_sent"),
        (1, "2023-11-14 22:13:20.123", "chat_sent"),
        (2, "2023-11-14 22:13:20.123", "announcement_set"),
    ]
    assert [(row["user"], row["text"]) for row in chat] == [("vera", "one"), ("vera", "二 \"quoted\" 'lines'")]
    assert [(row["id"], row["outcome"], row["code"]) for row in replies] == [("c1", "accepted", None), ("c2", "refused", "muted")]
    assert [(row["partition"], row["offset"], row["owner"]) for row in takeovers] == [(0, 0, "engine-a")]
    assert {row["verdict"]: row["entries"] for row in verdicts} == {"takeover": 1, "accepted": 2, "foreign_fencing_epoch": 1}
    assert [(row["reason"], row["payload"]) for row in letters] == [("why", "{}")]
