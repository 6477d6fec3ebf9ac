"""The roles that a process may have."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Never

import aiohttp
import jwt
import pytest
import websockets

from liveroom.app import App, instance_name
from liveroom.auth.keys import Keys
from liveroom.config.schema import AuthConfig, Config, ConsoleConfig, GatewayConfig, JournalConfig, LiveroomConfig
from liveroom.messages.errors import BadConfig
from liveroom.process.roles import ProcessRole
from loadtests.lib.certificate import make_certificate
from tests.auth.test_keys import jwk_of, token, written
from tests.auth.test_tokens import claims


def connected(app: App, text: str) -> websockets.connect:
    """A connection to the room `r1` with a token."""
    return websockets.connect(f"{app.gateway_url}/v1/rooms/r1", additional_headers={"Authorization": f"Bearer {text}"})


async def open_room(app: App) -> None:
    """Open the room as an anchor with the old key."""
    async with aiohttp.ClientSession() as session:
        text = jwt.encode(claims(role="anchor"), "o" * 64, headers={"kid": "old"})
        url = f"{app.console_url}/v1/rooms/r1/commands/open_room"
        async with session.post(url, json={"title": "Evening show"}, headers={"Authorization": f"Bearer {text}"}) as answer:
            assert answer.status == 200, await answer.text()


async def test_keys_are_exchanged_under_connected_viewers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The viewer of a key that leaves the file is closed with 4000 and comes back with a token of the new one; a broken file changes nothing."""
    monkeypatch.setattr("liveroom.app.KEYS_LOOK_S", 0.02)
    keys = tmp_path / "jwks.json"
    old, new = jwk_of("o" * 64, "HS256", kid="old"), jwk_of("n" * 64, "HS256", kid="new")
    config = Config(
        liveroom=LiveroomConfig(data_dir=str(tmp_path / "data")),
        journal=JournalConfig(kind="memory"),
        gateway=GatewayConfig(port=0, drain_ms=0, reconnect_spread_ms=100, idle_ms=1_000),
        console=ConsoleConfig(port=0),
        auth=AuthConfig(keys_file=written(keys, old)),
    )
    app = App(config)
    await app.start()
    try:

        async def closed_with(kid: str) -> int:
            async with connected(app, token(kid[0] * 64, "HS256", kid)) as viewer:
                waiting = asyncio.create_task(viewer.wait_closed())
                if '"new"' not in keys.read_text():
                    keys.write_text("{")
                    async with asyncio.timeout(10):
                        while not app.metrics.registry.get_sample_value("liveroom_auth_key_reloads_total", {"outcome": "refused"}):
                            await asyncio.sleep(0.01)
                    assert not waiting.done()
                    written(keys, new)
                await asyncio.wait_for(waiting, 10)
                return viewer.close_code or 0

        await open_room(app)
        assert await closed_with("old") == 4000
        assert await closed_with("old") == 4000, "its token is asked for again, not refused for good"
        async with connected(app, token("n" * 64, "HS256", "new")) as viewer:
            assert json.loads(await viewer.recv())["type"] == "joined"
    finally:
        await app.stop()


async def test_a_file_of_keys_that_gives_no_answer_is_told_and_keeps_no_process_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost network file system may block `open` forever: the keys stay as they are, and the end of the process does not wait."""
    monkeypatch.setattr("liveroom.app.KEYS_LOOK_S", 0.02)
    monkeypatch.setattr("liveroom.app.KEYS_LATE_S", 0.02)
    answered = threading.Event()
    monkeypatch.setattr(Keys, "reload", lambda keys: answered.wait())
    config = Config(
        liveroom=LiveroomConfig(data_dir=str(tmp_path / "data")),
        journal=JournalConfig(kind="memory"),
        gateway=GatewayConfig(port=0, drain_ms=0),
        console=ConsoleConfig(port=0),
        auth=AuthConfig(keys_file=written(tmp_path / "jwks.json", jwk_of("o" * 64, "HS256", kid="old"))),
    )
    app = App(config)
    await app.start()
    async with asyncio.timeout(10):
        while not app.metrics.registry.get_sample_value("liveroom_auth_key_reloads_total", {"outcome": "refused"}):
            await asyncio.sleep(0.01)
        await open_room(app)
        await app.stop()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert "the keys' file gives no answer" in caplog.text
    answered.set()


@pytest.mark.parametrize("part", ProcessRole)
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_journal_of_one_process_is_not_shared(kind: str, part: ProcessRole) -> None:
    """A part alone needs the journal in Kafka; the error names the setting and what to do."""
    with pytest.raises(
        BadConfig, match=rf"journal.kind: {kind} is for one process with all parts \(`liveroom serve`\); several processes need kafka"
    ):
        App(Config(journal=JournalConfig(kind=kind)), {part})  # type: ignore[arg-type]


async def test_a_certificate_that_cannot_be_read_for_any_reason_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGHUP has `reload` called by the loop: an unexpected error is logged, and never leaves it."""
    make_certificate(tmp_path)
    config = Config(
        liveroom=LiveroomConfig(data_dir=str(tmp_path / "data"), mode="dev"),
        journal=JournalConfig(kind="memory"),
        gateway=GatewayConfig(port=0, drain_ms=0, tls_cert_file=str(tmp_path / "certificate.pem"), tls_key_file=str(tmp_path / "key.pem")),
        console=ConsoleConfig(port=0),
    )
    app = App(config)
    await app.start()
    try:
        for error in (PermissionError(13, "Permission denied"), RuntimeError("what nobody thought of")):
            monkeypatch.setattr("liveroom.gateway.gateway.tls_context", failing_with(error))
            app.reload()
            assert caplog.records[-1].getMessage() == "the certificate could not be read again; the one before stays in use"
    finally:
        await app.stop()


def failing_with(error: Exception) -> Callable[..., Never]:
    def fail(*_: object) -> Never:
        raise error

    return fail


def test_processes_of_one_machine_have_different_names() -> None:
    """A gateway is named by its port when it has it alone, so that it is known again; otherwise by its process. A name that is set is taken."""
    own, shared = Config(gateway=GatewayConfig(port=8_805)), Config(gateway=GatewayConfig(port=8_805, share_port=True))
    assert instance_name(own, {ProcessRole.gateway}).endswith("-8805")
    assert not instance_name(shared, {ProcessRole.gateway}).endswith("-8805")
    assert not instance_name(own, {ProcessRole.engine}).endswith("-8805")
    assert instance_name(Config(liveroom=LiveroomConfig(instance="gateway-a")), {ProcessRole.gateway}) == "gateway-a"
