"""The page for production: its examples work unchanged, and its names exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from liveroom.auth.tokens import TokenChecker
from liveroom.config.schema import AuthConfig, Config
from liveroom.config.settings import load_config, settings
from liveroom.messages.errors import BadToken
from liveroom.messages.fields import Role
from liveroom.process.open_files import files_needed
from liveroom.telemetry.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
SECRET = "s" * 64


def examples(language: str) -> list[str]:
    """The page's examples in a language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found


def example(language: str) -> str:
    """The one example in a language."""
    (found,) = examples(language)
    return found


def config(tmp_path: Path) -> Config:
    """The page's settings, read as a file."""
    file = tmp_path / "liveroom.toml"
    file.write_text(example("toml"), encoding="utf-8")
    return load_config(file, {}, {})


def test_the_settings_are_fine(tmp_path: Path) -> None:
    """The example file is taken, and means production with TLS and a secret of its own."""
    read = config(tmp_path)
    assert read.liveroom.mode == "production"
    assert read.gateway.tls_cert_file
    assert read.auth.secret_file
    assert read.console.gateway_url.startswith("wss://")


def test_a_token_of_ones_own_backend_is_believed(tmp_path: Path) -> None:
    """A server with the example settings accepts tokens of the example function, and none of another secret."""
    names: dict[str, Any] = {}
    exec(examples("python")[0], names)
    token = names["liveroom_token"](SECRET, "u7", "Ming", "tea")
    identity = TokenChecker(config(tmp_path).auth, SECRET).check(token)
    assert (identity.user, identity.name, identity.room, identity.role, identity.buyer) == ("u7", "Ming", "tea", Role.viewer, False)
    with pytest.raises(BadToken):
        TokenChecker(config(tmp_path).auth, "t" * 64).check(token)


def test_the_unit_leaves_room_for_the_defaults() -> None:
    """systemd grants more open files than there are viewers, and more time to stop than the server takes."""
    unit = tomllib.loads(re.sub(r"^(LimitNOFILE|TimeoutStopSec)=(\d+)$|^.*$", lambda m: f"{m[1]}={m[2]}" if m[1] else "", example("ini"), flags=re.M))
    defaults = Config()
    assert unit["LimitNOFILE"] >= files_needed(defaults)
    assert unit["TimeoutStopSec"] * 1000 > 2 * (defaults.gateway.drain_ms + defaults.console.shutdown_ms)


def test_every_metric_and_setting_that_is_named_exists() -> None:
    """Alarms and advice name what there is."""
    exposition = b"".join(Metrics().exposition()).decode()
    for name in re.findall(r"`((?:liveroom|process)_[a-z_]+)`", PAGE):
        assert f"# HELP {name} " in exposition, name
    known = {f"{s.section}.{s.name}" for s in settings()}
    sections = "|".join({s.section for s in settings()})
    for name in re.findall(rf"`((?:{sections})\.(?!js`|sqlite|mark`)[a-z_]+)`", PAGE):
        assert name in known, name


def test_the_keys_file_and_a_token_of_it_are_made_as_the_page_says(tmp_path: Path) -> None:
    """The example makes a JWK Set that a server takes, and a token that names its key."""
    names: dict[str, Any] = {}
    exec(examples("python")[1], names)
    file = tmp_path / "keys.json"
    file.write_text(names["keys_file"], encoding="utf-8")
    checker = TokenChecker(AuthConfig(algorithm="ES256", keys_file=str(file), audience="liveroom"))
    assert checker.check(names["token"]).user == "vera"
