"""Every setting, as a field of a section: its type, its limits, its description and its default.

`docs/configuration.md` and `liveroom default-config` are made from these classes; `settings.py` reads and checks what a user set.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

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


#: The most that `limit` may ask for in the directory.
PAGE_ROOMS_LIMIT: Final = 1_000
#: The shortest shared secret by algorithm: as long as its hash (RFC 7518, 3.2).
SECRET_BYTES_MIN: Final = {"HS256": 32, "HS384": 48, "HS512": 64}


#: The shortest secret for counting users of one address.
ADDRESS_SECRET_BYTES_MIN: Final = 32


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the TOML file."""


def _text(words: str, form: str = "", **limits: Any) -> Any:
    return Meta(description=words, extra={"form": form} if form else None, **limits)


Port = Annotated[int, Meta(ge=0, le=65535)]


class LiveroomConfig(Section, frozen=True):
    """The process itself."""

    mode: Annotated[
        Literal["dev", "production"],
        _text(
            "`dev` makes a secret of its own and keeps it in the data directory; `production` needs a secret (`auth.secret`, `auth.secret_file`) or keys (`auth.public_key_file`, `auth.keys_file`)"
        ),
    ] = "production"
    data_dir: Annotated[str, _text("Directory of the embedded journal and of dev mode's secret", min_length=1)] = "data"
    instance: Annotated[
        str,
        _text(
            "Name of this process among others; empty = host name and gateway port",
            form="at most 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
            max_length=64,
            pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$(?!\n)",
        ),
    ] = ""


class JournalConfig(Section, frozen=True):
    """The log that everything goes through."""

    kind: Annotated[
        Literal["sqlite", "kafka", "memory"],
        _text("`sqlite` is durable, for one process; `kafka` is for many, see [kafka]; `memory` forgets everything at exit (tests, trials)"),
    ] = "sqlite"
    partitions: Annotated[int, _text("Number of partitions; fixed when the journal is made", ge=1, le=256)] = 4
    commands_waiting_max: Annotated[
        int,
        _text(
            "Unanswered commands that may wait in a partition before more are refused as `overloaded`; they take 64 MB at most."
            " An eighth of both is kept for anchors and the platform",
            ge=100,
            le=1_000_000,
        ),
    ] = 20_000
    record_bytes_max: Annotated[
        int, _text("Largest record in bytes; a step that would be larger takes fewer commands", ge=600_000, le=16_000_000)
    ] = 900_000
    group_commit_records_max: Annotated[int, _text("Records that one commit may hold", ge=1, le=100_000)] = 1_000
    snapshots_kept: Annotated[int, _text("Snapshots kept per partition", ge=2, le=100)] = 3


class KafkaConfig(Section, frozen=True):
    """The cluster that the journal is kept in, for `journal.kind = "kafka"`."""

    bootstrap_servers: Annotated[tuple[str, ...], _text("Brokers to begin with, as host:port")] = ("127.0.0.1:9092",)
    topic_prefix: Annotated[
        str,
        _text(
            "First part of the topics' names and of the engines' group",
            form="1-100 of A-Z a-z 0-9 . _ -",
            max_length=100,
            pattern=r"^[A-Za-z0-9._-]+$(?!\n)",
        ),
    ] = "liveroom"
    create_topics: Annotated[bool, _text("Create the topics that are missing; otherwise a missing one is an error")] = True
    start_wait_ms: Annotated[
        int,
        _text("A process that starts waits this long for brokers that do not answer and for topics that they do not know yet", ge=0, le=3_600_000),
    ] = 60_000
    replication_factor: Annotated[
        int, _text("Copies of each partition, for topics that are created. A topic of events with fewer is refused", ge=1, le=16)
    ] = 3
    min_insync_replicas: Annotated[
        int,
        _text("Copies that must have a write before it counts, for topics that are created. A topic of events with fewer is refused", ge=1, le=16),
    ] = 2
    allow_unclean_elections: Annotated[
        bool, _text("Take a topic of events with `unclean.leader.election.enable`: brokers may lose what was promised to people")
    ] = False
    events_retention_h: Annotated[
        int,
        _text(
            "How long events are kept, for topics that are created; -1 = for ever. A topic of events that keeps less is refused", ge=-1, le=1_000_000
        ),
    ] = -1
    events_passed_over: Annotated[
        tuple[str, ...],
        _text("Foreign records to skip in the topic of events, as partition:offset; a readable entry at such a place still counts"),
    ] = ()
    events_lost: Annotated[
        tuple[str, ...],
        _text(
            "Spans of the topic of events, as partition:from-to, that a person gave up after brokers had lost them: "
            "the partition goes on where its log ends now, and cursors of before begin again. Keep it, the same in every process"
        ),
    ] = ()
    commands_retention_h: Annotated[int, _text("How long commands are kept, for topics that are created; -1 = for ever", ge=-1, le=1_000_000)] = 168
    compression: Annotated[Literal["none", "gzip", "lz4"], _text("How records are compressed on their way and in the log")] = "lz4"
    write_wait_ms: Annotated[int, _text("Time in which a write must be acknowledged; after it its outcome is unknown", ge=500, le=120_000)] = 5_000
    session_ms: Annotated[
        int,
        _text(
            "An engine that the brokers have not heard of for so long loses its partitions."
            " Brokers whose `group.min.session.timeout.ms` is larger (theirs by default: 6000) get 6000",
            ge=500,
            le=300_000,
        ),
    ] = 2_500
    security_protocol: Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], _text("How brokers are spoken to")] = "PLAINTEXT"
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], _text("How this process proves who it is")] = "PLAIN"
    sasl_username: Annotated[str, _text("Name for SASL", max_length=256)] = ""
    sasl_password: Annotated[str, _text("Password for SASL", max_length=4_096)] = ""
    tls_ca_file: Annotated[str, _text("PEM certificates that brokers are checked against; empty = the system's")] = ""
    tls_cert_file: Annotated[str, _text("PEM certificate chain that this process shows, if brokers want one")] = ""
    tls_key_file: Annotated[str, _text("PEM private key of that certificate")] = ""


class EngineConfig(Section, frozen=True):
    """Who decides."""

    step_commands_max: Annotated[int, _text("Commands that one step may answer", ge=1, le=10_000)] = 500
    steps_in_flight_max: Annotated[int, _text("Steps that may be on their way to the journal at once", ge=1, le=64)] = 8
    snapshot_interval_ms: Annotated[int, _text("A snapshot is taken this long after the last, when anything changed", ge=1_000, le=3_600_000)] = (
        30_000
    )
    snapshot_records_max: Annotated[int, _text("A snapshot is taken after this many records at the latest", ge=10, le=1_000_000)] = 5_000
    dedupe_window_ms: Annotated[int, _text("How long the outcome of a command id is remembered", ge=1_000, le=86_400_000)] = 600_000
    dedupe_count_max: Annotated[
        int, _text("How many outcomes of chat and the like, and of commands that were refused, a partition remembers at most", ge=100, le=10_000_000)
    ] = 100_000
    dedupe_bytes_max: Annotated[
        int,
        _text("Bytes of memory that these outcomes may take in a partition; the oldest are forgotten first", ge=1_048_576, le=100_000_000_000),
    ] = 67_108_864
    dedupe_money_max: Annotated[
        int,
        _text(
            "How many outcomes of commands that moved money a partition remembers; none is forgotten before its time, so more are refused as `overloaded`."
            " A quarter is kept for anchors and the platform",
            ge=100,
            le=10_000_000,
        ),
    ] = 500_000
    dedupe_money_bytes_max: Annotated[
        int,
        _text(
            "Bytes of memory that outcomes of commands that moved money may take in a partition; beyond it more are refused as `overloaded`."
            " A quarter is kept for anchors and the platform",
            ge=1_048_576,
            le=100_000_000_000,
        ),
    ] = 536_870_912
    dedupe_money_per_user_max: Annotated[
        int,
        _text("How many of these one user may have, other than the platform; more are refused as `rate_limited`", ge=10, le=10_000_000),
    ] = 1_000
    keyframe_interval_ms: Annotated[int, _text("A room that changes gets a keyframe this often", ge=100, le=600_000)] = 5_000
    keyframe_events_max: Annotated[int, _text("A room gets a keyframe after this many events at the latest", ge=10, le=100_000)] = 500
    rooms_max: Annotated[
        int, _text("Rooms that a partition may hold in memory; closed ones leave it early when there are so many", ge=1, le=10_000_000)
    ] = 50_000
    archive_after_ms: Annotated[
        int,
        _text(
            "A closed room that nobody used for so long, and in which nothing is due, leaves memory; it comes back when somebody asks for it",
            ge=1_000,
            le=31_536_000_000,
        ),
    ] = 3_600_000
    claim_retry_ms: Annotated[int, _text("Pause before a partition is claimed anew after it was lost or a write failed", ge=10, le=60_000)] = 500


class RoomsConfig(Section, frozen=True):
    """The rules' numbers."""

    chat_interval_ms: Annotated[int, _text("A viewer may say one line per interval on average", ge=0, le=600_000)] = 1_000
    chat_burst: Annotated[int, _text("Lines that a viewer may say at once after a pause", ge=1, le=100)] = 5
    chat_budget_lines_per_s: Annotated[int, _text("Chat lines a second that a room shows unless its anchor sets another number", ge=1, le=1_000)] = 20
    chat_lines_kept: Annotated[int, _text("Last lines of chat in a keyframe, as far as its size allows", ge=0, le=200)] = 50
    questions_max: Annotated[int, _text("Open questions that a room may hold", ge=1, le=1_000)] = 200
    questions_per_user_max: Annotated[int, _text("Open questions that one viewer may have", ge=1, le=100)] = 3
    products_max: Annotated[int, _text("Products that a showcase may hold", ge=1, le=500)] = 500
    try_on_users_max: Annotated[int, _text("Try-on wishes remembered per room, one per viewer and product", ge=1, le=1_000_000)] = 20_000
    try_ons_per_user_max: Annotated[int, _text("Try-on wishes of these that one viewer may have", ge=1, le=500)] = 20
    muted_users_max: Annotated[int, _text("Muted users that a room may have", ge=1, le=10_000)] = 2_000
    banned_users_max: Annotated[int, _text("Banned users that a room may have", ge=1, le=10_000)] = 2_000
    red_envelopes_live_max: Annotated[int, _text("Red envelopes that a room may have announced or open at once", ge=1, le=8)] = 4
    coupons_live_max: Annotated[int, _text("Coupons of a room that have not expired", ge=1, le=1_000)] = 100
    coupon_codes_max: Annotated[int, _text("Codes that all coupons of a room together may have", ge=1, le=10_000_000)] = 1_000_000
    flash_sales_live_max: Annotated[int, _text("Flash sales of a room that are not closed, or closed with open holds", ge=1, le=200)] = 20
    unpaid_holds_per_user_max: Annotated[
        int, _text("Holds of a flash sale that a user may make within an hour without paying; open ones count", ge=1, le=1_000)
    ] = 20
    holds_per_room_max: Annotated[int, _text("Open holds that a room may have", ge=1, le=1_000_000)] = 50_000
    audience_expiry_ms: Annotated[int, _text("A gateway that has not reported for so long counts no more", ge=1_000, le=600_000)] = 30_000


class GatewayConfig(Section, frozen=True):
    """Who holds the viewers."""

    host: Annotated[str, _text("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, _text("Port to listen on; 0 = any free one")] = 8800
    share_port: Annotated[bool, _text("Let several gateways of one machine listen on the same port; the kernel spreads connections over them")] = (
        False
    )
    tls_cert_file: Annotated[str, _text("PEM certificate chain; with `tls_key_file` turns TLS on")] = ""
    tls_key_file: Annotated[str, _text("PEM private key")] = ""
    origins: Annotated[
        tuple[str, ...],
        _text(
            "Origins of pages that may connect beside the console's own and those of the gateway's own host; `*` = any, "
            "`https://*.example.com` = any with one label before. Clients that send no Origin are no browsers and may always connect"
        ),
    ] = ()
    trusted_proxies: Annotated[tuple[str, ...], _text("Networks (CIDR) whose X-Forwarded-For is believed, by gateway and console")] = ()
    proxy_protocol: Annotated[
        bool,
        _text(
            "Connections from `trusted_proxies` begin with a header of the PROXY protocol, version 1 or 2, that names their client. Others have none"
        ),
    ] = False
    connections_max: Annotated[int, _text("Connections that the process may hold", ge=1, le=1_000_000)] = 18_000
    connections_per_address_max: Annotated[
        int, _text("Connections from one client address; an IPv6 address counts as its /64 network", ge=1, le=1_000_000)
    ] = 20_000
    connections_per_user_max: Annotated[int, _text("Connections of one user in one room; a new one replaces the oldest", ge=1, le=1_000)] = 5
    handshake_ms: Annotated[int, _text("Time for a handshake, from accept to upgrade, with that of TLS", ge=100, le=60_000)] = 5_000
    handshakes_waiting_max: Annotated[
        int,
        _text(
            "Handshakes that may be under way at once, from accept to upgrade; for one more, one of the address with the most is dropped",
            ge=1,
            le=100_000,
        ),
    ] = 4_096
    handshakes_per_address_max: Annotated[
        int,
        _text("Handshakes of one client address that may be under way at once; its oldest is dropped for one more", ge=1, le=100_000),
    ] = 2_048
    command_bytes_max: Annotated[int, _text("Largest message from a client", ge=512, le=131_072)] = 4_096
    commands_per_s: Annotated[int, _text("Commands a second of one connection on average", ge=1, le=1_000)] = 10
    commands_burst: Annotated[int, _text("Commands of one connection at once after a pause", ge=1, le=10_000)] = 20
    commands_waiting_max: Annotated[int, _text("Unanswered commands of one connection", ge=1, le=1_000)] = 32
    admission_margin: Annotated[
        int, _text("Claims of one scarce thing that go on to the engine at once beyond the units that are left", ge=1, le=10_000)
    ] = 16
    flood_refusals_max: Annotated[
        int, _text("Refusals as `rate_limited` or bad messages within 10 s after which a connection is closed as flooding", ge=1, le=100_000)
    ] = 200
    idle_ms: Annotated[
        int, _text("A connection from which nothing was heard for so long is closed; it is pinged at half of that", ge=1_000, le=3_600_000)
    ] = 60_000
    beat_ms: Annotated[
        int, _text("A viewer that got nothing for so long gets a `beat`, so that it notices a dead link; 0 = no beats", ge=0, le=3_600_000)
    ] = 15_000
    compression: Annotated[bool, _text("Offer permessage-deflate; frames are compressed once per room and tick")] = True
    tick_ms_min: Annotated[int, _text("Shortest time that events of a room are collected", ge=1, le=1_000)] = 20
    tick_ms_max: Annotated[int, _text("Longest time that events of a room are collected, for a full process", ge=1, le=5_000)] = 250
    sweep_viewers: Annotated[int, _text("Viewers that are written to before the loop breathes", ge=1, le=100_000)] = 64
    frame_bytes_max: Annotated[int, _text("Largest delta; beyond it lossy events are left out, then the frame is split", ge=4_096, le=1_000_000)] = (
        32_768
    )
    ring_frames_max: Annotated[int, _text("Frames that a room's ring may hold", ge=16, le=100_000)] = 1_024
    history_events_max: Annotated[
        int, _text("Events of all rooms that are kept in mind so that a room which begins to be held has a past to resume from", ge=0, le=10_000_000)
    ] = 50_000
    history_bytes_max: Annotated[
        int, _text("Bytes of memory that these events may take, over all partitions; the oldest go first", ge=0, le=10_000_000_000)
    ] = 67_108_864
    ring_bytes_max: Annotated[int, _text("Bytes that a room's ring may hold", ge=65_536, le=100_000_000)] = 1_048_576
    socket_send_bytes: Annotated[int, _text("Kernel send buffer of a connection; 0 = the system's own choice", ge=0, le=16_000_000)] = 65_536
    rooms_max: Annotated[int, _text("Rooms that the process may hold at once", ge=1, le=1_000_000)] = 20_000
    room_idle_ms: Annotated[int, _text("A room is kept so long after its last viewer left", ge=0, le=3_600_000)] = 30_000
    room_wait_ms: Annotated[int, _text("Time to get a room's keyframe for its first viewer", ge=100, le=60_000)] = 5_000
    reply_wait_ms: Annotated[int, _text("Time after which an unanswered command is answered `unavailable`", ge=100, le=60_000)] = 10_000
    interruption_ms: Annotated[
        int,
        _text("Viewers are told of an interruption when no command of their room's partition was answered for so long", ge=500, le=30_000),
    ] = 3_000
    batch_commands_max: Annotated[int, _text("Commands that one batch to the journal may hold", ge=1, le=500)] = 64
    batch_wait_ms: Annotated[int, _text("Time from one batch of commands to the next; what comes later goes on at once", ge=0, le=1_000)] = 2
    likes_report_ms: Annotated[int, _text("Viewers' taps are summed for so long", ge=10, le=60_000)] = 250
    audience_report_ms: Annotated[int, _text("A room's viewers are reported this often when they changed", ge=100, le=60_000)] = 1_000
    audience_repeat_ms: Annotated[
        int, _text("A room's viewers are reported this often when they did not change; well below `rooms.audience_expiry_ms`", ge=100, le=600_000)
    ] = 10_000
    drain_ms: Annotated[int, _text("Time over which connections are closed at shutdown", ge=0, le=3_600_000)] = 5_000
    reconnect_spread_ms: Annotated[int, _text("Viewers that are sent away come back spread over this time", ge=0, le=3_600_000)] = 5_000


class ConsoleConfig(Section, frozen=True):
    """HTTP: the API, the pages, health and metrics."""

    host: Annotated[str, _text("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, _text("Port to listen on; 0 = any free one")] = 8801
    gateway_url: Annotated[
        str,
        _text(
            "Address of the gateway as browsers reach it; empty = the gateway's host and port",
            form="an address beginning with ws:// or wss://, or nothing",
            pattern=r"^(wss?://[^\s]+)?$(?!\n)",
        ),
    ] = ""
    body_bytes_max: Annotated[int, _text("Largest request body", ge=1_024, le=1_048_576)] = 131_072
    reply_wait_ms: Annotated[int, _text("Time after which an unanswered command is answered `unavailable`", ge=100, le=60_000)] = 10_000
    requests_per_s: Annotated[int, _text("Commands a second of one token's user on average", ge=1, le=100_000)] = 50
    requests_burst: Annotated[int, _text("Commands of one token's user at once after a pause", ge=1, le=100_000)] = 200
    connections_max: Annotated[
        int,
        _text(
            "Connections that may be open at once. For one more a connection is dropped that waits for its client or has no request."
            " When requests are at work on all of them, one more is answered 503. An eighth is kept for requests of anchors and the platform",
            ge=1,
            le=1_000_000,
        ),
    ] = 2_000
    requests_per_user_max: Annotated[
        int,
        _text("Requests of one token's user under way at once, other than the platform's; more are refused as `rate_limited`", ge=1, le=1_000_000),
    ] = 64
    requests_per_address_max: Annotated[
        int,
        _text(
            "Requests from one client address under way at once, with or without a token, other than staff's; more are refused as `rate_limited`."
            " An IPv6 address counts as its /64 network, and `gateway.trusted_proxies` name the client",
            ge=1,
            le=1_000_000,
        ),
    ] = 500
    unread_bytes_max: Annotated[
        int,
        _text(
            "Bytes of answers that clients have not read; beyond it the slowest clients are dropped. An answer that many read counts once",
            ge=1_048_576,
            le=10_000_000_000,
        ),
    ] = 67_108_864
    head_ms: Annotated[int, _text("Time for the head of a connection's first request", ge=100, le=600_000)] = 10_000
    keep_alive_ms: Annotated[
        int,
        _text(
            "A connection without a request is closed after this time. It has to be longer than that of a load balancer in front, "
            "which would otherwise send requests into connections that are being closed",
            ge=1_000,
            le=3_600_000,
        ),
    ] = 90_000
    rooms_max: Annotated[int, _text("Rooms that the directory may hold", ge=1, le=10_000_000)] = 200_000
    closed_rooms_whole_max: Annotated[
        int, _text("Closed rooms whose details stay in memory; those of others are read when somebody asks", ge=1, le=1_000_000)
    ] = 500
    page_rooms_max: Annotated[int, _text("Rooms in one answer of the directory", ge=1, le=PAGE_ROOMS_LIMIT)] = 100
    shutdown_ms: Annotated[int, _text("Time for open requests at shutdown", ge=0, le=600_000)] = 5_000


class OpsConfig(Section, frozen=True):
    """Where `/livez`, `/readyz` and `/metrics` of a process without a console are."""

    host: Annotated[str, _text("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, _text("Port to listen on; 0 = any free one")] = 8802


class AuthConfig(Section, frozen=True):
    """Whom to believe. Tokens are JWTs with `sub`, `room`, `role`, `exp`."""

    algorithm: Annotated[Literal["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"], _text("The one algorithm that is accepted")] = (
        "HS256"
    )
    secret: Annotated[str, _text("Shared secret for HS*, at least as long as its hash: 32, 48 or 64 bytes", max_length=4_096)] = ""
    secret_file: Annotated[str, _text("File that holds the secret instead")] = ""
    public_key_file: Annotated[str, _text("PEM public key for RS256, PS256, ES256, EdDSA")] = ""
    keys_file: Annotated[
        str,
        _text("JWK Set (RFC 7517) of several keys, chosen by a token's `kid`; it is read again when it changes. May stand beside a secret or key"),
    ] = ""
    address_secret: Annotated[
        str,
        _text(
            "Secret by which users of one network address are counted, of at least 32 bytes and the same for all processes; "
            "empty = made of `secret`, or, with public keys, of one that is kept in the data directory",
            max_length=4_096,
        ),
    ] = ""
    issuer: Annotated[str, _text("Required `iss`; empty = not checked")] = ""
    audience: Annotated[str, _text("Required `aud`; empty = not checked")] = ""
    leeway_s: Annotated[int, _text("Tolerated difference of clocks", ge=0, le=600)] = 10
    lifetime_s_max: Annotated[int, _text("Longest lifetime of a token that is accepted", ge=60, le=31_622_400)] = 604_800


class LogsConfig(Section, frozen=True):
    """What is written to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _text("Least level that is written")] = "info"
    format: Annotated[Literal["text", "json"], _text("`text` for people, `json` for collectors")] = "text"


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
