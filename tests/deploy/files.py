"""The files of `deploy/` and the Dockerfile, read as those who use them do."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

from liveroom.app import App
from liveroom.cli import parser
from liveroom.config.schema import Config
from liveroom.config.settings import load_config
from liveroom.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SECRET = "s" * 48

Object = dict[str, Any]


def yaml_of(path: Path) -> list[Any]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def check_schema(document: Any, schema_file: str, definition: str = "") -> None:
    """Raises what jsonschema raises when the document does not fit."""
    schema = json.loads((Path(__file__).parent / "schemas" / schema_file).read_text(encoding="utf-8"))
    if definition:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(document)


class Instruction(NamedTuple):
    """A line of the Dockerfile."""

    name: str
    words: str


def dockerfile() -> list[Instruction]:
    """The Dockerfile's instructions, without comments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [Instruction(*line.split(None, 1)) for line in text.splitlines() if line.strip()]


def last(name: str) -> str:
    """The last instruction of a kind: the one that counts."""
    return [instruction.words for instruction in dockerfile() if instruction.name == name][-1]


def image_environment() -> dict[str, str]:
    """The settings that the image comes with."""
    pairs = (pair.split("=", 1) for instruction in dockerfile() if instruction.name == "ENV" for pair in shlex.split(instruction.words))
    return {name: value for name, value in pairs if name.startswith("LIVEROOM_")}


def config_of(arguments: list[str], environment: Mapping[str, str], file: Path | None = None) -> Config:
    """The settings of a container of the image; raises as the process would when an argument, a name or a value is wrong."""
    options = parser().parse_args(arguments)
    config = load_config(file, image_environment() | dict(environment), {})
    App(config, options.parts)
    return config


def port_of_metrics(role: str, config: Config) -> int:
    """Where a process of this role serves health and metrics."""
    return config.console.port if role == "console" else config.ops.port


def metrics_named(text: str) -> set[str]:
    """The names of series in an expression."""
    return set(re.findall(r"\b(?:liveroom|process)_[a-z_]+", text))


def metrics_there_are() -> set[str]:
    """The names of all series that a process exports."""
    exposition = b"".join(Metrics().exposition()).decode()
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return names
