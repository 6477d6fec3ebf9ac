"""The generated parts of the pages as Markdown, by the names in their markers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import NODEFAULT, Struct, inspect

from docs.generate.scale import costs, scale
from docs.generate.words import description, first_sentence, nested, table, type_words, value
from liveroom.client.endings import ENDINGS, Ending, Then
from liveroom.config.schema import Config, GatewayConfig
from liveroom.config.settings import settings
from liveroom.features.registry import FEATURES
from liveroom.messages.base import EVERYONE, CommandBase, EventBase
from liveroom.messages.errors import CLOSE_CODES
from liveroom.messages.fields import Delivery, Role
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import FRAMES
from liveroom.protocol.refusals import REFUSALS
from liveroom.telemetry.metrics import Metrics
from tests.mutations.page import mutation_table
from tests.mutations.tables import read_tables

__all__ = ["PARTS", "endings_js"]


def _who(cls: type[CommandBase]) -> str:
    if cls.roles == EVERYONE:
        return "everyone"
    return ", ".join(role.value for role in Role if role in cls.roles) or "gateways only"


def commands() -> str:
    """All commands: a table of contents, then each with its fields."""
    rows = [[f"[`{name}`](#{name})", _who(cls), first_sentence(cls), _feature(cls)] for name, cls in COMMANDS.items()]
    each = [_command(name, cls) for name, cls in COMMANDS.items()]
    shared = [_shared(cls) for cls in nested(COMMANDS.values())]
    return "\n\n".join([table(["Command", "Sent by", "Effect", "Feature"], rows), *each, *shared])


def _feature(cls: type[CommandBase | EventBase]) -> str:
    """The name of the feature whose message the class is."""
    return next(f"`{feature.name}`" for feature in FEATURES if cls in (*feature.commands, *feature.events))


def _command(name: str, cls: type[CommandBase]) -> str:
    return f"## {name}\n\n{first_sentence(cls)} Sent by: {_who(cls)}.\n\n{_fields(cls)}{_results(cls)}"


def _results(cls: type[CommandBase]) -> str:
    if not cls.results:
        return ""
    return "\n\nThe reply's `result`: " + "; ".join(f"`{name}`, {words}" for name, words in cls.results.items()) + "."


def events() -> str:
    """All events: a table of contents, then each with its fields."""
    rows = [[f"[`{name}`](#{name})", _delivery(cls), first_sentence(cls), _feature(cls)] for name, cls in EVENTS.items()]
    each = [f"## {name}\n\n{first_sentence(cls)} Delivery: {_delivery(cls)}.\n\n{_fields(cls)}" for name, cls in EVENTS.items()]
    shared = [_shared(cls) for cls in nested(EVENTS.values())]
    return "\n\n".join([table(["Event", "Delivery", "Meaning", "Feature"], rows), *each, *shared])


def _delivery(cls: type[EventBase]) -> str:
    key = f" per `{cls.latest_key}`" if cls.latest_key else ""
    return f"{cls.delivery.value}{key if cls.delivery is Delivery.latest else ''}"


def frames() -> str:
    """All frames with their fields."""
    each = [f"### {name}\n\n{first_sentence(cls)}\n\n{_fields(cls)}" for name, cls in FRAMES.items()]
    return "\n\n".join([*each, *(_shared(cls, 3) for cls in nested(FRAMES.values()))])


def _shared(cls: type[Struct], level: int = 2) -> str:
    return f"{'#' * level} {cls.__name__}\n\n{first_sentence(cls)}\n\n{_fields(cls)}"


def _fields(cls: type[Struct]) -> str:
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    if not info.fields:
        return "No fields."
    rows = [[f"`{f.encode_name}`", type_words(f.type), _default(f), description(f.type)] for f in info.fields]
    if not any(words for *_, words in rows):
        return table(["Field", "Type", "When absent"], [row[:3] for row in rows])
    return table(["Field", "Type", "When absent", "Meaning"], rows)


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    return value(field.default if field.default is not NODEFAULT else field.default_factory())


def refusals() -> str:
    """All refusal codes."""
    return table(["Code", "HTTP status", "Meaning"], [[f"`{code}`", str(status), words] for code, (status, words) in REFUSALS.items()])


def close_codes() -> str:
    """All close codes."""
    return table(["Code", "Name", "Meaning"], [[str(code), f"`{name}`", words] for code, (name, words) in CLOSE_CODES.items()])


_THEN_WORDS = {
    Then.retry: "reconnects",
    Then.token: "calls the token function again and reconnects; with a fixed token it stops",
    Then.replaced: "stops until the user wants to reconnect",
    Then.final: "stops",
}


def endings() -> str:
    """The action of both clients after each end of a connection."""
    return table(["Ended with", "Cause", "Action of the client"], [[_ended(row), row.what, _THEN_WORDS[row.then]] for row in ENDINGS])


def _ended(row: Ending) -> str:
    kind = "HTTP" if row.last < 1000 else "close"
    return f"{kind} {row.first}" if row.first == row.last else f"any other {kind} {row.first or 300}-{row.last}"


def endings_js() -> str:
    """The same table for the JavaScript client, which sees no HTTP status."""
    rows = [f'  [{row.first}, {row.last}, "{row.then}"],' for row in ENDINGS if row.last >= 1000]
    head = "/** What follows the end of a connection: first code, last code, what; the first row that fits counts. */"
    return "\n".join([head, "export const ENDINGS = [", *rows, "];"])


def configuration() -> str:
    """All settings, a table per section."""
    parts: dict[str, list[list[str]]] = {}
    for setting in settings():
        default = "none" if setting.secret else value(setting.default)
        rows = parts.setdefault(setting.section, [])
        flag = "none" if setting.secret else f"`{setting.flag}`"
        rows.append([f"`{setting.name}`", f"`{setting.env}`", flag, setting.expected, default, setting.description])
    heads = ["Setting", "Environment", "Flag", "Value", "Default", "Meaning"]
    return "\n\n".join(f"## [{name}]\n\n{_section_words(name)}\n\n{table(heads, rows)}" for name, rows in parts.items())


def _section_words(name: str) -> str:
    return first_sentence(type(getattr(Config(), name)))


def limits() -> str:
    """The gateway's limits for clients, with their defaults."""
    names = [
        "command_bytes_max",
        "commands_per_s",
        "commands_burst",
        "commands_waiting_max",
        "flood_refusals_max",
        "idle_ms",
        "beat_ms",
        "handshake_ms",
        "reply_wait_ms",
        "connections_per_user_max",
        "connections_per_address_max",
        "frame_bytes_max",
    ]
    words = {s.name: s.description for s in settings() if s.section == "gateway"}
    defaults = GatewayConfig()
    return table(["Setting", "Default", "Meaning"], [[f"`gateway.{n}`", f"{getattr(defaults, n):,}", words[n]] for n in names])


METRIC_KINDS = ("gateway", "engine", "journal", "console")


def metrics(kind: str) -> str:
    """The metrics whose names begin with `kind`; an empty `kind` selects the metrics of every process."""
    made = {name: metric for name, metric in vars(Metrics()).items() if hasattr(metric, "_labelnames")}
    kind_of = {name: next((k for k in METRIC_KINDS if name.startswith(f"{k}_")), "") for name in made}
    return table(["Name", "Type", "Labels", "Meaning"], [_metric(metric) for name, metric in made.items() if kind_of[name] == kind])


def _metric(metric: Any) -> list[str]:
    total = "_total" if metric._type == "counter" else ""
    return [f"`{metric._name}{total}`", metric._type, ", ".join(f"`{label}`" for label in metric._labelnames), metric._documentation]


#: Name of a part -> (page that holds it, its text).
PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "commands": ("commands.md", commands),
    "events": ("events.md", events),
    "frames": ("protocol.md", frames),
    "limits": ("protocol.md", limits),
    "close-codes": ("errors.md", close_codes),
    "endings": ("errors.md", endings),
    "refusals": ("errors.md", refusals),
    "configuration": ("configuration.md", configuration),
    "scale": ("scale.md", scale),
    "costs": ("scale.md", costs),
    "metrics": ("metrics.md", partial(metrics, "")),
    **{f"metrics-{kind}": ("metrics.md", partial(metrics, kind)) for kind in METRIC_KINDS},
    **{f"mutations-{name}": ("mutations.md", partial(mutation_table, name)) for name in read_tables()},
}
