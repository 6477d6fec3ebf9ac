"""How every client of the Kafka cluster is set up, and what the cluster's errors mean."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IllegalSaslStateError, KafkaConnectionError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from liveroom.config import KafkaConfig
from liveroom.errors import BadConfig, JournalUnavailable, LiveroomError

__all__ = ["RECORD_BYTES_MAX", "Cluster", "answered", "drop", "stop"]

#: Largest record that a topic takes: above the journal's own limit, so that a record that passes it always fits.
RECORD_BYTES_MAX = 20 * 1024 * 1024
#: Bytes that one fetch of one partition may bring.
FETCH_BYTES = 2 * 1024 * 1024
#: Longest that a broker keeps a fetch open when there is nothing new.
FETCH_WAIT_MS = 500
#: Records of a partition that go to a broker in one batch, in bytes.
BATCH_BYTES = 1024 * 1024
RETRY_BACKOFF_MS = 50
#: A client whose start was given up has so long to finish it: cut off in the middle it would leave a connection open.
GIVEN_UP_S = 5.0
#: Time for a broker to say why it does not let this process in.
ASKED_WHY_MS = 5_000

#: So long a client may take to stop before its connections are closed under it.
STOP_S = 2.0

T = TypeVar("T")

#: Where no logs are set up, as in commands that end with one line, the library's are not printed either.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


class Cluster:
    """Makes clients. Raises `BadConfig` for TLS files that cannot be used."""

    def __init__(self, config: KafkaConfig, name: str) -> None:
        self.servers = ", ".join(config.bootstrap_servers)
        self._compression = None if config.compression == "none" else config.compression
        self._write_wait_ms = config.write_wait_ms
        self.session_ms = config.session_ms
        self._options: dict[str, Any] = {
            "bootstrap_servers": list(config.bootstrap_servers),
            "client_id": name,
            "security_protocol": config.security_protocol,
            "retry_backoff_ms": RETRY_BACKOFF_MS,
        }
        if config.security_protocol.endswith("SSL"):
            self._options["ssl_context"] = _tls(config)
        if config.security_protocol.startswith("SASL"):
            self._options |= {
                "sasl_mechanism": config.sasl_mechanism,
                "sasl_plain_username": config.sasl_username,
                "sasl_plain_password": config.sasl_password,
            }
        self._given_up: set[asyncio.Task[None]] = set()

    async def explained(self, error: JournalUnavailable) -> LiveroomError:
        """The same error, or one that says more; `BadConfig` when brokers are there and refuse this process."""
        protocol, hangs_up = self._options["security_protocol"], ""
        options = {name: value for name, value in self._options.items() if name not in ("bootstrap_servers", "retry_backoff_ms")}
        for server in self._options["bootstrap_servers"]:
            host, _, port = server.rpartition(":")
            connection = AIOKafkaConnection(host.strip("[]"), int(port), request_timeout_ms=ASKED_WHY_MS, **options)
            try:
                await connection.connect()
            except ssl.SSLCertVerificationError as refused:
                return BadConfig(f"kafka.tls_ca_file: the certificate of {server} is not trusted: {refused.verify_message}")
            except ssl.SSLError as refused:
                return BadConfig(f"kafka.security_protocol: {server} does not speak TLS as {protocol} needs it: {refused.reason}")
            except (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError) as refused:
                return BadConfig(f"kafka.sasl_username, kafka.sasl_password, kafka.sasl_mechanism: {server} refuses them: {refused}")
            except (ConnectionResetError, KafkaConnectionError):
                hangs_up = server
            except (KafkaError, TimeoutError, OSError):
                continue
            else:
                hangs_up = server
            finally:
                connection.close()
        if hangs_up:
            words = "is it a port for another kafka.security_protocol, or a broker that hangs?"
            return JournalUnavailable(f"{hangs_up} takes connections and does not answer as {protocol}: {words}")
        return error

    async def start(self, client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
        """Connect a client, as `begin`. Raises `JournalUnavailable`."""
        await answered(self.begin(client), self)

    async def begin(self, client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
        """Connect a client; one whose start fails or is given up is released. Raises the library's errors."""
        starting = asyncio.ensure_future(client.start())
        try:
            await asyncio.shield(starting)
        except BaseException:
            releasing = asyncio.create_task(_release(client, starting))
            self._given_up.add(releasing)
            releasing.add_done_callback(self._given_up.discard)
            raise

    async def close(self) -> None:
        """Wait until what was given up is released."""
        await asyncio.gather(*self._given_up, return_exceptions=True)

    def admin(self) -> AIOKafkaAdminClient:
        """A client that makes topics and looks at them."""
        return AIOKafkaAdminClient(**self._options, request_timeout_ms=max(self._write_wait_ms, 10_000))

    def producer(self) -> AIOKafkaProducer:
        """A client whose writes count when all in-sync copies have them, each once and in order."""
        return AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
            max_request_size=RECORD_BYTES_MAX,
            request_timeout_ms=self._write_wait_ms,
        )

    def reader(self, fetch_wait_ms: int = FETCH_WAIT_MS, fetch_bytes_min: int = 1) -> AIOKafkaConsumer:
        """A client without a group that reads where it is told; what a producer took back is left out.

        The broker answers a fetch once there are `fetch_bytes_min`, or after `fetch_wait_ms`.
        """
        return AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_min_bytes=fetch_bytes_min,
            fetch_max_wait_ms=fetch_wait_ms,
            request_timeout_ms=max(self._write_wait_ms, 10 * FETCH_WAIT_MS),
        )

    def member(self, group: str, session_ms: int) -> AIOKafkaConsumer:
        """A client that is one of a group, and is told which partitions are its own; taken for dead when not heard of for `session_ms`."""
        return AIOKafkaConsumer(
            **self._options,
            group_id=group,
            enable_auto_commit=False,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, session_ms // 10),
            rebalance_timeout_ms=session_ms,
            metadata_max_age_ms=60_000,
        )


async def _release(client: AIOKafkaConsumer | AIOKafkaProducer, starting: asyncio.Future[None]) -> None:
    await asyncio.wait([starting], timeout=GIVEN_UP_S)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await (stop(client) if isinstance(client, AIOKafkaConsumer) else client.stop())


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer. With a broker that hangs its own `stop` may wait without end, or end with a cancellation that nobody asked for."""
    for closing in (consumer.stop, consumer._client.close):
        task = asyncio.ensure_future(closing())
        try:
            await asyncio.wait([task], timeout=STOP_S)
        finally:
            task.cancel()
        if task.done() and not task.cancelled() and task.exception() is None:
            return


async def drop(producer: AIOKafkaProducer) -> None:
    """Close a producer with what it has not delivered: by itself it would go on trying for ever."""
    if (sending := producer._sender.sender_task) is not None:
        sending.cancel()
    await producer.client.close()


async def answered(call: Awaitable[T], cluster: Cluster) -> T:
    """The answer of a broker; raises `JournalUnavailable` when none comes or it is an error."""
    try:
        return await call
    except KafkaConnectionError as error:
        raise JournalUnavailable(f"no Kafka broker answers at {cluster.servers} (kafka.bootstrap_servers): {error}") from error
    except (KafkaError, TimeoutError, OSError) as error:
        raise JournalUnavailable(f"Kafka at {cluster.servers}: {type(error).__name__}: {error}") from error


def _tls(config: KafkaConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.tls_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(f"kafka.tls_ca_file: {config.tls_ca_file}: {error}") from None
    if config.tls_cert_file:
        try:
            context.load_cert_chain(config.tls_cert_file, config.tls_key_file)
        except (OSError, ssl.SSLError) as error:
            raise BadConfig(f"kafka.tls_cert_file, kafka.tls_key_file: {error}") from None
    return context
