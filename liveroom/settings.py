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

from liveroom.config import ADDRESS_SECRET_BYTES_MIN, SECRET_BYTES_MIN, Config
from liveroom.config_values import expected, from_text, toml_value
from liveroom.errors import BadConfig
from liveroom.text import first_forbidden

__all__ = ["Setting", "load_config", "settings", "to_toml"]


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
