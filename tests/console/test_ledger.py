"""A room's accounts over HTTP: for the anchor and the platform, true to the journal, and an honest no where there is none to read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest

from liveroom.accounting.audit import audit
from liveroom.accounting.statement import Statement
from liveroom.messages.errors import AuditFailed, JournalDamaged, JournalError, JournalUnavailable
from liveroom.messages.fields import Role
from tests.console.contract import check_answer
from tests.console.live import ANCHOR, MODERATOR, PLATFORM, VIEWER, Live, serve_all, token
from tests.ledgers import an_evening, folded
from tests.serving import Server

LEDGER = "/v1/rooms/r1/ledger"


async def evening(room: str) -> Statement:
    """Accounts of every kind."""
    return folded(an_evening().story).statement(room)


async def broken(room: str) -> Statement:
    """A journal that was changed."""
    raise AuditFailed(room, 7, "granted_fen is 1, but 2 follows from what happened before")


async def test_the_anchor_and_the_platform_read_it() -> None:
    """The answer is as described, with all accounts, and must not be cached."""
    async with serve_all(read_ledger=evening) as live:
        await live.do("open_room", {"title": "t"})
        for who in (ANCHOR, PLATFORM):
            answer = await live.get(LEDGER, token=who)
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
            statement = msgspec.convert(answer.json, Statement)
            assert statement == await evening("r1")
            assert (len(statement.envelopes), len(statement.coupons), len(statement.sales)) == (4, 1, 1)


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [("", 401, "bad_token"), (VIEWER, 403, "forbidden"), (MODERATOR, 403, "forbidden"), (token("anna", Role.anchor, "r2"), 403, "wrong_room")],
)
async def test_nobody_else_reads_it(live: Live, who: str, status: int, code: str) -> None:
    """Neither viewers nor moderators nor another room's anchor."""
    await live.do("open_room", {"title": "t"})
    answer = await live.get(LEDGER, token=who)
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_a_room_that_never_was_has_none(live: Live) -> None:
    """404 as everywhere."""
    answer = await live.get(LEDGER, token=ANCHOR)
    assert (answer.status, answer.json["code"]) == (404, "room_not_found")


async def test_a_journal_in_memory_says_that_it_cannot(live: Live) -> None:
    """501, not an empty account."""
    await live.do("open_room", {"title": "t"})
    answer = await live.get(LEDGER, token=ANCHOR)
    assert (answer.status, answer.json["code"]) == (501, "no_ledger")


async def test_what_does_not_add_up_is_a_problem_that_names_it() -> None:
    """500 with the first difference: no numbers are shown."""
    async with serve_all(read_ledger=broken) as live:
        await live.do("open_room", {"title": "t"})
        answer = await live.get(LEDGER, token=ANCHOR)
        assert (answer.status, answer.json["code"]) == (500, "ledger_broken")
        assert "room r1, seq 7" in answer.json["detail"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(JournalUnavailable("no broker at b:9"), 503, "ledger_unavailable"), (JournalDamaged("begins at 7"), 501, "no_ledger")],
)
async def test_a_journal_that_cannot_be_read_is_a_problem(error: JournalError, status: int, code: str) -> None:
    """503 while it does not answer, 501 when it is not whole; the answer hides how the servers store it."""

    async def failing(room: str) -> Statement:
        raise error

    async with serve_all(read_ledger=failing) as live:
        await live.do("open_room", {"title": "t"})
        answer = await live.get(LEDGER, token=ANCHOR)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert str(error) not in answer.json["detail"]


async def test_a_real_server_shows_what_the_audit_finds(tmp_path: Path) -> None:
    """The ledger includes a command as soon as it is answered, and the audit of the same journal agrees, even while the server runs."""
    async with Server(tmp_path / "data") as server:
        await server.command("demo", "open_room", {"title": "Evening show"})
        dropped = await server.command("demo", "drop_red_envelope", {"total_fen": 1_000, "shares": 3, "opens_in_ms": 0})
        sums: list[int] = []
        for user in ("vera", "wang"):
            body = {"envelope": dropped["result"]["envelope"]}
            grabbed = await server.command("demo", "grab_red_envelope", body, user=user, role=Role.viewer)
            sums.append(sum(sums[-1:]) + grabbed["result"]["amount_fen"])
            statement = await _ledger_of(server)
            assert statement.totals.granted_fen == sums[-1]
            assert statement.totals.remaining_fen == 1_000 - sums[-1]
        (room_audits,) = await asyncio.to_thread(audit, server.config, "demo")
        assert room_audits.rooms["demo"].ledger.totals() == statement.totals


async def _ledger_of(server: Server) -> Statement:
    headers = {"Authorization": f"Bearer {server.token('demo', 'anna', Role.anchor)}"}
    async with aiohttp.ClientSession() as session, session.get(f"{server.console_url}/v1/rooms/demo/ledger", headers=headers) as response:
        body = await response.read()
        check_answer("GET", LEDGER, response.status, response.headers, body)
        assert response.status == 200
        return msgspec.json.decode(body, type=Statement)
