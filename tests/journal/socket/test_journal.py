"""The journal over a socket: what happens when a process ends, reads slowly, or sends nonsense. The contract suite tests all the rest."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from liveroom.journal.base import Journal, StoredEntry
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.socket import frames as frames_module
from liveroom.journal.socket import journal as journal_module
from liveroom.journal.socket import server as server_module
from liveroom.journal.socket.frames import FRAME_BYTES_MAX, Call, Grant, Open, frame_of
from liveroom.journal.socket.journal import SocketJournal
from liveroom.journal.socket.server import JournalServer
from liveroom.messages.errors import JournalDamaged, JournalUnavailable, WriteUnknown
from liveroom.protocol.codec import encode
from liveroom.protocol.records import Entry
from tests.journal.conftest import CONFIG
from tests.journal.entries import append_all, record, request, take, takeover

WAIT_S = 10


@asynccontextmanager
async def served(path: Path, journal: Journal | None = None, identity: str = "first") -> AsyncIterator[JournalServer]:
    server = JournalServer(journal or MemoryJournal(CONFIG), path, identity)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[SocketJournal]:
    client = await SocketJournal.open(path, wait_s=WAIT_S)
    try:
        yield client
    finally:
        await client.close()


async def until_reachable(client: SocketJournal) -> None:
    async with asyncio.timeout(WAIT_S):
        await client._connected.wait()


class Stuck(MemoryJournal):
    """A journal whose appends never become durable."""

    def append(self, partition: int, entry: object) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()


async def test_a_write_is_unknown_and_a_read_fails_when_the_server_goes_away(tmp_path: Path) -> None:
    """A write on its way may have happened; later calls were not sent, and every partition is unreachable."""
    path = tmp_path / "journal.sock"
    async with served(path, Stuck(CONFIG)) as server, client_of(path) as client:
        append = client.append(0, takeover())
        reading = asyncio.ensure_future(anext(client.read_events(0, 0)))
        await client.events_end(0)
        await server.close()
        with pytest.raises(WriteUnknown, match="may have happened"):
            await append
        with pytest.raises(JournalUnavailable, match="does not answer"):
            await reading
        assert client.unreachable == {0, 1}
        for call in (client.append(0, takeover()), client.send_commands(0, [request()]), client.events_end(0)):
            with pytest.raises(JournalUnavailable, match="does not answer"):
                await call


async def test_a_client_goes_on_with_the_next_server(tmp_path: Path) -> None:
    """After the main process has started again, the same client reads on where it was."""
    path, journal = tmp_path / "journal.sock", MemoryJournal(CONFIG)
    async with served(path, journal):
        client = await SocketJournal.open(path, wait_s=WAIT_S)
        await append_all(client, [takeover(), record(0, 0, 0, 1)])
    async with served(path, journal):
        await until_reachable(client)
        assert client.unreachable == frozenset()
        await append_all(client, [record(0, 1, 1, 2)])
        assert [stored.offset for stored in await take(client.read_events(0, 1), 2)] == [1, 2]
        await client.close()


async def test_another_journal_at_the_same_place_is_damage(tmp_path: Path) -> None:
    """A client holds cursors into the journal that it has read; its process has to start again."""
    path = tmp_path / "journal.sock"
    async with served(path):
        client = await SocketJournal.open(path, wait_s=WAIT_S)
    async with served(path, identity="second"), asyncio.timeout(WAIT_S):
        assert "another journal" in str(await client.until_damaged())
        assert client.unreachable == {0, 1}
        await client.close()


async def test_a_server_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions would not read each other's entries alike."""
    path = tmp_path / "journal.sock"
    monkeypatch.setattr(server_module, "__version__", "0.0.9")
    async with served(path):
        with pytest.raises(JournalDamaged, match=r"liveroom 0\.0\.9"):
            await SocketJournal.open(path, wait_s=WAIT_S)


async def test_no_server_is_unavailable(tmp_path: Path) -> None:
    """A client waits a bounded time for the socket."""
    with pytest.raises(JournalUnavailable, match="no process serves"):
        await SocketJournal.open(tmp_path / "journal.sock", wait_s=0.05)


async def test_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A journal holds names and codes that are worth money."""
    path = tmp_path / "journal.sock"
    async with served(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not path.exists()


async def test_a_long_path_works(tmp_path: Path) -> None:
    """A data directory may be deeper than a socket's address may be long."""
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)
    async with served(directory / "journal.sock"), client_of(directory / "journal.sock") as client:
        assert await client.events_end(0) == 0


async def test_a_client_that_reads_nothing_gets_no_more_than_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits for a slow reader with a bounded number of bytes on their way; other readers go on, and the slow one loses nothing."""
    monkeypatch.setattr(server_module, "STREAM_BYTES_MAX", 20_000)
    monkeypatch.setattr(journal_module, "GRANT_BYTES", 5_000)
    path, journal = tmp_path / "journal.sock", MemoryJournal(CONFIG)
    records: list[Entry] = [record(0, number, number, number + 1, text="x" * 1_000) for number in range(200)]
    async with served(path, journal), client_of(path) as slow, client_of(path) as quick:
        await append_all(journal, [takeover()])
        reader = slow.read_events(0, 0)
        assert (await anext(reader)).offset == 0
        await append_all(journal, records)
        assert len(await take(quick.read_events(0, 1), 200)) == 200
        (stream,) = slow._streams.values()
        assert 0 < sum(len(item.body) for item in stream.items) < 25_000
        assert [(await anext(reader)).offset for _ in range(200)] == list(range(1, 201))
        await reader.aclose()


async def test_one_entry_is_encoded_once_for_all_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many workers cost the main process one encoding of each entry."""
    encoded: list[object] = []

    def counted(message: object) -> bytes:
        encoded.append(message)
        return encode(message)

    monkeypatch.setattr(server_module, "encode", counted)
    path, journal = tmp_path / "journal.sock", MemoryJournal(CONFIG)
    async with served(path, journal), client_of(path) as one, client_of(path) as other:
        await append_all(journal, [takeover(), record(0, 0, 0, 1)])
        assert await take(one.read_events(0, 0), 2) == await take(other.read_events(0, 0), 2)
    assert len(encoded) == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x01\xc1",
        frame_of(Call(0, "drop_everything", 0, b"")),
        frame_of(Call(0, "events_end", 99, b"")),
        frame_of(Open(0, "events", -1, 0)),
        frame_of(Open(0, "events", 0, 0)) * 2,
    ],
)
async def test_bytes_that_are_no_message_end_one_connection(tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The client that sent them is dropped with a line in the log; others go on."""
    path = tmp_path / "journal.sock"
    async with served(path) as server, client_of(path) as client, asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(sent)
        await reader.read()
        writer.close()
        assert await client.events_end(0) == 0
        assert server.clients == 1
    assert [line for line in caplog.records if "is dropped" in line.getMessage()]


@pytest.mark.parametrize(("operation", "body"), [("append", b"{}"), ("send_commands", b"[1]"), ("get_parts", b"x"), ("save_snapshot", b"{}")])
async def test_a_call_with_a_wrong_body_fails_alone(tmp_path: Path, operation: str, body: bytes) -> None:
    """It is answered with an error, and the connection goes on."""
    path = tmp_path / "journal.sock"
    async with served(path), client_of(path) as client:
        with pytest.raises(JournalUnavailable):
            await client._call(operation, 0, body)
        assert await client.events_end(0) == 0


async def test_a_grant_for_no_stream_is_ignored(tmp_path: Path) -> None:
    """A stream may have failed when the client's message about it comes."""
    path = tmp_path / "journal.sock"
    async with served(path), client_of(path) as client:
        client._write(Grant(77, 5))
        client._write(frames_module.Stop(77))
        assert await client.events_end(0) == 0


class Broken(MemoryJournal):
    """A journal with a bug in its readers and its writers."""

    async def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        raise ZeroDivisionError("a bug")
        yield

    async def events_end(self, partition: int) -> int:
        raise ZeroDivisionError("a bug")


async def test_an_unforeseen_error_reaches_the_client_that_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stream or a call that fails by a bug ends with an error, instead of waiting forever. The trace is in the log."""
    path = tmp_path / "journal.sock"
    async with served(path, Broken(CONFIG)), client_of(path) as client, asyncio.timeout(WAIT_S):
        with pytest.raises(JournalUnavailable, match="ZeroDivisionError"):
            await anext(client.read_events(0, 0))
        with pytest.raises(JournalUnavailable, match="ZeroDivisionError"):
            await client.events_end(0)
        assert await client.load_snapshots(0) == []
    assert len([line for line in caplog.records if line.exc_info]) == 2


async def test_closing_does_not_wait_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with the journal that stands still answers no write."""
    monkeypatch.setattr(journal_module, "CLOSE_S", 0.05)
    path = tmp_path / "journal.sock"
    async with served(path, Stuck(CONFIG)), asyncio.timeout(WAIT_S):
        client = await SocketJournal.open(path, wait_s=WAIT_S)
        append = client.append(0, takeover())
        await client.close()
        with pytest.raises(WriteUnknown, match="the journal is closed"):
            await append
