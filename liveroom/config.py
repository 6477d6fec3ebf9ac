"""One validated object of settings: TOML file < `LIVEROOM_*` environment < command-line flags.

Every setting is a field of a section below, with its limits and its description; `docs/configuration.md`
and `liveroom default-config` are made from them. `[gateway] port` is `LIVEROOM_GATEWAY_PORT` in the
environment and `--gateway-port` on the command line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from liveroom.errors import BadConfig

__all__ = [
    "AuthConfig",
    "Config",
    "ConsoleConfig",
    "EngineConfig",
    "GatewayConfig",
    "JournalConfig",
    "LogsConfig",
    "RoomsConfig",
    "Setting",
    "load_config",
    "settings",
    "to_toml",
]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the TOML file."""


def _text(words: str, **limits: Any) -> Any:
    return Meta(description=words, **limits)


Port = Annotated[int, Meta(ge=0, le=65535)]


class LiveroomConfig(Section, frozen=True):
    """The process itself."""

    mode: Annotated[
        Literal["dev", "production"],
        _text("`dev` makes a secret of its own and keeps it in the data directory; `production` wants `auth.secret` or `auth.public_key_file`"),
    ] = "production"
    data_dir: Annotated[str, _text("Directory of the embedded journal and of dev mode's secret", min_length=1)] = "data"
    instance: Annotated[
        str, _text("Name of this process among others; empty = host name and process id", max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")
    ] = ""


class JournalConfig(Section, frozen=True):
    """The log that everything goes through."""

    kind: Annotated[Literal["sqlite", "memory"], _text("`sqlite` is durable; `memory` forgets everything at exit (tests, trials)")] = "sqlite"
    partitions: Annotated[int, _text("Number of partitions; fixed when the journal is made", ge=1, le=256)] = 4
    commands_waiting_max: Annotated[
        int, _text("Unanswered commands that may wait in a partition before more are refused as `overloaded`", ge=100, le=1_000_000)
    ] = 20_000
    record_bytes_max: Annotated[int, _text("Largest record in bytes; a step that would be larger takes fewer commands", ge=65_536, le=16_000_000)] = (
        900_000
    )
    group_commit_records_max: Annotated[int, _text("Records that one commit may hold", ge=1, le=100_000)] = 1_000
    snapshots_kept: Annotated[int, _text("Snapshots kept per partition", ge=2, le=100)] = 3


class EngineConfig(Section, frozen=True):
    """Who decides."""

    step_commands_max: Annotated[int, _text("Commands that one step may answer", ge=1, le=10_000)] = 500
    steps_in_flight_max: Annotated[int, _text("Steps that may be on their way to the journal at once", ge=1, le=64)] = 8
    snapshot_interval_ms: Annotated[int, _text("A snapshot is taken this long after the last, when anything changed", ge=1_000, le=3_600_000)] = (
        30_000
    )
    snapshot_records_max: Annotated[int, _text("A snapshot is taken after this many records at the latest", ge=10, le=1_000_000)] = 5_000
    dedupe_window_ms: Annotated[int, _text("How long the outcome of a command id is remembered", ge=1_000, le=86_400_000)] = 600_000
    dedupe_count_max: Annotated[int, _text("How many outcomes a partition remembers at most", ge=100, le=10_000_000)] = 100_000
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
    try_on_users_max: Annotated[int, _text("Viewers remembered per room for their try-on wishes", ge=1, le=1_000_000)] = 20_000
    muted_users_max: Annotated[int, _text("Muted users that a room may have", ge=1, le=10_000)] = 2_000
    banned_users_max: Annotated[int, _text("Banned users that a room may have", ge=1, le=10_000)] = 2_000
    audience_expiry_ms: Annotated[int, _text("A gateway that has not reported for so long counts no more", ge=1_000, le=600_000)] = 30_000


class GatewayConfig(Section, frozen=True):
    """Who holds the viewers."""

    host: Annotated[str, _text("Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, _text("Port to listen on; 0 = any free one")] = 8800
    tls_cert_file: Annotated[str, _text("PEM certificate chain; with `tls_key_file` turns TLS on")] = ""
    tls_key_file: Annotated[str, _text("PEM private key")] = ""
    origins: Annotated[
        tuple[str, ...],
        _text(
            "Origins of pages that may connect; empty = the console's own; `*` = any. Clients that send no Origin are no browsers and may always connect"
        ),
    ] = ()
    trusted_proxies: Annotated[tuple[str, ...], _text("Networks (CIDR) whose X-Forwarded-For is believed")] = ()
    connections_max: Annotated[int, _text("Connections that the process may hold", ge=1, le=1_000_000)] = 18_000
    connections_per_address_max: Annotated[int, _text("Connections from one client address", ge=1, le=1_000_000)] = 20_000
    connections_per_user_max: Annotated[int, _text("Connections of one user in one room; a new one replaces the oldest", ge=1, le=1_000)] = 5
    handshake_ms: Annotated[int, _text("Time for a handshake, from accept to upgrade", ge=100, le=60_000)] = 5_000
    handshakes_waiting_max: Annotated[int, _text("Handshakes that may be under way at once", ge=1, le=100_000)] = 4_096
    command_bytes_max: Annotated[int, _text("Largest message from a client", ge=512, le=131_072)] = 4_096
    commands_per_s: Annotated[int, _text("Commands a second of one connection on average", ge=1, le=1_000)] = 10
    commands_burst: Annotated[int, _text("Commands of one connection at once after a pause", ge=1, le=10_000)] = 20
    commands_waiting_max: Annotated[int, _text("Unanswered commands of one connection", ge=1, le=1_000)] = 32
    flood_refusals_max: Annotated[
        int, _text("Refusals as `rate_limited` or bad messages within 10 s after which a connection is closed as flooding", ge=1, le=100_000)
    ] = 200
    idle_ms: Annotated[
        int, _text("A connection from which nothing was heard for so long is closed; it is pinged at half of that", ge=1_000, le=3_600_000)
    ] = 60_000
    compression: Annotated[bool, _text("Offer permessage-deflate; frames are compressed once per room and tick")] = True
    tick_ms_min: Annotated[int, _text("Shortest time that events of a room are collected", ge=1, le=1_000)] = 20
    tick_ms_max: Annotated[int, _text("Longest time that events of a room are collected, for a full process", ge=1, le=5_000)] = 250
    sweep_viewers: Annotated[int, _text("Viewers that are written to before the loop breathes", ge=1, le=100_000)] = 256
    frame_bytes_max: Annotated[int, _text("Largest delta; beyond it lossy events are left out, then the frame is split", ge=4_096, le=1_000_000)] = (
        32_768
    )
    ring_frames_max: Annotated[int, _text("Frames that a room's ring may hold", ge=16, le=100_000)] = 1_024
    ring_bytes_max: Annotated[int, _text("Bytes that a room's ring may hold", ge=65_536, le=100_000_000)] = 1_048_576
    socket_send_bytes: Annotated[int, _text("Kernel send buffer of a connection; 0 = the system's own choice", ge=0, le=16_000_000)] = 65_536
    rooms_max: Annotated[int, _text("Rooms that the process may hold at once", ge=1, le=1_000_000)] = 20_000
    room_idle_ms: Annotated[int, _text("A room is kept so long after its last viewer left", ge=0, le=3_600_000)] = 30_000
    room_wait_ms: Annotated[int, _text("Time to get a room's keyframe for its first viewer", ge=100, le=60_000)] = 5_000
    reply_wait_ms: Annotated[int, _text("Time after which an unanswered command is answered `unavailable`", ge=100, le=60_000)] = 10_000
    batch_commands_max: Annotated[int, _text("Commands that one batch to the journal may hold", ge=1, le=500)] = 64
    batch_wait_ms: Annotated[int, _text("Time that commands are collected into a batch", ge=0, le=1_000)] = 2
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
        str, _text("Address of the gateway as browsers reach it; empty = the gateway's host and port", pattern=r"^(wss?://[^\s]+)?$")
    ] = ""
    body_bytes_max: Annotated[int, _text("Largest request body", ge=1_024, le=1_048_576)] = 131_072
    reply_wait_ms: Annotated[int, _text("Time after which an unanswered command is answered `unavailable`", ge=100, le=60_000)] = 10_000
    requests_per_s: Annotated[int, _text("Commands a second of one token's user on average", ge=1, le=100_000)] = 50
    requests_burst: Annotated[int, _text("Commands of one token's user at once after a pause", ge=1, le=100_000)] = 200
    rooms_max: Annotated[int, _text("Rooms that the directory may hold", ge=1, le=10_000_000)] = 200_000
    page_rooms_max: Annotated[int, _text("Rooms in one answer of the directory", ge=1, le=1_000)] = 100
    shutdown_ms: Annotated[int, _text("Time for open requests at shutdown", ge=0, le=600_000)] = 5_000


class AuthConfig(Section, frozen=True):
    """Whom to believe. Tokens are JWTs with `sub`, `room`, `role`, `exp`."""

    algorithm: Annotated[Literal["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"], _text("The one algorithm that is accepted")] = (
        "HS256"
    )
    secret: Annotated[str, _text("Shared secret for HS*, at least 32 bytes", max_length=4_096)] = ""
    secret_file: Annotated[str, _text("File that holds the secret instead")] = ""
    public_key_file: Annotated[str, _text("PEM public key for RS256, PS256, ES256, EdDSA")] = ""
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
    engine: EngineConfig = field(default_factory=EngineConfig)
    rooms: RoomsConfig = field(default_factory=RoomsConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)


class Setting(NamedTuple):
    """One setting as people see it."""

    section: str
    name: str
    description: str
    default: Any
    secret: bool

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
            yield Setting(section, name, words, getattr(defaults, name), secret=(section, name) == ("auth", "secret"))


def load_config(file: Path | None, environ: Mapping[str, str], flags: Mapping[tuple[str, str], str]) -> Config:
    """Merge file < environment < flags and check; `flags` maps (section, name) to text. Raises `BadConfig`."""
    tables = _read_toml(file) if file else {}
    known = {(s.section, s.name): s for s in settings()}
    by_env = {s.env: key for key, s in known.items()}
    for name, text in environ.items():
        if name in by_env:
            _put(tables, by_env[name], text, name)
        elif name.startswith("LIVEROOM_") and not name.startswith("LIVEROOM_TEST_") and name != "LIVEROOM_CONFIG":
            raise BadConfig(f"{name}: there is no such setting; see docs/configuration.md")
    for key, text in flags.items():
        _put(tables, key, text, known[key].flag)
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise BadConfig(_explain(str(error), str(file) if file else "settings")) from None
    _check_together(config)
    return config


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{file}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{file}: is not TOML: {error}") from None


def _put(tables: dict[str, Any], key: tuple[str, str], text: str, source: str) -> None:
    section, name = key
    hint = get_type_hints(get_type_hints(Config)[section], include_extras=True)[name]
    plain: Any = [part.strip() for part in text.split(",") if part.strip()] if "tuple" in str(hint) else text
    try:
        value = msgspec.convert(plain, hint, strict=False)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{source}: {error}, got {'a secret' if name == 'secret' else repr(text)}") from None
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        raise BadConfig(f"{section}: is a table of settings")
    table[name] = value


def _explain(words: str, source: str) -> str:
    what, _, path = words.partition(" - at `$.")
    return f"{source}: {path.rstrip('`') or 'top level'}: {what}"


def _check_together(config: Config) -> None:
    gateway = config.gateway
    if bool(gateway.tls_cert_file) != bool(gateway.tls_key_file):
        raise BadConfig("gateway.tls_cert_file and gateway.tls_key_file: set both or none")
    if gateway.tick_ms_min > gateway.tick_ms_max:
        raise BadConfig("gateway.tick_ms_min: is above gateway.tick_ms_max")
    if gateway.audience_repeat_ms * 2 > config.rooms.audience_expiry_ms:
        raise BadConfig("gateway.audience_repeat_ms: must be at most half of rooms.audience_expiry_ms")
    if config.auth.secret and config.auth.secret_file:
        raise BadConfig("auth.secret and auth.secret_file: set one of them")
    if config.auth.secret and len(config.auth.secret.encode()) < 32:
        raise BadConfig("auth.secret: at least 32 bytes are needed")


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
        lines.append(f"# {setting.name} = ..." if setting.secret else f"{setting.name} = {_toml_value(value)}")
    return "\n".join(lines).lstrip() + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return msgspec.json.encode(value).decode()
