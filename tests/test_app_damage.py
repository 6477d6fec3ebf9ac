"""A process whose embedded journal is damaged says so and ends, in whichever part the damage is met."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from liveroom.app import App
from liveroom.auth.tokens import make_token
from liveroom.config.schema import Config, ConsoleConfig, GatewayConfig, LiveroomConfig
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Snapshot
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.messages.errors import JournalDamaged
from liveroom.messages.fields import Role
from liveroom.telemetry.metrics import Metrics
from tests.journal.entries import append_all, takeover
from tests.journal.sqlite.test_journal import change

FOUND_S = 20


def embedded(data_dir: Path) -> Config:
    """A server of its own on free ports."""
    return Config(
        liveroom=LiveroomConfig(mode="dev", data_dir=str(data_dir)), gateway=GatewayConfig(port=0, drain_ms=100), console=ConsoleConfig(port=0)
    )


async def test_a_journal_that_vanishes_makes_the_process_unready(tmp_path: Path) -> None:
    """`/readyz` says what happened, commands are answered `unavailable` at once, and the log has an error."""
    config = embedded(tmp_path)
    app = App(config)
    await app.start()
    try:
        (tmp_path / FILE_NAME).unlink()
        damage = await asyncio.wait_for(app.until_damaged(), FOUND_S)
        assert not app.ready
        token = make_token((tmp_path / "dev-secret").read_text(), config.auth, user="anna", room="demo", role=Role.anchor, lifetime_s=60)
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{app.console_url}/readyz") as answer:
                assert (answer.status, "was removed while it was in use" in await answer.text()) == (503, True)
            async with session.post(f"{app.console_url}/v1/rooms/demo/commands/open_room", json={"title": "Silk"}, headers=headers) as answer:
                refused = await answer.json()
        assert (refused["code"], refused["detail"]) == ("unavailable", str(damage))
    finally:
        await asyncio.wait_for(app.stop(), FOUND_S)


async def test_damage_that_only_the_gateway_meets_ends_the_start(tmp_path: Path) -> None:
    """A changed entry between the oldest and the newest snapshot: the process ends with words instead of never being ready."""
    config = embedded(tmp_path)
    journal = await SqliteJournal.open(tmp_path, config.journal, Metrics())
    await append_all(journal, [takeover(), takeover(), takeover()])
    for offset, before in ((1, -1), (3, 1)):
        await journal.save_snapshot(0, Snapshot(offset, 0, Acceptance(offset - 1), before=before))
    await journal.close()
    change(tmp_path, "UPDATE events SET body = replace(body, 'engine-a', 'engine-b') WHERE offset = 1")
    await (await SqliteJournal.open(tmp_path, config.journal, Metrics())).close()
    app = App(config)
    try:
        with pytest.raises(JournalDamaged, match="entry 1 of partition 0 is not the one that was written"):
            await asyncio.wait_for(app.start(), FOUND_S)
    finally:
        await app.stop()
