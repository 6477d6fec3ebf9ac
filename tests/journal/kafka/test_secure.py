"""A broker that wants TLS and a password, as managed Kafka does; and the errors when it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from msgspec.structs import replace

from liveroom.config.schema import Config, JournalConfig, KafkaConfig
from liveroom.journal.kafka.client import KafkaCluster
from liveroom.journal.kafka.group import assignments
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.messages.errors import BadConfig, JournalUnavailable, LiveroomError
from liveroom.protocol.records import Entry
from liveroom.telemetry.metrics import Metrics
from loadtests.lib.certificate import make_certificate
from tests.broker import BROKER, START_WAIT_MS, can_start_broker, kafka_config
from tests.journal.entries import append_all, record, request, stored, take, takeover
from tests.serving import free_port

#: The client for Kafka does not wait for the goodbye of a TLS connection. A loop that ends meanwhile warns of it, and a warning that is an error
#: keeps uvloop from closing the connection.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning")

USER, PASSWORD = "liveroom", "pass-word-of-the-tests"
#: May come in, and has no right to anything.
GUEST = "guest"
START_S = 700

#: The one listener with TLS and SASL; the others stay as they are.
SETTINGS = f"""
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={{keystore}}
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{USER}="{PASSWORD}" user_{GUEST}="{PASSWORD}";
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER}
"""


def broker_certificate(folder: Path) -> tuple[Path, Path]:
    """The broker's key store, and what clients check it against."""
    trusted, key_file = make_certificate(folder)
    store = folder / "keystore.pem"
    store.write_bytes(key_file.read_bytes() + trusted.read_bytes())
    return store, trusted


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """The settings that fit a broker which wants TLS and a password."""
    can_start_broker()
    folder, port = tmp_path_factory.mktemp("secure"), free_port()
    store, trusted = broker_certificate(folder)
    (folder / "more.properties").write_text(SETTINGS.format(keystore=store))
    here = ("--data-dir", str(folder / "kafka"))
    more = ("--listen", f"SECURE:SASL_SSL:{port}", "--settings", str(folder / "more.properties"))
    scram = ("--scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
    subprocess.run([sys.executable, str(BROKER), "start", *here, *more, *scram], check=True, capture_output=True, timeout=START_S)
    kafka = KafkaConfig(
        bootstrap_servers=(f"127.0.0.1:{port}",),
        topic_prefix="secure",
        replication_factor=1,
        min_insync_replicas=1,
        start_wait_ms=START_WAIT_MS,
        security_protocol="SASL_SSL",
        sasl_username=USER,
        sasl_password=PASSWORD,
        tls_ca_file=str(trusted),
    )
    yield Config(journal=JournalConfig(kind="kafka", partitions=1), kafka=kafka)
    subprocess.run([sys.executable, str(BROKER), "stop", *here], check=True, capture_output=True, timeout=START_S)


async def test_the_journal_is_kept_behind_tls_and_a_password(secure: Config) -> None:
    """Every client of a process gets in, by either way to prove who it is: what one wrote the other reads."""
    plain = await KafkaJournal.open(secure, Metrics(), "plain")
    scram = await KafkaJournal.open(replace(secure, kafka=replace(secure.kafka, sasl_mechanism="SCRAM-SHA-512")), Metrics(), "scram")
    entries: list[Entry] = [takeover(), record(0, 0, 0, 1)]
    await append_all(plain, entries)
    assert [one.entry for one in await stored(scram)] == entries
    await scram.send_commands(0, [request("c1")])
    assert (await take(plain.read_commands(0, 0), 1))[0].requests == (request("c1"),)
    async with asyncio.timeout(20), contextlib.aclosing(plain.assignments()) as assigned:
        assert await anext(assigned) == {0}
    await plain.close()
    await scram.close()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"sasl_password": "guessed"},
            r"kafka.sasl_username, kafka.sasl_password, kafka.sasl_mechanism: 127.0.0.1:\d+ refuses them: .*[Aa]uthentication failed",
        ),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, r"kafka.sasl_mechanism: 127.0.0.1:\d+ refuses them"),
        ({"tls_ca_file": ""}, r"kafka.tls_ca_file: the certificate of 127.0.0.1:\d+ is not trusted: self.signed certificate"),
    ],
    ids=["password", "mechanism", "certificate"],
)
async def test_why_a_broker_refuses_is_said_once_and_clearly(secure: Config, wrong: dict[str, str], words: str) -> None:
    """A refused process names the setting, instead of an error about a missing answer."""
    with pytest.raises(BadConfig, match=words):
        await KafkaJournal.open(replace(secure, kafka=replace(secure.kafka, **wrong)), Metrics(), "test")


async def test_a_user_without_rights_is_told_which(secure: Config, caplog: pytest.LogCaptureFixture) -> None:
    """Neither are topics called missing that it may not see, nor is an engine that may not join its group left without words."""
    guest = replace(secure, kafka=replace(secure.kafka, sasl_username=GUEST, create_topics=False))
    with pytest.raises(LiveroomError, match="may not describe them"):
        await KafkaJournal.open(guest, Metrics(), "test")
    cluster = KafkaCluster(guest.kafka, "test")
    with caplog.at_level("ERROR", "liveroom.journal.kafka.group"):
        joining = asyncio.create_task(anext(assignments(cluster, "secure.engines", "secure.commands", Metrics())))
        async with asyncio.timeout(20):
            while "its user needs Read on the group" not in caplog.text:
                await asyncio.sleep(0.05)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
    await cluster.close()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
async def test_a_port_for_another_protocol_is_not_called_silence(secure: Config, protocol: str) -> None:
    """A broker that takes the connection and hangs up is there: the setting is named beside what else it may be."""
    with pytest.raises(JournalUnavailable, match=rf"127.0.0.1:\d+ takes connections and does not answer as {protocol}: .*kafka.security_protocol"):
        await KafkaJournal.open(replace(secure, kafka=replace(secure.kafka, security_protocol=protocol)), Metrics(), "test")


async def test_a_port_without_tls_is_not_called_silence() -> None:
    """The same the other way round."""
    plain = kafka_config(JournalConfig(partitions=1), security_protocol="SSL")
    with pytest.raises(JournalUnavailable, match=r"127.0.0.1:\d+ takes connections and does not answer as SSL: .*kafka.security_protocol"):
        await KafkaJournal.open(plain, Metrics(), "test")


async def test_a_certificate_that_is_missing_is_not_called_another_protocol(tmp_path: Path) -> None:
    """A broker that wants one from its clients says so after the handshake; the setting is named."""
    store, trusted = broker_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(store)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_REQUIRED

    def shake_hands() -> None:
        """Shake hands as a broker does; asyncio would hide the reason of a refusal."""
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                context.wrap_socket(line, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands)
        thread.start()
        port = listener.getsockname()[1]
        kafka = KafkaConfig((f"127.0.0.1:{port}",), start_wait_ms=0, security_protocol="SSL", tls_ca_file=str(trusted))
        with pytest.raises(BadConfig, match=rf"kafka.tls_cert_file, kafka.tls_key_file: 127.0.0.1:{port} wants a certificate, or another one"):
            await KafkaJournal.open(Config(kafka=kafka), Metrics(), "test")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_key_with_a_passphrase_is_said(tmp_path: Path) -> None:
    """The error names the passphrase, because `[Errno 22]` says nothing and a server cannot ask for it."""
    store, _ = broker_certificate(tmp_path)
    key = serialization.load_pem_private_key(store.read_bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(BadConfig, match=r"kafka\.tls_key_file: the key is encrypted; store it without a passphrase"):
        KafkaCluster(KafkaConfig(security_protocol="SSL", tls_cert_file=str(store), tls_key_file=str(tmp_path / "key.pem")), "test")
