"""SIGHUP at a real server: it reads changed files again, and closes no connection."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from loadtests.lib.certificate import make_certificate
from tests.serving import Server

TIMEOUT_S = 30


async def until_logged(server: Server, words: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while words not in server.log.read_text():
            await asyncio.sleep(0.02)


async def certificate_of(server: Server) -> str:
    """The certificate that a new TLS connection is shown, as PEM."""
    port = int(server.gateway_url.rpartition(":")[2])
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))


async def test_sighup_reads_the_certificate_again(tmp_path: Path) -> None:
    """New connections see the new one. A file that is no certificate changes nothing, and is logged."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        make_certificate(folder)
    used = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def use(folder: Path) -> str:
        for file in used:
            file.write_bytes((folder / file.name).read_bytes())
        return used[0].read_text()

    old = use(first)
    async with Server(tmp_path / "data", "--gateway-tls-cert-file", str(used[0]), "--gateway-tls-key-file", str(used[1])) as server:
        assert await certificate_of(server) == old
        used[0].write_text("nonsense")
        os.kill(server.pid, signal.SIGHUP)
        await until_logged(server, "the certificate could not be read again")
        assert await certificate_of(server) == old
        new = use(second)
        assert new != old
        os.kill(server.pid, signal.SIGHUP)
        await until_logged(server, "the certificate was read again")
        assert await certificate_of(server) == new
        assert await server.stop() == 0


async def test_sighup_ends_no_server_that_has_nothing_to_read(tmp_path: Path) -> None:
    """It says so and goes on."""
    async with Server(tmp_path / "data") as server:
        os.kill(server.pid, signal.SIGHUP)
        await until_logged(server, "there is nothing to read again")
        async with aiohttp.ClientSession() as session, session.get(server.console_url + "/readyz") as answer:
            assert answer.status == 200
        assert await server.stop() == 0


@pytest.mark.skipif(not hasattr(os, "login_tty"), reason="no terminals here")
def test_a_terminal_that_is_closed_drains_its_server(tmp_path: Path) -> None:
    """A closed terminal could not stop it any more, so it ends as with SIGTERM, and not in the middle."""
    ours, its = os.openpty()
    ready = tmp_path / "ready"
    flags = ("--mode", "dev", "--journal-kind", "memory", "--gateway-port", "0", "--console-port", "0", "--gateway-drain-ms", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "liveroom", "serve", *flags, "--ready-file", str(ready)], cwd=tmp_path, preexec_fn=lambda: os.login_tty(its)
    )
    try:
        os.close(its)
        deadline = time.monotonic() + TIMEOUT_S
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.close(ours)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
