"""The journals that the contract suite runs on; another implementation is one more entry of `KINDS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from liveroom.config.schema import JournalConfig
from liveroom.journal.base import Journal
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.socket.journal import SocketJournal
from liveroom.journal.socket.server import JournalServer
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config

CONFIG = JournalConfig(partitions=2, commands_waiting_max=100, snapshots_kept=2)


async def _memory(data_dir: Path) -> Journal:
    return MemoryJournal(CONFIG)


async def _sqlite(data_dir: Path) -> Journal:
    return await SqliteJournal.open(data_dir, CONFIG, Metrics())


async def _kafka(data_dir: Path) -> Journal:
    return await KafkaJournal.open(kafka_config(CONFIG), Metrics(), "test")


class _Served(SocketJournal):
    """A client of a journal in a file that is served in this process; it closes the server and the file, too."""

    server: JournalServer
    inner: Journal

    async def close(self) -> None:
        await super().close()
        await self.server.close()
        await self.inner.close()


async def _socket(data_dir: Path) -> Journal:
    inner = await SqliteJournal.open(data_dir, CONFIG, Metrics())
    server = JournalServer(inner, data_dir / "journal.sock", "first")
    await server.start()
    served = await _Served.open(data_dir / "journal.sock", wait_s=10)
    assert isinstance(served, _Served)
    served.server, served.inner = server, inner
    return served


KINDS: dict[str, Callable[[Path], Awaitable[Journal]]] = {"memory": _memory, "sqlite": _sqlite, "kafka": _kafka, "socket": _socket}


@pytest.fixture(params=list(KINDS))
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await KINDS[request.param](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    opened = await SqliteJournal.open(tmp_path, CONFIG, Metrics())
    yield opened
    await opened.close()
