"""One validated object of settings: TOML file < `LIVEROOM_*` environment < command-line flags.

`[gateway] port` is `LIVEROOM_GATEWAY_PORT` in the environment and `--gateway-port` on the command line.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from liveroom.config.schema import ADDRESS_SECRET_BYTES_MIN, SECRET_BYTES_MIN, Config, ConsoleConfig, GatewayConfig
from liveroom.config.values import expected, from_text, toml_value
from liveroom.messages.errors import BadConfig
from liveroom.messages.text import first_forbidden

__all__ = ["Setting", "load_config", "settings", "to_toml"]


class Setting(NamedTuple):
    """One setting with its names, type and description."""

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
    """Every setting, in the order of the sections."""
    for section, section_type in get_type_hints(Config).items():
        hints = get_type_hints(section_type, include_extras=True)
        defaults = section_type()
        for name, hint in hints.items():
            words = next(m.description for m in reversed(hint.__metadata__) if isinstance(m, Meta) and m.description)
            secret = (section, name) in (("auth", "secret"), ("auth", "address_secret"), ("kafka", "sasl_password"))
            yield Setting(section, name, words, expected(hint), getattr(defaults, name), secret, hint)


def load_config(file: Path | None, environ: Mapping[str, str], flags: Mapping[tuple[str, str], str]) -> Config:
    """Merge file < environment < flags and check; `flags` maps (section, name) to text. Raises `BadConfig` with every mistake."""
    known = {(s.section, s.name): s for s in settings()}
    merging = _Merging()
    if file:
        merging.add_file(file, known)
    by_env = {s.env: s for s in known.values()}
    for variable, text in environ.items():
        if setting := by_env.get(variable):
            merging.add_text(setting, text, variable)
        elif variable.startswith("LIVEROOM_") and not variable.startswith("LIVEROOM_TEST_") and variable != "LIVEROOM_CONFIG":
            merging.mistakes.append(f"{variable}: there is no such setting{_like(variable, by_env)}")
    for key, text in flags.items():
        merging.add_text(known[key], text, known[key].flag)
    config = msgspec.convert(merging.tables, Config)
    together = (words for words in _wrong_together(config) if not any(path in words for path in merging.bad))
    if mistakes := [*merging.mistakes, *together]:
        raise BadConfig(*mistakes)
    return config


class _Merging:
    """The values of all sources, where later ones win, and their mistakes; a bad value leaves the earlier one."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {section: {} for section in get_type_hints(Config)}
        self.mistakes: list[str] = []
        #: Paths of the settings that got a bad value: what they do together with others cannot be judged.
        self.bad: set[str] = set()

    def add_file(self, file: Path, known: Mapping[tuple[str, str], Setting]) -> None:
        """Add the values of a TOML file."""
        try:
            tables = _read_toml(file)
        except BadConfig as error:
            self.mistakes += error.mistakes
            return
        for section, table in tables.items():
            if section not in self.tables:
                self.mistakes.append(f"{file}: {_no_section(section, table, known)}")
            elif not isinstance(table, dict):
                self.mistakes.append(f"{file}: {section}: is a section; write [{section}] and its settings below")
            else:
                for name, value in table.items():
                    if setting := known.get((section, name)):
                        self._add(setting, value, f"{file}: {section}.{name}")
                    else:
                        like = _like(name, [n for s, n in known if s == section])
                        self.mistakes.append(f"{file}: {section}.{name}: there is no such setting{like}")

    def add_text(self, setting: Setting, text: str, source: str) -> None:
        """Add a value from the environment or the command line."""
        try:
            text.encode()  # bytes of the environment that are no UTF-8 come in as lone surrogates
        except UnicodeEncodeError:
            self.mistakes.append(f"{source}: is not UTF-8 text")
            self.bad.add(setting.path)
        else:
            self._add(setting, from_text(setting.annotation, text), source)

    def _add(self, setting: Setting, value: Any, source: str) -> None:
        try:
            self.tables[setting.section][setting.name] = _checked(setting, value, source)
        except BadConfig as error:
            self.mistakes += error.mistakes
            self.bad.add(setting.path)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{file}: is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadConfig(f"{file}: is not TOML: {error}") from None


def _no_section(name: str, value: Any, known: Mapping[tuple[str, str], Setting]) -> str:
    """The mistake of a name at the top of a file that is not a section."""
    if isinstance(value, dict):
        sections = dict.fromkeys(section for section, _ in known)
        near = difflib.get_close_matches(name, sections, n=1, cutoff=0.75)
        return f"[{name}]: there is no such section; " + (f"did you mean [{near[0]}]?" if near else f"there are {', '.join(sections)}")
    owners = [f"[{section}]" for section, setting in known if setting == name]
    where = f"this one belongs to {', '.join(owners)}" if owners else "see docs/configuration.md"
    return f"{name}: no setting may come before the first section; {where}"


def _like(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else "; see docs/configuration.md"


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


def _wrong_together(config: Config) -> Iterator[str]:
    """The mistakes that the types of settings do not show, most of them between two settings."""
    yield from _wrong_gateway(config)
    yield from _wrong_kafka(config)
    yield from _wrong_auth(config)
    if config.journal.kind != "kafka" and _is_same_address(config.gateway, config.console):  # else they may be processes on two machines
        yield f"gateway.port and console.port: both are {config.gateway.port}, and one process cannot listen twice on a port"


def _is_same_address(one: GatewayConfig, other: ConsoleConfig) -> bool:
    """Whether two listeners want the same port of the same host; 0 is any free port."""
    hosts = {"127.0.0.1" if host == "localhost" else host for host in (one.host, other.host)}
    return one.port == other.port != 0 and (len(hosts) == 1 or not hosts.isdisjoint(("0.0.0.0", "::", "")))


def _wrong_gateway(config: Config) -> Iterator[str]:
    gateway = config.gateway
    if bool(gateway.tls_cert_file) != bool(gateway.tls_key_file):
        yield "gateway.tls_cert_file and gateway.tls_key_file: set both or none"
    if gateway.workers and config.journal.kind == "kafka":
        yield "gateway.workers: are for an embedded journal; with kafka, start gateways (`liveroom gateway`)"
    if gateway.tick_ms_min > gateway.tick_ms_max:
        yield "gateway.tick_ms_min: is above gateway.tick_ms_max"
    if gateway.audience_repeat_ms * 2 > config.rooms.audience_expiry_ms:
        yield "gateway.audience_repeat_ms: must be at most half of rooms.audience_expiry_ms"
    for origin in gateway.origins:
        if not re.fullmatch(r"\*|null|[a-z][a-z0-9+.-]*://([^*/\s?#@]+|\*(\.[^*./\s?#@:]+){2,}(:[0-9]{1,5})?)", origin):
            yield (
                f"gateway.origins: {origin!r} is no origin. An origin is scheme://host or scheme://host:port, without a path. "
                "`*` alone allows every origin. In a host, `*` is the whole first label before at least two others, as in https://*.example.com"
            )
    if gateway.proxy_protocol and not gateway.trusted_proxies:
        yield "gateway.proxy_protocol: needs gateway.trusted_proxies, because only trusted proxies may name the client"
    for network in gateway.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"gateway.trusted_proxies: {error}"


def _wrong_kafka(config: Config) -> Iterator[str]:
    kafka = config.kafka
    if bool(kafka.tls_cert_file) != bool(kafka.tls_key_file):
        yield "kafka.tls_cert_file and kafka.tls_key_file: set both or none"
    if kafka.security_protocol.startswith("SASL") and not (kafka.sasl_username and kafka.sasl_password):
        yield f"kafka.sasl_username and kafka.sasl_password: {kafka.security_protocol} needs both"
    if kafka.min_insync_replicas > kafka.replication_factor:
        yield "kafka.min_insync_replicas: is above kafka.replication_factor"
    for server in kafka.bootstrap_servers:
        if not re.fullmatch(r"\S+:[0-9]{1,5}", server):
            yield f"kafka.bootstrap_servers: {server!r} is not host:port"
    for place in kafka.skip_offsets:
        if not re.fullmatch(r"[0-9]{1,3}:[0-9]{1,18}", place):
            yield f"kafka.skip_offsets: {place!r} is not partition:offset"
    for span in kafka.events_lost:
        if not re.fullmatch(r"[0-9]{1,6}:[0-9]{1,18}-[0-9]{1,18}", span):
            yield f"kafka.events_lost: {span!r} is not partition:from-to"
    if config.journal.kind == "kafka" and not kafka.bootstrap_servers:
        yield "kafka.bootstrap_servers: name at least one broker"


def _wrong_auth(config: Config) -> Iterator[str]:
    auth = config.auth
    if auth.address_secret and len(auth.address_secret.encode()) < ADDRESS_SECRET_BYTES_MIN:
        yield f"auth.address_secret: needs at least {ADDRESS_SECRET_BYTES_MIN} bytes"
    shared_secret = auth.algorithm in SECRET_BYTES_MIN and (auth.secret or auth.secret_file or not auth.keys_file)
    if config.journal.kind == "kafka" and not auth.address_secret and not shared_secret:
        yield "auth.address_secret: is not set; with a journal of many processes and no shared secret all of them need the same one"
    if auth.secret and auth.secret_file:
        yield "auth.secret and auth.secret_file: set one of them"
    least = SECRET_BYTES_MIN.get(auth.algorithm, 0)
    if auth.secret and len(auth.secret.encode()) < least:
        yield f"auth.secret: {auth.algorithm} needs at least {least} bytes"


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
