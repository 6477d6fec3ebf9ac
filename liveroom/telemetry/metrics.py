"""All metrics, in one place. No metric has a label per room or per user."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from liveroom.telemetry.isolation import PLACES, IsolatedErrors

__all__ = ["Metrics"]

_FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class _Family:
    """A collector of a single family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """Yield it."""
        yield self._family


class Metrics:
    """The metrics of one process. Each instance has its own registry, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

        self.errors_isolated = self._counter(
            "errors_isolated", f"Errors of one item while the others went on; each is a bug. Places: {', '.join(PLACES)}", "place"
        )
        self.isolated = IsolatedErrors(self.errors_isolated)
        self.auth_keys = self._gauge("auth_keys", "Keys that verify tokens")
        self.auth_key_reloads = self._counter("auth_key_reloads", "Changes of `auth.keys_file`, by outcome: taken or refused", "outcome")
        self._of_gateway()
        self._of_engine()
        self._of_journal()
        self._of_console()

    def _of_gateway(self) -> None:
        self.gateway_connections = self._gauge("gateway_connections", "Open connections")
        self.gateway_connections_max = self._gauge("gateway_connections_max", "Limit of open connections, from `gateway.connections_max`")
        self.gateway_rooms = self._gauge("gateway_rooms", "Rooms in the gateway's memory")
        self.gateway_viewers_behind = self._gauge("gateway_viewers_behind", "Viewers with a full socket, whose cursor waits")
        self.gateway_tick_seconds = self._gauge("gateway_tick_seconds", "Present length of a tick, which grows with the audience")
        self.gateway_joins = self._counter("gateway_joins", "Viewers that joined, by the way in which they started", "start")
        self.gateway_handshakes_waiting = self._gauge("gateway_handshakes_waiting", "Accepted connections before their upgrade")
        self.gateway_handshakes_refused = self._counter("gateway_handshakes_refused", "Refused or dropped handshakes", "reason")
        self.gateway_closes = self._counter("gateway_closes", "Ended connections, by close code", "code")
        self.gateway_frames_built = self._counter("gateway_frames_built", "Deltas built")
        self.gateway_frames_sent = self._counter("gateway_frames_sent", "Frames written to viewers")
        self.gateway_bytes_sent = self._counter("gateway_bytes_sent", "Bytes written to viewers")
        self.gateway_viewers_skipped = self._counter("gateway_viewers_skipped", "Times a viewer fell off the ring and jumped to a keyframe")
        self.gateway_commands = self._counter("gateway_commands", "Commands received")
        self.gateway_refusals = self._counter("gateway_refusals", "Refusals by the gateway, and of commands without a decision, by code", "code")
        self.gateway_claims_queued = self._gauge("gateway_claims_queued", "Claims that wait in admission queues")
        self.gateway_claims_answered_here = self._counter("gateway_claims_answered_here", "Claims answered without the engine, by code", "code")
        self.gateway_broadcast_seconds = self._histogram("gateway_broadcast_seconds", "Time to write one frame to a room's viewers", _FAST_S)
        self.gateway_delivery_seconds = self._histogram(
            "gateway_delivery_seconds", "Time from a room's first event of a tick until the write to its last viewer ended", _FAST_S
        )
        self.gateway_partitions_interrupted = self._gauge(
            "gateway_partitions_interrupted", "Partitions without an answer, whose viewers got a notice"
        )

    def _of_engine(self) -> None:
        self.engine_partitions = self._gauge("engine_partitions", "Partitions that this engine owns")
        self.engine_rooms = self._gauge("engine_rooms", "Rooms in memory, of the partitions that this engine owns")
        self.engine_rooms_archived = self._gauge("engine_rooms_archived", "Archived rooms, of the partitions that this engine owns")
        self.engine_rooms_set_aside = self._gauge(
            "engine_rooms_set_aside", "Rooms whose events in the log cannot be applied; they wait for an operator"
        )
        self.engine_clock_held_back_seconds = self._gauge(
            "engine_clock_held_back_seconds", "Lag of rooms' time behind the system's clock after that was stepped forward"
        )
        self.engine_fencing_epoch = self._gauge("engine_fencing_epoch", "Fencing epoch of a partition that this engine owns", "partition")
        self.engine_takeovers = self._counter("engine_takeovers", "Takeovers by this engine")
        self.engine_takeover_seconds = self._histogram("engine_takeover_seconds", "Time from a takeover to readiness", _FAST_S)
        self.engine_commands = self._counter("engine_commands", "Answered commands, by outcome: accepted, refused, repeated or poison", "outcome")
        self.engine_events = self._counter("engine_events", "Recorded events")
        self.engine_steps = self._counter("engine_steps", "Written records")
        self.engine_step_commands = self._histogram("engine_step_commands", "Commands in one record", _SIZES)
        self.engine_append_waiting_seconds = self._gauge(
            "engine_append_waiting_seconds", "Time that this engine's oldest append has waited to become durable; 0 when none waits"
        )
        self.engine_append_seconds = self._histogram("engine_append_seconds", "Time until a record was durable", _FAST_S)
        self.engine_snapshots = self._counter("engine_snapshots", "Written snapshots")

    def _of_journal(self) -> None:
        self.journal_partitions = self._gauge("journal_partitions", "Number of partitions")
        self.journal_commit_seconds = self._histogram("journal_commit_seconds", "Time of one commit", _FAST_S)
        self.journal_commit_records = self._histogram("journal_commit_records", "Entries in one commit", _SIZES)
        self.journal_skipped = self._counter("journal_skipped", "Entries that a reader skipped, by the acceptance rule's verdict", "verdict")
        self.journal_feed_events = self._counter("journal_feed_events", "Events written to the public feed in Kafka")
        self.journal_lag_events = self._gauge(
            "journal_lag_events", "Entries of a partition that this process has not read yet, in Kafka", "partition"
        )
        self.journal_lag_commands = self._gauge(
            "journal_lag_commands", "Batches of commands in Kafka that no record answers yet, of a partition that this engine owns", "partition"
        )
        self.journal_commands_waiting = self._gauge(
            "journal_commands_waiting", "Commands that this process sent to Kafka and that have no answer yet"
        )
        self.journal_partitions_unreachable = self._gauge(
            "journal_partitions_unreachable", "Partitions that this process reads and whose broker does not answer, or whose reads fail"
        )
        self.journal_produce_seconds = self._histogram("journal_produce_seconds", "Time until Kafka acknowledged a write", _FAST_S)
        self.journal_fetch_seconds = self._histogram(
            "journal_fetch_seconds", "Time from an event record's writing to its being read from Kafka, by the clocks of both processes", _FAST_S
        )
        self.journal_broker_errors = self._counter(
            "journal_broker_errors", "Failed requests to Kafka, by operation: produce, fetch, ask, group", "operation"
        )
        self.journal_dead_letters = self._counter("journal_dead_letters", "Commands that became dead letters")

    def _of_console(self) -> None:
        self.console_requests = self._counter(
            "console_requests", "HTTP requests, by method and status; 499 is a client that left during its request", "method", "status"
        )
        self.console_request_seconds = self._histogram("console_request_seconds", "Time to answer an HTTP request", _FAST_S)
        self.console_connections = self._gauge("console_connections", "Open HTTP connections")
        self.console_connections_dropped = self._counter(
            "console_connections_dropped",
            "Dropped HTTP connections: `silent` never asked, `too_many` gave way to a newcomer, `unread` did not read its answer",
            "reason",
        )
        self.console_requests_refused = self._counter(
            "console_requests_refused",
            "HTTP requests refused because too many were in progress, by the limit: `all`, `user` or `address`",
            "reason",
        )
        self.console_unread_bytes = self._gauge("console_unread_bytes", "Bytes of HTTP answers that clients have not read")
        self.console_rooms = self._gauge("console_rooms", "Rooms in the directory")

    def exposition(self) -> Iterator[bytes]:
        """The metrics in Prometheus' text format, family by family.

        All of them take several ms, one family a small part of that.
        """
        for family in self.registry.collect():
            yield generate_latest(_Family(family))

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"liveroom_{name}", words, labels, registry=self.registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"liveroom_{name}", words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"liveroom_{name}", words, registry=self.registry, buckets=buckets)
