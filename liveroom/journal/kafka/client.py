"""The set-up of all clients of the Kafka cluster, and the meaning of the cluster's errors."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from liveroom.config.files import check_file
from liveroom.config.schema import KafkaConfig
from liveroom.journal.kafka.records import CarefulConsumer
from liveroom.messages.errors import BadConfig, JournalUnavailable, LiveroomError

__all__ = ["RECORD_BYTES_MAX", "KafkaCluster", "answered", "drop", "offsets_of", "stop", "tls_context"]

#: Largest record that a topic takes. It is above the journal's own limit, so an allowed record always fits.
RECORD_BYTES_MAX = 20 * 1024 * 1024
#: Limit of the bytes that one fetch brings from one partition.
FETCH_BYTES = 2 * 1024 * 1024
#: Longest time that a broker holds a fetch when there is nothing new.
FETCH_WAIT_MS = 500
#: Limit of one batch of a partition's records, in bytes.
BATCH_BYTES = 1024 * 1024
RETRY_BACKOFF_MS = 50
#: Time for a client whose start was given up to finish it. Cut off in the middle, it would leave a connection open.
GIVEN_UP_S = 5.0
#: Time for a broker to accept a connection and list its versions, where another broker can be asked instead.
PROBE_MS = 2_000
#: Time for one request for offsets. It is repeated until a write would be given up, too.
QUESTION_MS = 2_000
#: Time for a broker to say why it rejects this process.
ASKED_WHY_MS = 5_000

#: Time for a client to stop before its connections are closed.
STOP_S = 2.0

T = TypeVar("T")

Client: TypeAlias = AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient

#: Commands that end with one line set up no logs, and the library's logs are not printed there either.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


class KafkaCluster:
    """Makes clients of the cluster. Raises `BadConfig` for unusable TLS files."""

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
            self._options["ssl_context"] = tls_context(config)
        if config.security_protocol.startswith("SASL"):
            self._options |= {
                "sasl_mechanism": config.sasl_mechanism,
                "sasl_plain_username": config.sasl_username,
                "sasl_plain_password": config.sasl_password,
            }
        self._given_up: set[asyncio.Task[None]] = set()
        self._heard_last = ""  # the last bootstrap server that answered
        self.answer_wait_s = max(self._write_wait_ms, 10 * FETCH_WAIT_MS) / 1000

    async def explained(self, error: JournalUnavailable) -> LiveroomError:
        """A more precise error, or the same one. Gives `BadConfig` when brokers answer and reject this process."""
        protocol, hangs_up = self._options["security_protocol"], ""
        for server in self._options["bootstrap_servers"]:
            connection = self._connection(server, ASKED_WHY_MS)
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
        if hangs_up and protocol.endswith("SSL") and (refusal := await self._tls_refusal(hangs_up)):
            return refusal
        if hangs_up:
            words = "is it a port for another kafka.security_protocol, or a broker that hangs?"
            return JournalUnavailable(f"{hangs_up} takes connections and does not answer as {protocol}: {words}")
        return error

    async def _tls_refusal(self, server: str) -> BadConfig | None:
        """A broker's complaint about a client's certificate.

        TLS 1.3 reports it after the handshake, where a client takes it for a broken connection.
        """
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(ASKED_WHY_MS / 1000):
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=self._options["ssl_context"])
                try:
                    await reader.read(1)
                finally:
                    writer.close()
        except ssl.SSLError as refused:
            if "CERTIFICATE" in (refused.reason or "") or "HANDSHAKE" in (refused.reason or ""):
                return BadConfig(
                    f"kafka.tls_cert_file, kafka.tls_key_file: {server} wants a certificate, or another one, from its clients: {refused.reason}"
                )
        except (TimeoutError, OSError):
            pass
        return None

    def _connection(self, server: str, wait_ms: int) -> AIOKafkaConnection:
        host, _, port = server.rpartition(":")
        options = {name: value for name, value in self._options.items() if name not in ("bootstrap_servers", "retry_backoff_ms")}
        return AIOKafkaConnection(host.strip("[]"), int(port), request_timeout_ms=wait_ms, **options)

    async def _server_that_answers(self) -> str:
        """The bootstrap server to begin with.
        A hanging broker accepts connections, so a client that begins with it would wait in vain.

        Raises: `KafkaConnectionError` when no server answers.
        """
        servers: list[str] = self._options["bootstrap_servers"]
        if len(servers) == 1:
            return servers[0]
        others = [server for server in servers if server != self._heard_last]
        random.shuffle(others)
        for server in [self._heard_last, *others] if self._heard_last else others:
            connection = self._connection(server, PROBE_MS)
            try:
                await connection.connect()
            except (KafkaError, TimeoutError, OSError):
                continue
            finally:
                connection.close()
            self._heard_last = server
            return server
        raise KafkaConnectionError(f"no answer from any of {len(servers)} servers within {PROBE_MS} ms")

    async def start(self, client: Client) -> None:
        """Connect a client, like `begin`. Raises `JournalUnavailable`."""
        await answered(self.begin(client), self)

    async def begin(self, client: Client) -> None:
        """Connect a client. Releases one whose start fails or is given up. Raises the library's errors."""
        starting = asyncio.ensure_future(self._begin(client))
        try:
            await asyncio.shield(starting)
        except BaseException:
            releasing = asyncio.create_task(_release(client, starting))
            self._given_up.add(releasing)
            releasing.add_done_callback(self._given_up.discard)
            releasing.add_done_callback(_look_at)
            raise

    async def _begin(self, client: Client) -> None:
        _inner(client)._bootstrap_servers = [await self._server_that_answers()]
        await client.start()

    async def close(self) -> None:
        """Wait until all abandoned clients are released."""
        await asyncio.gather(*self._given_up, return_exceptions=True)

    def admin(self) -> AIOKafkaAdminClient:
        """A client that makes and describes topics."""
        return AIOKafkaAdminClient(**self._options, request_timeout_ms=max(self._write_wait_ms, 10_000))

    def producer(self) -> AIOKafkaProducer:
        """A producer whose writes count once all in-sync copies have them, each once and in order."""
        return AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
            max_request_size=RECORD_BYTES_MAX,
            request_timeout_ms=self._write_wait_ms,
        )

    def asker(self) -> AIOKafkaConsumer:
        """A client for `offsets_of`, on which no request waits long for a hanging broker."""
        return AIOKafkaConsumer(
            **self._options, group_id=None, enable_auto_commit=False, isolation_level="read_committed", request_timeout_ms=QUESTION_MS
        )

    def reader(self, fetch_wait_ms: int = FETCH_WAIT_MS, fetch_bytes_min: int = 1) -> CarefulConsumer:
        """A reader without a group; it skips aborted transactions.

        The broker answers a fetch once there are `fetch_bytes_min`, or after `fetch_wait_ms`.
        """
        return CarefulConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_min_bytes=fetch_bytes_min,
            fetch_max_wait_ms=fetch_wait_ms,
            request_timeout_ms=int(self.answer_wait_s * 1000),
        )

    def member(self, group: str, session_ms: int) -> AIOKafkaConsumer:
        """A member of a group, which gets its partitions from the brokers. They take it for dead after `session_ms` without a sign of life."""
        return AIOKafkaConsumer(
            **self._options,
            group_id=group,
            enable_auto_commit=False,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, session_ms // 10),
            rebalance_timeout_ms=session_ms,
            request_timeout_ms=session_ms + self._write_wait_ms,  # joining waits for the slowest member, which may use its whole session
            metadata_max_age_ms=60_000,
        )


def _inner(client: Client) -> Any:
    """The client object that all of the library's clients share."""
    return client.client if isinstance(client, AIOKafkaProducer) else client._client


async def _release(client: Client, starting: asyncio.Future[None]) -> None:
    await asyncio.wait([starting], timeout=GIVEN_UP_S)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    if isinstance(client, AIOKafkaConsumer):
        await stop(client)
    else:
        await (client.stop() if isinstance(client, AIOKafkaProducer) else client.close())


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer. The library's own `stop` may block forever on a hanging broker, or raise a cancellation that nobody requested."""
    for closing in (consumer.stop, consumer._client.close):
        task = asyncio.ensure_future(closing())
        try:
            await asyncio.wait([task], timeout=STOP_S)
        finally:
            task.cancel()
            task.add_done_callback(_look_at)
        if task.done() and not task.cancelled() and task.exception() is None:
            return


def _look_at(closing: asyncio.Future[None]) -> None:
    """Ignore the error of an abandoned client."""
    if not closing.cancelled():
        closing.exception()


async def drop(producer: AIOKafkaProducer) -> None:
    """Close a producer and drop its undelivered records; by itself it would retry forever."""
    if (sending := producer._sender.sender_task) is not None:
        sending.cancel()
    await producer.client.close()


Question: TypeAlias = Callable[[AIOKafkaConsumer], Awaitable[dict[TopicPartition, int]]]


async def offsets_of(consumer: AIOKafkaConsumer, ask: Question, cluster: KafkaCluster) -> dict[TopicPartition, int]:
    """Ask for offsets.
    Raises `JournalUnavailable` without an answer within `KafkaCluster.answer_wait_s`.

    After an unanswered request the client looks for the leaders again.
    By itself it keeps asking a hanging broker, and learns of a new leader only when its metadata is five minutes old.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + cluster.answer_wait_s
    while True:
        try:
            async with asyncio.timeout(QUESTION_MS / 1000):
                return await ask(consumer)
        except ConsumerStoppedError:
            raise
        except (KafkaError, TimeoutError, OSError) as error:
            _inner(consumer).force_metadata_update()
            if clock() >= deadline or not getattr(error, "retriable", True):
                words = (
                    f"{type(error).__name__}: {error}"
                    if str(error)
                    else f"a question for offsets was not answered within {cluster.answer_wait_s:g} s"
                )
                raise JournalUnavailable(f"Kafka at {cluster.servers}: {words}") from error
            await asyncio.sleep(RETRY_BACKOFF_MS / 1000)
        except asyncio.CancelledError:
            _inner(consumer).force_metadata_update()
            raise


async def answered(call: Awaitable[T], cluster: KafkaCluster) -> T:
    """The answer of a broker. Raises `JournalUnavailable` when none comes or it is an error."""
    try:
        return await call
    except KafkaConnectionError as error:
        raise JournalUnavailable(f"no Kafka broker answers at {cluster.servers} (kafka.bootstrap_servers): {error}") from error
    except (KafkaError, TimeoutError, OSError) as error:
        raise JournalUnavailable(f"Kafka at {cluster.servers}: {type(error).__name__}: {error}") from error


def _no_passphrase() -> str:
    """Refuse an encrypted key; OpenSSL would otherwise wait for a passphrase at the terminal."""
    raise BadConfig(
        "kafka.tls_key_file: the key is encrypted; store it without a passphrase (openssl pkey -in KEY -out NEW), readable by this user alone"
    )


def tls_context(config: KafkaConfig) -> ssl.SSLContext:
    """The TLS context for brokers. Raises `BadConfig` for unusable files."""
    for name in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        if file := getattr(config, name):
            check_file(f"kafka.{name}", file)
    try:
        context = ssl.create_default_context(cafile=config.tls_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(f"kafka.tls_ca_file: {config.tls_ca_file}: {error}") from None
    if config.tls_cert_file:
        try:
            context.load_cert_chain(config.tls_cert_file, config.tls_key_file or None, password=_no_passphrase)
        except (OSError, ssl.SSLError) as error:
            raise BadConfig(f"kafka.tls_cert_file, kafka.tls_key_file: {error}") from None
    return context
