"""The service itself: alive, ready, measured, stopping gracefully, and holding out against clients that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from liveroom.console import middleware
from liveroom.console.health import NotReady
from liveroom.journal import partition_follower
from liveroom.journal.base import Snapshot
from liveroom.messages.errors import JournalUnavailable
from tests.console.live import ANCHOR, VIEWER, WAIT_S, Live, SeenJournal, config_of, engine_on, serve, serve_all, until


async def test_ready_is_said_when_the_whole_process_is() -> None:
    """`/readyz` is a 503 problem that names the missing part until all are ready; `/livez` does not wait."""
    missing = ["the engine"]
    async with serve(not_ready_reason=lambda: NotReady(missing[0]) if missing else None, wait=False) as live:
        await until(lambda: not live.console._follower.behind)
        assert (await live.get("/livez")).status == 200
        answer = await live.get("/readyz")
        assert (answer.status, answer.json["code"]) == (503, "not_ready")
        assert "the engine" in answer.json["detail"]
        assert answer.json["retry_after_ms"] == 1_000
        missing.clear()
        assert (await live.get("/readyz")).status == 200


async def test_what_has_stopped_does_not_ask_for_patience() -> None:
    """`/readyz` says `stopped` where only a person helps: no time to wait is named, and the title does not speak of a start."""
    async with serve(not_ready_reason=lambda: NotReady("partition 3 cannot be recovered", stopped=True), wait=False) as live:
        answer = await live.get("/readyz")
        assert (answer.status, answer.json["code"], answer.json["detail"]) == (503, "stopped", "partition 3 cannot be recovered")
        assert "operator" in answer.json["title"]
        assert "retry_after_ms" not in answer.json
        assert "Retry-After" not in answer.headers


class SlowJournal(SeenJournal):
    """A journal whose snapshots take their time."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.go = asyncio.Event()

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        await self.go.wait()
        return await super().load_snapshots(partition)


async def test_a_console_is_not_ready_before_it_has_read_what_there_is() -> None:
    """Until every partition is read up to where it ended at the start, the partitions that are not are named."""
    config = config_of()
    journal = SlowJournal(config.journal)
    async with serve(config, journal=journal, wait=False) as live:
        answer = await live.get("/readyz")
        assert (answer.status, answer.json["detail"]) == (503, "partitions not read yet: 0, 1")
        journal.go.set()
        await live.ready()
        assert (await live.get("/readyz")).status == 200


class BrokenJournal(SeenJournal):
    """A journal that fails a given number of times."""

    failures = 0

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        if self.failures:
            self.failures -= 1
            raise JournalUnavailable("the disk is away") if self.failures % 2 else ValueError("a bug")
        return await super().load_snapshots(partition)


async def test_a_partition_that_cannot_be_read_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reading fails with, it is tried again, and meanwhile the console answers and is not ready."""
    monkeypatch.setattr(partition_follower, "RETRY_S", 0.01)
    config = config_of()
    journal = BrokenJournal(config.journal)
    async with engine_on(journal, config), serve(config, journal=journal, wait=False) as live:
        journal.failures = 6
        assert (await live.get("/livez")).status == 200
        await live.ready()
        assert journal.failures == 0
        await live.do("open_room", {"title": "t"})
        assert (await live.get("/v1/rooms/r1")).status == 200


async def test_metrics_can_be_read_and_count() -> None:
    """The exposition parses; requests are counted by method and status, and made-up methods do not make new series."""
    async with serve_all() as live:
        await live.do("open_room", {"title": "t"})
        await live.send("send_likes", {}, token="nonsense")
        for method in ("PROPFIND", "LOCK", "MKCOL", "COPY", "TRACE"):
            async with live.session.request(method, live.url + "/v1/rooms") as response:
                assert response.status == 405
        answer = await live.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        samples = {(s.name, *sorted(s.labels.values())): s.value for f in text_string_to_metric_families(answer.body.decode()) for s in f.samples}
        assert samples["liveroom_console_requests_total", "200", "POST"] == 1
        assert samples["liveroom_console_requests_total", "401", "POST"] == 1
        assert samples["liveroom_console_requests_total", "405", "other"] == 5
        assert samples["liveroom_console_rooms",] == 1
        assert samples["liveroom_console_request_seconds_count",] == 7


async def test_open_requests_are_finished_at_shutdown() -> None:
    """A command that is under way when the console stops gets its answer; new connections are not taken."""
    config = config_of(shutdown_ms=5_000)
    journal = SeenJournal(config.journal)
    async with serve(config, journal=journal) as live:
        url = live.url
        asked = asyncio.create_task(live.send("open_room", {"title": "t"}))
        await until(lambda: bool(journal.sent))
        stopping = asyncio.create_task(live.console.stop())
        async with engine_on(journal, config):
            assert (await asked).status == 200
        await stopping
        with pytest.raises(aiohttp.ClientConnectionError):
            await live.session.get(url + "/livez")


async def test_shutdown_does_not_wait_for_ever() -> None:
    """A command without an answer, and a client that never finishes its request, end with `console.shutdown_ms`."""
    async with serve(config_of(shutdown_ms=100)) as live:
        asked = asyncio.create_task(live.send("open_room", {"title": "t"}))
        _, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
        writer.write(b"GET / HTT")
        await until(lambda: bool(live.journal.sent))
        async with asyncio.timeout(WAIT_S):
            await live.console.stop()
        with pytest.raises(aiohttp.ClientError):
            await asked
        writer.close()


async def test_clients_that_go_away_or_never_read_harm_nobody(live: Live) -> None:
    """Half requests, closed sockets and unread answers leave the console answering others."""
    await live.do("open_room", {"title": "t"})
    for i in range(100):
        await live.do("add_product", {"product": {"id": f"p{i}", "title": "x" * 120, "price_fen": 1, "image_url": "https://x/" + "y" * 400}})
    writers = []
    for i in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
        match i % 3:
            case 0:
                writer.write(b"GET /v1/rooms/r1/showcase HTTP/1.1\r\nHost: x\r\n\r\n" * 50)  # and never read
            case 1:
                writer.write(f"POST /v1/rooms/r1/commands/send_likes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIEWER}\r\n\r\n".encode())
                writer.transport.abort()
            case 2:
                writer.write(b"POST /v1/rooms/r1/commands/send_likes HTTP/1.1\r\nContent-Le")
        writers.append(writer)
    for _ in range(20):
        assert (await live.send("set_announcement", {"text": "still here"})).status == 200
    for writer in writers:
        writer.transport.abort()
    assert (await live.get("/readyz")).status == 200


async def test_who_asks_and_goes_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A client that left before its answer, or in the middle of its request, is counted and leaves no line in the log."""
    config = config_of()
    journal = SeenJournal(config.journal)
    head = f"POST /v1/rooms/r1/commands/open_room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ANCHOR}\r\nContent-Length: 13\r\n\r\n"
    async with serve(config, journal=journal) as live:
        listener = live.console._listener

        async def go_after(text: str, said: Callable[[], bool]) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
            writer.write(text.encode())
            await until(said)
            writer.transport.abort()
            await until(lambda: all(connection.transport is None for connection in listener.connections))

        def counted(method: str, status: str) -> float:
            return live.metrics.registry.get_sample_value("liveroom_console_requests_total", {"method": method, "status": status}) or 0.0

        await go_after(head + '{"title":"t"}', lambda: bool(journal.sent))
        async with engine_on(journal, config):
            await until(lambda: counted("POST", "200") == 1)
        await go_after(head + '{"title"', lambda: any(connection._current_request for connection in listener.connections))
        await until(lambda: counted("POST", "499") == 1)
        assert (await live.get("/readyz")).status == 200
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_client_that_never_reads_is_cut_off(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends requests and does not read the answers loses the connection, so that it cannot hold it forever."""
    monkeypatch.setattr(middleware, "RESPONSE_WRITE_S", 0.1)
    await live.do("open_room", {"title": "t"})
    for i in range(100):
        await live.do("add_product", {"product": {"id": f"p{i}", "title": "x" * 120, "price_fen": 1, "image_url": "https://x/" + "y" * 400}})
    _, writer = await asyncio.open_connection("127.0.0.1", live.console.port, limit=1_024)
    listener = live.console._listener
    cast(asyncio.Transport, writer.transport).pause_reading()
    for _ in range(300):  # more than both kernels' buffers hold
        writer.write(b"GET /v1/rooms/r1/showcase HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: len(listener.connections) == 2)
    await until(lambda: len(listener.connections) == 1)  # the session's own
    writer.transport.abort()
    assert (await live.get("/livez")).status == 200


async def test_a_token_never_stands_in_a_log_or_an_answer(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a good token nor a bad one is written anywhere."""
    caplog.set_level("DEBUG")
    await live.send("open_room", {"title": "t"})
    bad = ANCHOR[:-5] + "xxxxx"
    answer = await live.send("open_room", {"title": "t"}, token=bad)
    assert answer.status == 401
    for secret in (ANCHOR, bad):
        assert secret not in caplog.text + answer.body.decode() + str(answer.headers)
