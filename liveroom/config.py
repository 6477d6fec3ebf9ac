"""One validated object of settings: TOML file < `LIVEROOM_*` environment < command-line flags.

Every setting is a field of a section below, with its limits and its description; `docs/configuration.md`
and `liveroom default-config` are made from them. `[gateway] port` is `LIVEROOM_GATEWAY_PORT` in the
environment and `--gateway-port` on the command line.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from liveroom.config_values import expected, from_text, toml_value
from liveroom.errors import BadConfig
from liveroom.text import first_forbidden

__all__ = [
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
    "Setting",
    "load_config",
    "settings",
    "to_toml",
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
        _text("`dev` makes a secret of its own and keeps it in the data directory; `production` wants `auth.secret` or `auth.public_key_file`"),
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
        int, _text("Unanswered commands that may wait in a partition before more are refused as `overloaded`", ge=100, le=1_000_000)
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
    replication_factor: Annotated[int, _text("Copies of each partition, for topics that are created", ge=1, le=16)] = 3
    min_insync_replicas: Annotated[int, _text("Copies that must have a write before it counts, for topics that are created", ge=1, le=16)] = 2
    events_retention_h: Annotated[int, _text("How long events are kept, for topics that are created; -1 = for ever", ge=-1, le=1_000_000)] = -1
    events_passed_over: Annotated[
        tuple[str, ...],
        _text(
            "Places in the topic of events, as partition:offset, where a person found what no engine wrote; what can be read there counts all the same"
        ),
    ] = ()
    events_lost: Annotated[
        tuple[str, ...],
        _text(
            "Spans of the topic of events, as partition:from-to, that a person gave up after brokers had lost them: "
            "the partition goes on where its log ends now"
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
    dedupe_money_max: Annotated[
        int,
        _text(
            "How many outcomes of commands that moved money a partition remembers; none is forgotten before its time, so more are refused as `overloaded`."
            " A quarter is kept for anchors and the platform",
            ge=100,
            le=10_000_000,
        ),
    ] = 500_000
    dedupe_money_per_user_max: Annotated[
        int,
        _text("How many of these one user may have, other than the platform; more are refused as `rate_limited`", ge=10, le=10_000_000),
    ] = 1_000
    keyframe_interval_ms: Annotated[int, _text("A room that changes gets a keyframe this often", ge=100, le=600_000)] = 5_000
    keyframe_events_max: Annotated[int, _text("A room gets a keyframe after this many events at the latest", ge=10, le=100_000)] = 500
    rooms_max: Annotated[int, _text("Rooms that a partition may hold", ge=1, le=10_000_000)] = 50_000
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
    sweep_viewers: Annotated[int, _text("Viewers that are written to before the loop breathes", ge=1, le=100_000)] = 256
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
            "Connections that may be open at once. For one more the oldest without a request is dropped; when all have one, it is answered 503",
            ge=1,
            le=1_000_000,
        ),
    ] = 2_000
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


class Setting(NamedTuple):
    """One setting as people see it."""

    section: str
    name: str
    description: str
    expected: str  # its values, in words: "a whole number from 1 to 256"
    default: Any
    secret: bool
    annotation: Any

    @property
    def path(self) -> str:
        """Its name in the TOML file, with its table."""
        return f"{self.section}.{self.name}"

    @property
    def env(self) -> str:
        """Its environment variable."""
        return f"LIVEROOM_{self.name}".upper() if self.section == "liveroom" else f"LIVEROOM_{self.section}_{self.name}".upper()

    @property
    def flag(self) -> str:
        """Its command-line flag."""
        name = self.name if self.section == "liveroom" else f"{self.section}-{self.name}"
        return "--" + name.replace("_", "-")


def settings() -> Iterator[Setting]:
    """Every setting there is, in the order of the sections."""
    for section, section_type in get_type_hints(Config).items():
        hints = get_type_hints(section_type, include_extras=True)
        defaults = section_type()
        for name, hint in hints.items():
            words = next(m.description for m in reversed(hint.__metadata__) if isinstance(m, Meta) and m.description)
            secret = (section, name) in (("auth", "secret"), ("auth", "address_secret"), ("kafka", "sasl_password"))
            yield Setting(section, name, words, expected(hint), getattr(defaults, name), secret, hint)


def load_config(file: Path | None, environ: Mapping[str, str], flags: Mapping[tuple[str, str], str]) -> Config:
    """Merge file < environment < flags and check; `flags` maps (section, name) to text. Raises `BadConfig`."""
    known = {(s.section, s.name): s for s in settings()}
    by_env = {s.env: s for s in known.values()}
    tables: dict[str, dict[str, Any]] = {section: {} for section, _ in known}
    if file:
        for (section, name), value in _read_toml(file, known):
            tables[section][name] = _checked(known[section, name], value, f"{file}: {section}.{name}")
    for variable, text in environ.items():
        if setting := by_env.get(variable):
            tables[setting.section][setting.name] = _checked_text(setting, text, variable)
        elif variable.startswith("LIVEROOM_") and not variable.startswith("LIVEROOM_TEST_") and variable != "LIVEROOM_CONFIG":
            raise BadConfig(f"{variable}: there is no such setting{_like(variable, by_env)}")
    for key, text in flags.items():
        setting = known[key]
        tables[setting.section][setting.name] = _checked_text(setting, text, setting.flag)
    config = msgspec.convert(tables, Config)
    _check_together(config)
    return config


def _read_toml(file: Path, known: Mapping[tuple[str, str], Setting]) -> Iterator[tuple[tuple[str, str], Any]]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{file}: is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadConfig(f"{file}: is not TOML: {error}") from None
    sections = dict.fromkeys(section for section, _ in known)
    for section, table in tables.items():
        if section not in sections:
            raise BadConfig(f"{file}: [{section}]: there is no such section; there are {', '.join(sections)}")
        if not isinstance(table, dict):
            raise BadConfig(f"{file}: {section}: is a section; write [{section}] and its settings below")
        for name, value in table.items():
            if (section, name) not in known:
                raise BadConfig(f"{file}: {section}.{name}: there is no such setting{_like(name, [n for s, n in known if s == section])}")
            yield (section, name), value


def _like(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else "; see docs/configuration.md"


def _checked_text(setting: Setting, text: str, source: str) -> Any:
    try:
        text.encode()  # bytes of the environment that are no UTF-8 come in as lone surrogates
    except UnicodeEncodeError:
        raise BadConfig(f"{source}: is not UTF-8 text") from None
    return _checked(setting, from_text(setting.annotation, text), source)


def _checked(setting: Setting, value: Any, source: str) -> Any:
    texts = value if isinstance(value, list) else [value]
    for found in [first_forbidden(text) for text in texts if isinstance(text, str) and not setting.secret]:
        if found:
            raise BadConfig(f"{source}: holds the character U+{ord(found):04X}, which no setting may have")
    try:
        return msgspec.convert(value, setting.annotation)
    except msgspec.ValidationError:
        got = "" if setting.secret else f", not {repr(value)[:80]}"
        raise BadConfig(f"{source}: must be {setting.expected}{got}") from None


def _check_together(config: Config) -> None:
    gateway = config.gateway
    if bool(gateway.tls_cert_file) != bool(gateway.tls_key_file):
        raise BadConfig("gateway.tls_cert_file and gateway.tls_key_file: set both or none")
    if gateway.tick_ms_min > gateway.tick_ms_max:
        raise BadConfig("gateway.tick_ms_min: is above gateway.tick_ms_max")
    if gateway.audience_repeat_ms * 2 > config.rooms.audience_expiry_ms:
        raise BadConfig("gateway.audience_repeat_ms: must be at most half of rooms.audience_expiry_ms")
    kafka = config.kafka
    if bool(kafka.tls_cert_file) != bool(kafka.tls_key_file):
        raise BadConfig("kafka.tls_cert_file and kafka.tls_key_file: set both or none")
    if kafka.security_protocol.startswith("SASL") and not (kafka.sasl_username and kafka.sasl_password):
        raise BadConfig(f"kafka.sasl_username and kafka.sasl_password: {kafka.security_protocol} needs both")
    if kafka.min_insync_replicas > kafka.replication_factor:
        raise BadConfig("kafka.min_insync_replicas: is above kafka.replication_factor")
    for server in kafka.bootstrap_servers:
        if not re.fullmatch(r"\S+:[0-9]{1,5}", server):
            raise BadConfig(f"kafka.bootstrap_servers: {server!r} is not host:port")
    for place in kafka.events_passed_over:
        if not re.fullmatch(r"[0-9]{1,3}:[0-9]{1,18}", place):
            raise BadConfig(f"kafka.events_passed_over: {place!r} is not partition:offset")
    for span in kafka.events_lost:
        if not re.fullmatch(r"[0-9]{1,6}:[0-9]{1,18}-[0-9]{1,18}", span):
            raise BadConfig(f"kafka.events_lost: {span!r} is not partition:from-to")
    if config.journal.kind == "kafka" and not kafka.bootstrap_servers:
        raise BadConfig("kafka.bootstrap_servers: name at least one broker")
    if config.auth.address_secret and len(config.auth.address_secret.encode()) < ADDRESS_SECRET_BYTES_MIN:
        raise BadConfig(f"auth.address_secret: needs at least {ADDRESS_SECRET_BYTES_MIN} bytes")
    auth = config.auth
    shared_secret = auth.algorithm in SECRET_BYTES_MIN and (auth.secret or auth.secret_file or not auth.keys_file)
    if config.journal.kind == "kafka" and not auth.address_secret and not shared_secret:
        raise BadConfig("auth.address_secret: is not set; with a journal of many processes and no shared secret all of them need the same one")
    if config.auth.secret and config.auth.secret_file:
        raise BadConfig("auth.secret and auth.secret_file: set one of them")
    least = SECRET_BYTES_MIN.get(config.auth.algorithm, 0)
    if config.auth.secret and len(config.auth.secret.encode()) < least:
        raise BadConfig(f"auth.secret: {config.auth.algorithm} needs at least {least} bytes")
    for origin in gateway.origins:
        if not re.fullmatch(r"\*|null|[a-z][a-z0-9+.-]*://([^*/\s?#@]+|\*(\.[^*./\s?#@:]+){2,}(:[0-9]{1,5})?)", origin):
            raise BadConfig(
                f"gateway.origins: {origin!r} is no origin; an origin is scheme://host or scheme://host:port, without a path; "
                "`*` alone is any, and in a host it is the whole first label before at least two others, as in https://*.example.com"
            )
    if gateway.proxy_protocol and not gateway.trusted_proxies:
        raise BadConfig("gateway.proxy_protocol: needs gateway.trusted_proxies, whose word on the client's address is believed")
    for network in gateway.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise BadConfig(f"gateway.trusted_proxies: {error}") from None


def to_toml(config: Config) -> str:
    """The settings as a TOML file with a comment above each; secrets are left out."""
    lines: list[str] = []
    last = ""
    for setting in settings():
        if setting.section != last:
            lines += ["", f"[{setting.section}]"]
            last = setting.section
        value = getattr(getattr(config, setting.section), setting.name)
        lines.append(f"# {setting.description}")
        lines.append(f"# {setting.name} = ..." if setting.secret else f"{setting.name} = {toml_value(value)}")
    return "\n".join(lines).lstrip() + "\n"
