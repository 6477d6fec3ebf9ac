"""Every setting as a field of a section, with type, limits, description and default.

`docs/configuration.md` and `liveroom default-config` are generated from these classes. `settings.py` reads and checks the user's values.
The features declare the settings of the section `[rooms]`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from liveroom.config.rooms import RoomsConfig
from liveroom.messages.settings import Section, setting

__all__ = [
    "ADDRESS_SECRET_BYTES_MIN",
    "PAGE_ROOMS_LIMIT",
    "SECRET_BYTES_MIN",
    "AuthConfig",
    "Config",
    "ConsoleConfig",
    "EngineConfig",
    "GatewayConfig",
    "JournalConfig",
    "KafkaConfig",
    "LogsConfig",
    "OpsConfig",
    "RoomsConfig",
]


#: Largest `limit` of a request to the directory.
PAGE_ROOMS_LIMIT: Final = 1_000
#: Shortest shared secret by algorithm, in bytes: the length of its hash (RFC 7518, 3.2).
SECRET_BYTES_MIN: Final = {"HS256": 32, "HS384": 48, "HS512": 64}


#: Shortest secret for hashes of network addresses, in bytes.
ADDRESS_SECRET_BYTES_MIN: Final = 32


Port = Annotated[int, Meta(ge=0, le=65535)]


class LiveroomConfig(Section, frozen=True):
    """The process itself."""

    mode: Annotated[
        Literal["dev", "production"],
        setting(
            "`dev` creates a secret and keeps it in the data directory; `production` needs a secret (`auth.secret`, `auth.secret_file`) or keys (`auth.public_key_file`, `auth.keys_file`)"
        ),
    ] = "production"
    data_dir: Annotated[str, setting("Directory of the SQLite journal and of dev mode's secret", min_length=1)] = "data"
    instance: Annotated[
        str,
        setting(
            "Unique name of this process; empty = host name and gateway port",
            form="at most 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
            max_length=64,
            pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$(?!\n)",
        ),
    ] = ""


class JournalConfig(Section, frozen=True):
    """The log of all commands and events."""

    kind: Annotated[
        Literal["sqlite", "kafka", "memory"],
        setting(
            "`sqlite` is durable and for one process; `kafka` is for many processes, see [kafka]; `memory` loses everything at exit, for tests and trials"
        ),
    ] = "sqlite"
    partitions: Annotated[int, setting("Number of partitions; fixed when the journal is created", ge=1, le=256)] = 4
    commands_waiting_max: Annotated[
        int,
        setting(
            "Unanswered commands that may wait in a partition, 64 MB at most; further ones are refused as `overloaded`."
            " An eighth of both is reserved for staff",
            ge=100,
            le=1_000_000,
        ),
    ] = 20_000
    record_bytes_max: Annotated[int, setting("Largest record in bytes; a step takes fewer commands to stay below it", ge=600_000, le=16_000_000)] = (
        900_000
    )
    group_commit_records_max: Annotated[int, setting("Records in one commit", ge=1, le=100_000)] = 1_000
    snapshots_kept: Annotated[int, setting("Snapshots kept per partition", ge=2, le=100)] = 3


class KafkaConfig(Section, frozen=True):
    """The Kafka cluster of the journal, for `journal.kind = "kafka"`."""

    bootstrap_servers: Annotated[tuple[str, ...], setting("Brokers for the first contact, as host:port")] = ("127.0.0.1:9092",)
    topic_prefix: Annotated[
        str,
        setting(
            "Prefix of the names of topics and of the engines' consumer group",
            form="1-100 of A-Z a-z 0-9 . _ -",
            max_length=100,
            pattern=r"^[A-Za-z0-9._-]+$(?!\n)",
        ),
    ] = "liveroom"
    create_topics: Annotated[bool, setting("Create missing topics; otherwise a missing topic is an error")] = True
    start_wait_ms: Annotated[
        int,
        setting("Time that a starting process waits for brokers that do not answer and for topics that do not exist yet", ge=0, le=3_600_000),
    ] = 60_000
    replication_factor: Annotated[
        int, setting("Replicas of each partition, for topics that liveroom creates. An existing topic of events with fewer is refused", ge=1, le=16)
    ] = 3
    min_insync_replicas: Annotated[
        int,
        setting(
            "Replicas that must store a write before it counts, for topics that liveroom creates. An existing topic of events with fewer is refused",
            ge=1,
            le=16,
        ),
    ] = 2
    allow_unclean_elections: Annotated[
        bool, setting("Accept a topic of events with `unclean.leader.election.enable`, with which brokers may lose confirmed events")
    ] = False
    events_retention_h: Annotated[
        int,
        setting(
            "Time in hours for which events are kept, for topics that liveroom creates; -1 = forever. An existing topic of events with less is refused",
            ge=-1,
            le=1_000_000,
        ),
    ] = -1
    skip_offsets: Annotated[
        tuple[str, ...],
        setting("Foreign records to skip in the topic of events, as partition:offset; a readable entry at such an offset still counts"),
    ] = ()
    events_lost: Annotated[
        tuple[str, ...],
        setting(
            "Spans of the topic of events, as partition:from-to, that brokers have lost and that an operator gives up. "
            "The partition continues at its present end, and older cursors start over with a keyframe. Keep it, the same in every process"
        ),
    ] = ()
    commands_retention_h: Annotated[
        int, setting("Time in hours for which commands are kept, for topics that liveroom creates; -1 = forever", ge=-1, le=1_000_000)
    ] = 168
    compression: Annotated[Literal["none", "gzip", "lz4"], setting("Compression of records, on the network and in the log")] = "lz4"
    write_wait_ms: Annotated[int, setting("Time for the acknowledgment of a write; after it the outcome is unknown", ge=500, le=120_000)] = 5_000
    session_ms: Annotated[
        int,
        setting(
            "An engine that brokers do not hear for this time loses its partitions."
            " Brokers with a larger `group.min.session.timeout.ms`, by default 6000, get 6000 instead",
            ge=500,
            le=300_000,
        ),
    ] = 2_500
    security_protocol: Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], setting("Protocol of the connections to brokers")] = (
        "PLAINTEXT"
    )
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], setting("Mechanism by which this process authenticates")] = "PLAIN"
    sasl_username: Annotated[str, setting("User name for SASL", max_length=256)] = ""
    sasl_password: Annotated[str, setting("Password for SASL", max_length=4_096)] = ""
    tls_ca_file: Annotated[str, setting("PEM file of the certificate authorities for brokers; empty = the system's")] = ""
    tls_cert_file: Annotated[str, setting("PEM certificate chain of this process, if brokers require one")] = ""
    tls_key_file: Annotated[str, setting("PEM private key of `tls_cert_file`")] = ""


class EngineConfig(Section, frozen=True):
    """The engine, which decides commands."""

    step_commands_max: Annotated[int, setting("Commands in one step", ge=1, le=10_000)] = 500
    steps_in_flight_max: Annotated[int, setting("Steps that may wait for the journal at once", ge=1, le=64)] = 8
    snapshot_interval_ms: Annotated[int, setting("Time between two snapshots of a changed partition", ge=1_000, le=3_600_000)] = 30_000
    snapshot_records_max: Annotated[int, setting("Records after which a snapshot is taken at the latest", ge=10, le=1_000_000)] = 5_000
    dedupe_window_ms: Annotated[int, setting("Time for which the outcome of a command id is remembered", ge=1_000, le=86_400_000)] = 600_000
    dedupe_count_max: Annotated[
        int, setting("Outcomes that a partition remembers of refused commands and of commands that move no money", ge=100, le=10_000_000)
    ] = 100_000
    dedupe_bytes_max: Annotated[
        int,
        setting("Memory of these outcomes in a partition; the oldest are forgotten first", ge=1_048_576, le=100_000_000_000),
    ] = 67_108_864
    dedupe_money_max: Annotated[
        int,
        setting(
            "Outcomes that a partition remembers of commands that moved money. They are never forgotten early; further commands are refused as `overloaded`."
            " A quarter is reserved for staff",
            ge=100,
            le=10_000_000,
        ),
    ] = 500_000
    dedupe_money_bytes_max: Annotated[
        int,
        setting(
            "Memory of the outcomes of commands that moved money, per partition; beyond it further commands are refused as `overloaded`."
            " A quarter is reserved for staff",
            ge=1_048_576,
            le=100_000_000_000,
        ),
    ] = 536_870_912
    dedupe_money_per_user_max: Annotated[
        int,
        setting(
            "Outcomes of commands that moved money per user, except for the platform; further commands are refused as `rate_limited`",
            ge=10,
            le=10_000_000,
        ),
    ] = 1_000
    keyframe_interval_ms: Annotated[int, setting("Time between two keyframes of a busy room", ge=100, le=600_000)] = 5_000
    keyframe_quiet_interval_ms: Annotated[
        int, setting("Time between two keyframes of a changing room with fewer events than `keyframe_quiet_events_max`", ge=100, le=600_000)
    ] = 30_000
    keyframe_quiet_events_max: Annotated[
        int, setting("Events since its last keyframe at which a room is busy; a newcomer to a quiet room gets fewer than these", ge=1, le=1_000)
    ] = 25
    keyframe_events_max: Annotated[int, setting("Events after which a room gets a keyframe at the latest", ge=10, le=100_000)] = 500
    rooms_max: Annotated[int, setting("Rooms of a partition in memory; beyond it closed rooms leave memory early", ge=1, le=10_000_000)] = 50_000
    archive_after_ms: Annotated[
        int,
        setting(
            "A closed room that is unused for this time and has no timers leaves memory; the next request loads it again",
            ge=1_000,
            le=31_536_000_000,
        ),
    ] = 3_600_000
    takeover_retry_ms: Annotated[
        int, setting("Pause before an engine takes a partition over again, after losing it or after a failed write", ge=10, le=60_000)
    ] = 500


class GatewayConfig(Section, frozen=True):
    """The gateway, which holds the connections of viewers."""

    host: Annotated[str, setting("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, setting("Port to listen on; 0 = any free one")] = 8800
    share_port: Annotated[bool, setting("Several gateways of one machine may listen on the same port; the kernel distributes connections")] = False
    workers: Annotated[
        int,
        setting(
            "Processes that hold the viewers, on one machine with an embedded journal; 0 = the process with the journal holds them. "
            "Limits per process count for each",
            ge=0,
            le=64,
        ),
    ] = 0
    workers_alone_ms: Annotated[
        int,
        setting("Time for which a worker keeps its viewers while the process with the journal is away; then the worker ends", ge=1_000, le=3_600_000),
    ] = 60_000
    tls_cert_file: Annotated[str, setting("PEM certificate chain; together with `tls_key_file` it enables TLS")] = ""
    tls_key_file: Annotated[str, setting("PEM private key")] = ""
    origins: Annotated[
        tuple[str, ...],
        setting(
            "Further origins of pages that may connect, besides the console's and those of the gateway's host; `*` = any, "
            "`https://*.example.com` = any with one more label. Clients without an Origin are not browsers and may always connect"
        ),
    ] = ()
    trusted_proxies: Annotated[tuple[str, ...], setting("Networks (CIDR) of proxies whose X-Forwarded-For header gateway and console trust")] = ()
    proxy_protocol: Annotated[
        bool,
        setting(
            "Connections from `trusted_proxies` start with a PROXY protocol header, version 1 or 2, which names the client. Other connections have none"
        ),
    ] = False
    connections_max: Annotated[int, setting("Open connections of the process", ge=1, le=1_000_000)] = 18_000
    connections_per_address_max: Annotated[
        int, setting("Open connections from one client address; an IPv6 address counts as its /64 network", ge=1, le=1_000_000)
    ] = 20_000
    connections_per_user_max: Annotated[int, setting("Open connections of one user in one room; a new one replaces the oldest", ge=1, le=1_000)] = 5
    handshake_ms: Annotated[int, setting("Time for a handshake, from accept to upgrade, including TLS", ge=100, le=60_000)] = 5_000
    handshakes_waiting_max: Annotated[
        int,
        setting(
            "Pending handshakes, from accept to upgrade; a further one displaces one of the address with the most",
            ge=1,
            le=100_000,
        ),
    ] = 4_096
    handshakes_per_address_max: Annotated[
        int,
        setting("Pending handshakes of one client address; a further one displaces the oldest", ge=1, le=100_000),
    ] = 2_048
    command_bytes_max: Annotated[int, setting("Largest message from a client, in bytes", ge=512, le=131_072)] = 4_096
    commands_per_s: Annotated[int, setting("Average commands per second of one connection", ge=1, le=1_000)] = 10
    commands_burst: Annotated[int, setting("Commands that one connection may send at once after a pause", ge=1, le=10_000)] = 20
    commands_waiting_max: Annotated[int, setting("Unanswered commands of one connection", ge=1, le=1_000)] = 32
    admission_margin: Annotated[
        int, setting("Claims of one scarce item that may be at the engine beyond the number of units left", ge=1, le=10_000)
    ] = 16
    flood_refusals_max: Annotated[
        int, setting("`rate_limited` refusals and bad messages within 10 s, after which a connection is closed as flooding", ge=1, le=100_000)
    ] = 200
    idle_ms: Annotated[
        int, setting("A connection without any message for this time is closed; it gets a ping after half of it", ge=1_000, le=3_600_000)
    ] = 60_000
    beat_ms: Annotated[
        int, setting("A viewer without any frame for this time gets a `beat`, so that it notices a dead connection; 0 = no beats", ge=0, le=3_600_000)
    ] = 15_000
    compression: Annotated[bool, setting("Offer permessage-deflate; each frame is compressed once for all viewers of a room")] = True
    tick_ms_min: Annotated[int, setting("Shortest tick: the time for which a room's events are collected", ge=1, le=1_000)] = 20
    tick_ms_max: Annotated[int, setting("Longest tick, used by a full process", ge=1, le=5_000)] = 250
    broadcast_batch_size: Annotated[int, setting("Viewers that get a frame before the event loop does other work", ge=1, le=100_000)] = 64
    frame_bytes_max: Annotated[
        int, setting("Largest delta in bytes; beyond it lossy events are omitted, then the frame is split", ge=4_096, le=1_000_000)
    ] = 32_768
    ring_frames_max: Annotated[int, setting("Frames in a room's ring", ge=16, le=100_000)] = 1_024
    replay_events_max: Annotated[
        int, setting("Events of all rooms in the replay buffer, from which clients of a newly loaded room can resume", ge=0, le=10_000_000)
    ] = 50_000
    replay_bytes_max: Annotated[
        int, setting("Memory of the replay buffer over all partitions; the oldest events are dropped first", ge=0, le=10_000_000_000)
    ] = 67_108_864
    ring_bytes_max: Annotated[int, setting("Memory of a room's ring", ge=65_536, le=100_000_000)] = 1_048_576
    socket_send_bytes: Annotated[int, setting("Kernel send buffer of a connection; 0 = the system's default", ge=0, le=16_000_000)] = 65_536
    rooms_max: Annotated[int, setting("Rooms that the process follows at once", ge=1, le=1_000_000)] = 20_000
    room_idle_ms: Annotated[int, setting("Time for which a room is kept after its last viewer left", ge=0, le=3_600_000)] = 30_000
    room_wait_ms: Annotated[int, setting("Time to load a room's keyframe for its first viewer", ge=100, le=60_000)] = 5_000
    reply_wait_ms: Annotated[int, setting("Time after which a command without an outcome is answered with `unavailable`", ge=100, le=60_000)] = 10_000
    interruption_ms: Annotated[
        int,
        setting("Time without an answer to a partition's commands, after which viewers get an `interruption` frame", ge=500, le=30_000),
    ] = 3_000
    batch_commands_max: Annotated[int, setting("Commands in one batch to the journal", ge=1, le=500)] = 64
    batch_wait_ms: Annotated[
        int, setting("Time between two batches of commands, over all rooms; a command after a longer pause is sent at once", ge=0, le=1_000)
    ] = 10
    likes_report_ms: Annotated[int, setting("Time for which viewers' likes are summed before a report", ge=10, le=60_000)] = 250
    audience_report_ms: Annotated[
        int,
        setting(
            "Time between two reports of a room's viewers while they change; a large room's reports have up to 10 times the pause", ge=100, le=60_000
        ),
    ] = 1_000
    audience_repeat_ms: Annotated[
        int,
        setting(
            "Time until an unchanged number of viewers is reported again, at first; at most half of `rooms.audience_expiry_ms`", ge=100, le=600_000
        ),
    ] = 10_000
    drain_ms: Annotated[int, setting("Time over which connections are closed at shutdown", ge=0, le=3_600_000)] = 5_000
    reconnect_spread_ms: Annotated[int, setting("Time over which the viewers of a closing gateway spread their reconnects", ge=0, le=3_600_000)] = (
        5_000
    )


class ConsoleConfig(Section, frozen=True):
    """The console, which serves HTTP: the API, the pages, health and metrics."""

    host: Annotated[str, setting("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, setting("Port to listen on; 0 = any free one")] = 8801
    gateway_url: Annotated[
        str,
        setting(
            "Address of the gateway for browsers; empty = the gateway's host and port",
            form="an address beginning with ws:// or wss://, or nothing",
            pattern=r"^(wss?://[^\s]+)?$(?!\n)",
        ),
    ] = ""
    body_bytes_max: Annotated[int, setting("Largest request body, in bytes", ge=1_024, le=1_048_576)] = 131_072
    reply_wait_ms: Annotated[int, setting("Time after which a command without an outcome is answered with `unavailable`", ge=100, le=60_000)] = 10_000
    requests_per_s: Annotated[int, setting("Average commands per second of one token's user", ge=1, le=100_000)] = 50
    requests_burst: Annotated[int, setting("Commands that one token's user may send at once after a pause", ge=1, le=100_000)] = 200
    connections_max: Annotated[
        int,
        setting(
            "Open connections. A further one displaces a connection that is idle or waits for its client."
            " If all of them have requests in progress, a further one gets 503. An eighth is reserved for staff",
            ge=1,
            le=1_000_000,
        ),
    ] = 2_000
    requests_per_user_max: Annotated[
        int,
        setting("Requests in progress of one token's user, except for the platform; further ones are refused as `rate_limited`", ge=1, le=1_000_000),
    ] = 64
    requests_per_address_max: Annotated[
        int,
        setting(
            "Requests in progress from one client address, with or without a token, except for staff; further ones are refused as `rate_limited`."
            " An IPv6 address counts as its /64 network; behind `gateway.trusted_proxies` the forwarded address counts",
            ge=1,
            le=1_000_000,
        ),
    ] = 500
    unread_bytes_max: Annotated[
        int,
        setting(
            "Bytes of responses that clients have not read; beyond it the slowest clients are dropped. A shared response counts once",
            ge=1_048_576,
            le=10_000_000_000,
        ),
    ] = 67_108_864
    head_ms: Annotated[int, setting("Time for the header of a connection's first request", ge=100, le=600_000)] = 10_000
    keep_alive_ms: Annotated[
        int,
        setting(
            "Time after which an idle connection is closed. It must be longer than the idle time of a load balancer in front, "
            "which would otherwise send requests into closing connections",
            ge=1_000,
            le=3_600_000,
        ),
    ] = 90_000
    rooms_max: Annotated[int, setting("Rooms in the directory", ge=1, le=10_000_000)] = 200_000
    closed_rooms_whole_max: Annotated[int, setting("Closed rooms whose details stay in memory; others are read on request", ge=1, le=1_000_000)] = 500
    page_rooms_max: Annotated[int, setting("Rooms in one response of the directory", ge=1, le=PAGE_ROOMS_LIMIT)] = 100
    shutdown_ms: Annotated[int, setting("Time for open requests at shutdown", ge=0, le=600_000)] = 5_000


class OpsConfig(Section, frozen=True):
    """The address of `/livez`, `/readyz` and `/metrics` in a process without a console."""

    host: Annotated[str, setting("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, setting("Port to listen on; 0 = any free one")] = 8802


class AuthConfig(Section, frozen=True):
    """The check of tokens, which are JWTs with `sub`, `room`, `role` and `exp`."""

    algorithm: Annotated[Literal["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"], setting("The only accepted algorithm")] = "HS256"
    secret: Annotated[str, setting("Shared secret for HS*, at least as long as its hash: 32, 48 or 64 bytes", max_length=4_096)] = ""
    secret_file: Annotated[str, setting("File with the secret, instead of `secret`")] = ""
    public_key_file: Annotated[str, setting("PEM public key for RS256, PS256, ES256, EdDSA")] = ""
    keys_file: Annotated[
        str,
        setting("JWK Set (RFC 7517) with keys by `kid`; it is read again when it changes. It can be combined with a secret or key"),
    ] = ""
    address_secret: Annotated[
        str,
        setting(
            "Secret for hashes of network addresses: at least 32 bytes, the same in all processes; "
            "empty = from `secret` or, with public keys, from the data directory",
            max_length=4_096,
        ),
    ] = ""
    issuer: Annotated[str, setting("Required `iss`; empty = not checked")] = ""
    audience: Annotated[str, setting("Required `aud`; empty = not checked")] = ""
    leeway_s: Annotated[int, setting("Tolerated clock difference in seconds", ge=0, le=600)] = 10
    lifetime_s_max: Annotated[int, setting("Longest accepted lifetime of a token, in seconds", ge=60, le=31_622_400)] = 604_800


class LogsConfig(Section, frozen=True):
    """The log on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], setting("Lowest level that is written")] = "info"
    format: Annotated[Literal["text", "json"], setting("`text` for people, `json` for collectors")] = "text"


class Config(Section, frozen=True):
    """All settings."""

    liveroom: LiveroomConfig = field(default_factory=LiveroomConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)
    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    rooms: RoomsConfig = field(default_factory=RoomsConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    ops: OpsConfig = field(default_factory=OpsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)
