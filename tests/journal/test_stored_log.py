"""A journal of any kind can be read from outside, even while it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from msgspec import structs

from liveroom.config.schema import Config, JournalConfig, KafkaConfig, LiveroomConfig
from liveroom.journal.base import Journal, PastEntry, StoredEntry
from liveroom.journal.kafka.client import KafkaCluster
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.kafka.stored_log import CHUNK_RECORDS
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.stored_log import open_stored_log
from liveroom.messages.errors import BadConfig, JournalDamaged, JournalUnavailable
from liveroom.telemetry.metrics import Metrics
from tests.broker import broker, kafka_config
from tests.journal.conftest import CONFIG
from tests.journal.entries import append_all, record, stored, takeover


@pytest_asyncio.fixture(params=["sqlite", "kafka"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Config, Journal]]:
    """A journal that is open, and the settings that name it."""
    journal: Journal
    if request.param == "sqlite":
        config = Config(liveroom=LiveroomConfig(data_dir=str(tmp_path)), journal=CONFIG)
        journal = await SqliteJournal.open(tmp_path, CONFIG, Metrics())
    else:
        config = kafka_config(structs.replace(CONFIG, kind="kafka"))
        journal = await KafkaJournal.open(config, Metrics(), "test")
    yield config, journal
    await journal.close()


@pytest_asyncio.fixture
async def kafka() -> AsyncIterator[tuple[Config, KafkaJournal]]:
    """The same in Kafka alone."""
    config = kafka_config(structs.replace(CONFIG, kind="kafka"))
    journal = await KafkaJournal.open(config, Metrics(), "test")
    yield config, journal
    await journal.close()


def read(config: Config, partition: int = 0, offset: int = 0) -> list[StoredEntry]:
    with open_stored_log(config) as stored_log:
        return plain(stored_log.entries(partition, offset))


def plain(entries: Iterable[PastEntry]) -> list[StoredEntry]:
    """The entries as a journal gives them."""
    return [StoredEntry(one.offset, one.entry) for one in entries]


async def test_the_past_is_what_was_appended(kept: tuple[Config, Journal]) -> None:
    """Every entry up to the end, from any offset, and what came since when it is asked again; two partitions may be read at once."""
    config, journal = kept
    count = 2 * CHUNK_RECORDS
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text="hi") for n in range(count))])
    await append_all(journal, [takeover("other")], 1)
    expected, other = await stored(journal), await stored(journal, 1)

    def look() -> None:
        with open_stored_log(config) as stored_log:
            assert stored_log.partitions == CONFIG.partitions
            entries = stored_log.entries(0)
            assert plain(islice(entries, 3)) == expected[:3]
            assert plain(stored_log.entries(1)) == other
            assert plain(entries) == expected[3:]
            assert plain(stored_log.entries(0, count)) == expected[count:]
            assert list(stored_log.entries(0, count + 1)) == []
            asyncio.run_coroutine_threadsafe(append_all(journal, [takeover("b")]), loop).result()
            assert [one.entry for one in stored_log.entries(0, count + 1)] == [takeover("b")]

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(look)


async def test_a_topic_that_was_cut(kafka: tuple[Config, KafkaJournal]) -> None:
    """The error names the topic that retention cut: no account is derived from a part of the log."""
    config, journal = kafka
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(9))])
    admin = KafkaCluster(config.kafka, "test").admin()
    await admin.start()
    await admin.delete_records({TopicPartition(f"{config.kafka.topic_prefix}.events", 0): RecordsToDelete(before_offset=4)})
    await admin.close()
    with pytest.raises(JournalDamaged, match=r"events\[0\] begins at 4: entries from 0 on were deleted.*kafka.events_retention_h = -1"):
        await asyncio.to_thread(read, config)
    assert [one.offset for one in await asyncio.to_thread(read, config, 0, 4)] == [*range(4, 10)]
    with pytest.raises(JournalDamaged, match="ends at 10, but 11 entries of it were read"):
        await asyncio.to_thread(read, config, 0, 11)


async def test_what_is_no_entry(kafka: tuple[Config, KafkaJournal]) -> None:
    """A foreign record in the topic is an error that names it; the entries before it are given."""
    config, journal = kafka
    await append_all(journal, [takeover()])
    producer = KafkaCluster(config.kafka, "test").producer()
    await producer.start()
    await producer.send_and_wait(f"{config.kafka.topic_prefix}.events", b"hello", partition=0)
    await producer.stop()

    def look() -> None:
        with open_stored_log(config) as stored_log:
            entries = stored_log.entries(0)
            assert next(entries).entry == takeover()
            with pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read"):
                next(entries)

    await asyncio.to_thread(look)


def test_no_topic_and_no_broker(capfd: pytest.CaptureFixture[str]) -> None:
    """Both are named, nothing is made, and the client adds no words of its own."""
    nowhere = Config(journal=JournalConfig(kind="kafka"), kafka=KafkaConfig(bootstrap_servers=("127.0.0.1:1",)))
    with pytest.raises(JournalUnavailable, match=r"no Kafka broker answers at 127.0.0.1:1 \(kafka.bootstrap_servers\)"):
        open_stored_log(nowhere)
    empty = structs.replace(nowhere, kafka=KafkaConfig(bootstrap_servers=(broker(),), topic_prefix="nobody"))
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match=r"there is no topic nobody.events at .*kafka.topic_prefix"):
            open_stored_log(empty)
    assert capfd.readouterr().err == ""


def test_a_journal_in_memory_has_no_past() -> None:
    """It says so, and which ones have."""
    with pytest.raises(BadConfig, match=r"journal.kind: .* memory .*; sqlite and kafka have"):
        open_stored_log(Config(journal=JournalConfig(kind="memory")))
