"""Settings: file < environment < flags, checked as one object, with a plain error for every mistake."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from liveroom.config.schema import Config
from liveroom.config.settings import Setting, load_config, settings, to_toml
from liveroom.messages.errors import BadConfig
from tests.protocol.strategies import messages

ALL = list(settings())
SECRET = "keep-this-out-of-every-message-0123456789"


def write(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "liveroom.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def complaint(file: Path | None = None, environ: dict[str, str] | None = None, flags: dict[tuple[str, str], str] | None = None) -> str:
    with pytest.raises(BadConfig) as caught:
        load_config(file, environ or {}, flags or {})
    return str(caught.value)


def test_nothing_given_is_all_defaults() -> None:
    """Without file, environment and flags every setting has its default."""
    assert load_config(None, {"PATH": "/bin"}, {}) == Config()


def test_file_then_environment_then_flags(tmp_path: Path) -> None:
    """A later source wins, setting by setting; settings that it omits keep the earlier value."""
    file = write(tmp_path, "[gateway]\nport = 1001\nidle_ms = 2001\nhost = 'a'\n[logs]\nlevel = 'debug'\n")
    config = load_config(file, {"LIVEROOM_GATEWAY_PORT": "1002", "LIVEROOM_GATEWAY_IDLE_MS": "2002"}, {("gateway", "port"): "1003"})
    assert (config.gateway.port, config.gateway.idle_ms, config.gateway.host) == (1003, 2002, "a")
    assert config.logs.level == "debug"
    assert config.console == Config().console


@pytest.mark.parametrize("setting", ALL, ids=lambda s: s.path)
def test_every_setting_is_described_and_can_be_given_three_ways(setting: Setting, tmp_path: Path) -> None:
    """Each setting has a description and can be set by the file, the environment and a flag to the same value."""
    assert setting.description
    assert setting.expected
    value = "x" * 64 if setting.secret else setting.default
    text = ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    by_env = load_config(None, {setting.env: text}, {})
    by_flag = load_config(None, {}, {(setting.section, setting.name): text})
    toml = msgspec.json.encode(value).decode()
    by_file = load_config(write(tmp_path, f"[{setting.section}]\n{setting.name} = {toml}\n"), {}, {})
    assert by_env == by_flag == by_file
    assert getattr(getattr(by_env, setting.section), setting.name) == value


def test_names_are_unique() -> None:
    """No two settings share an environment variable or a flag, and none is taken by `LIVEROOM_CONFIG`."""
    assert len({s.env for s in ALL}) == len({s.flag for s in ALL}) == len(ALL)
    assert not {s.env for s in ALL} & {"LIVEROOM_CONFIG"}
    assert not any(s.env.startswith("LIVEROOM_TEST_") for s in ALL)


@pytest.mark.parametrize("setting", ALL, ids=lambda s: s.path)
def test_numbers_have_limits_with_the_default_between(setting: Setting) -> None:
    """Every number has a least and a greatest value; its default is a value that it may have."""
    if type(setting.default) is int:
        assert "None" not in setting.expected
    msgspec.convert(list(setting.default) if isinstance(setting.default, tuple) else setting.default, setting.annotation)


BAD_FILES: list[tuple[str, str | bytes, str]] = [
    ("not TOML", "[gateway\n", "is not TOML: "),
    ("not UTF-8", b"[logs]\nlevel = '\xff'\n", "is not UTF-8 text"),
    ("UTF-16", "[logs]\n".encode("utf-16"), "is not UTF-8 text"),
    ("a setting twice", "[logs]\nlevel='info'\nlevel='info'\n", "is not TOML: "),
    ("unknown section", "[gatway]\nport = 1\n", "[gatway]: there is no such section; did you mean [gateway]?"),
    ("unlike any section", "[zzzz]\nport = 1\n", "[zzzz]: there is no such section; there are liveroom, journal,"),
    ("a section that is a value", "gateway = 1\n", "gateway: is a section; write [gateway]"),
    (
        "a setting outside its section",
        "port = 1\n",
        "port: no setting may come before the first section; this one belongs to [gateway], [console], [ops]",
    ),
    ("nothing known outside a section", "zzzz = 1\n", "zzzz: no setting may come before the first section; see docs/configuration.md"),
    ("unknown setting", "[gateway]\nprot = 1\n", "gateway.prot: there is no such setting; did you mean port?"),
    ("unlike any setting", "[gateway]\nzzzz = 1\n", "gateway.zzzz: there is no such setting; see docs/configuration.md"),
    ("a text for a number", "[gateway]\nport = '1'\n", "gateway.port: must be a whole number from 0 to 65535, not '1'"),
    ("a fraction", "[gateway]\nport = 1.5\n", "gateway.port: must be a whole number from 0 to 65535, not 1.5"),
    ("out of range", "[gateway]\nport = 65536\n", "gateway.port: must be a whole number from 0 to 65535, not 65536"),
    ("a number for a boolean", "[gateway]\ncompression = 1\n", "gateway.compression: must be true or false, not 1"),
    ("none of the choices", "[logs]\nlevel = 'loud'\n", "logs.level: must be one of debug, error, info, warning, not 'loud'"),
    ("a text for a list", "[gateway]\norigins = 'http://x'\n", "gateway.origins: must be a list of texts, not 'http://x'"),
    ("a list of numbers", "[gateway]\norigins = [1]\n", "gateway.origins: must be a list of texts, not [1]"),
    ("a table for a value", "[gateway.port]\nx = 1\n", "gateway.port: must be a whole number from 0 to 65535, not {'x': 1}"),
    ("a bad instance", "[liveroom]\ninstance = 'a b'\n", "liveroom.instance: must be at most 64 of A-Z a-z 0-9 . _ -, beginning"),
    ("a bad address", "[console]\ngateway_url = 'http://x'\n", "console.gateway_url: must be an address beginning with ws:// or wss://"),
    ("an empty directory", "[liveroom]\ndata_dir = ''\n", "liveroom.data_dir: must be text, not empty, not ''"),
]


@pytest.mark.parametrize(("text", "words"), [pytest.param(text, words, id=name) for name, text, words in BAD_FILES])
def test_a_bad_file_is_told_with_its_name_and_the_setting(tmp_path: Path, text: str | bytes, words: str) -> None:
    """The message names the file, the setting, the rule and the value."""
    file = write(tmp_path, text)
    assert complaint(file).startswith(f"{file}: {words}")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file and a directory are named, with the reason."""
    assert complaint(tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"
    assert complaint(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"


BAD_VARIABLES = [
    ("LIVEROOM_GATEWAY_PROT", "1", "LIVEROOM_GATEWAY_PROT: there is no such setting; did you mean LIVEROOM_GATEWAY_PORT?"),
    ("LIVEROOM_ZZZZZZ", "1", "LIVEROOM_ZZZZZZ: there is no such setting; see docs/configuration.md"),
    ("LIVEROOM_GATEWAY_PORT", "x", "LIVEROOM_GATEWAY_PORT: must be a whole number from 0 to 65535, not 'x'"),
    ("LIVEROOM_GATEWAY_PORT", "", "LIVEROOM_GATEWAY_PORT: must be a whole number from 0 to 65535, not ''"),
    ("LIVEROOM_GATEWAY_PORT", "1.0", "LIVEROOM_GATEWAY_PORT: must be a whole number from 0 to 65535, not '1.0'"),
    ("LIVEROOM_GATEWAY_PORT", "1e3", "LIVEROOM_GATEWAY_PORT: must be a whole number from 0 to 65535, not '1e3'"),
    ("LIVEROOM_GATEWAY_PORT", "٣", "LIVEROOM_GATEWAY_PORT: must be a whole number from 0 to 65535, not '٣'"),
    ("LIVEROOM_GATEWAY_PORT", "70000", "LIVEROOM_GATEWAY_PORT: must be a whole number from 0 to 65535, not 70000"),
    ("LIVEROOM_GATEWAY_COMPRESSION", "yes", "LIVEROOM_GATEWAY_COMPRESSION: must be true or false, not 'yes'"),
    ("LIVEROOM_MODE", "test", "LIVEROOM_MODE: must be one of dev, production, not 'test'"),
    ("LIVEROOM_LOGS_LEVEL", "\udcff", "LIVEROOM_LOGS_LEVEL: is not UTF-8 text"),
    ("LIVEROOM_DATA_DIR", "\udcff", "LIVEROOM_DATA_DIR: is not UTF-8 text"),
    ("LIVEROOM_AUTH_ISSUER", "shop\u202e", "LIVEROOM_AUTH_ISSUER: holds the character U+202E"),
    ("LIVEROOM_GATEWAY_ORIGINS", "https://a,https://b\x9b", "LIVEROOM_GATEWAY_ORIGINS: holds the character U+009B"),
]


@pytest.mark.parametrize(("name", "text", "words"), BAD_VARIABLES)
def test_a_bad_variable_is_told_by_its_name(name: str, text: str, words: str) -> None:
    """The message names the environment variable, not the place in the file that was never written."""
    assert complaint(environ={name: text}).startswith(words)


def test_a_bad_flag_is_told_by_its_name() -> None:
    """The message names the flag as it was typed."""
    assert complaint(flags={("gateway", "port"): "x"}) == "--gateway-port: must be a whole number from 0 to 65535, not 'x'"
    assert complaint(flags={("liveroom", "mode"): "x"}) == "--mode: must be one of dev, production, not 'x'"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), ("FALSE", False), ("0", False)])
def test_a_boolean_is_true_false_1_or_0(text: str, value: bool) -> None:
    """In the environment and on the command line a boolean is true, false, 1 or 0, in any case."""
    assert load_config(None, {"LIVEROOM_GATEWAY_COMPRESSION": text}, {}).gateway.compression is value
    assert load_config(None, {}, {("gateway", "compression"): text}).gateway.compression is value


@pytest.mark.parametrize(("text", "value"), [("", ()), ("http://a", ("http://a",)), (" http://a , http://b,", ("http://a", "http://b"))])
def test_a_list_is_separated_by_commas(text: str, value: tuple[str, ...]) -> None:
    """In the environment and on the command line a list is separated by commas; nothing is the empty list."""
    assert load_config(None, {"LIVEROOM_GATEWAY_ORIGINS": text}, {}).gateway.origins == value


def test_names_for_tests_and_for_the_file_are_no_settings() -> None:
    """`LIVEROOM_CONFIG` names the file and `LIVEROOM_TEST_*` belong to the tests."""
    assert load_config(None, {"LIVEROOM_CONFIG": "x", "LIVEROOM_TEST_KAFKA": "1"}, {}) == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gateway]\ntls_cert_file = 'a'\n", "gateway.tls_cert_file and gateway.tls_key_file: set both or none"),
        ("[gateway]\nport = 8801\n", "gateway.port and console.port: both are 8801"),
        ("[gateway]\nport = 8801\nhost = '0.0.0.0'\n", "gateway.port and console.port: both are 8801"),
        ("[gateway]\ntick_ms_min = 300\n", "gateway.tick_ms_min: is above gateway.tick_ms_max"),
        ("[rooms]\naudience_expiry_ms = 5000\n", "gateway.audience_repeat_ms: must be at most half of rooms.audience_expiry_ms"),
        (f"[auth]\nsecret = '{'x' * 32}'\nsecret_file = 'y'\n", "auth.secret and auth.secret_file: set one of them"),
        ("[auth]\nsecret = 'short'\n", "auth.secret: HS256 needs at least 32 bytes"),
        (f"[auth]\nalgorithm = 'HS512'\nsecret = '{'x' * 63}'\n", "auth.secret: HS512 needs at least 64 bytes"),
        ("[kafka]\nskip_offsets = ['0:12', '3']\n", "kafka.skip_offsets: '3' is not partition:offset"),
        ("[kafka]\nevents_lost = ['0:12-14', '3:5']\n", "kafka.events_lost: '3:5' is not partition:from-to"),
        ("[gateway]\norigins = ['https://shop.example/']\n", "gateway.origins: 'https://shop.example/' is no origin"),
        ("[gateway]\norigins = ['shop.example']\n", "gateway.origins: 'shop.example' is no origin"),
        *(
            (f"[gateway]\norigins = ['{origin}']\n", f"gateway.origins: '{origin}' is no origin")
            for origin in (
                *("https://*", "https://*.com", "https://shop.*.example", "https://shop*.example.com", "https://*.*.example.com"),
                *("https://**.example.com", "*.example.com", "*://shop.example", "https://*.example.com:*", "https://u@shop.example"),
            )
        ),
        ("[gateway]\ntrusted_proxies = ['10.0.0.1/8']\n", "gateway.trusted_proxies: 10.0.0.1/8 has host bits set"),
        ("[gateway]\nproxy_protocol = true\n", "gateway.proxy_protocol: needs gateway.trusted_proxies"),
        ("[gateway]\ntrusted_proxies = ['proxy']\n", "gateway.trusted_proxies: 'proxy' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_settings_that_do_not_go_together_are_told(tmp_path: Path, text: str, words: str) -> None:
    """Two values that are valid alone but not together are an error that names both settings."""
    assert words in complaint(write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "[gateway]\nport = 0\n[console]\nport = 0\n",
        "[gateway]\nport = 8801\nhost = '127.0.0.2'\n",
        "[gateway]\nport = 8801\n[journal]\nkind = 'kafka'\n[kafka]\nbootstrap_servers = ['b:9092']\n",
    ],
)
def test_ports_that_do_not_clash(tmp_path: Path, text: str) -> None:
    """Any free port twice, two addresses of a machine, and parts that may be processes on two machines."""
    load_config(write(tmp_path, text), {}, {})


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """All mistakes of file, environment and flags are listed, with conflicts between settings. Consequences of a bad value are not."""
    file = write(tmp_path, "[gateway]\nprot = 1\ntick_ms_min = 'x'\ntick_ms_max = 1\n[gatway]\nx = 1\n[kafka]\nevents_lost = ['3:5']\n")
    with pytest.raises(BadConfig) as caught:
        load_config(file, {"LIVEROOM_LOGS_LEVEL": "loud"}, {("gateway", "port"): "x"})
    told = [words.removeprefix(f"{file}: ").split(":")[0] for words in caught.value.mistakes]
    assert told == [
        "gateway.prot",
        "gateway.tick_ms_min",
        "[gatway]",
        "LIVEROOM_LOGS_LEVEL",
        "--gateway-port",
        "kafka.events_lost",
    ]


def test_a_secret_is_never_told(tmp_path: Path) -> None:
    """No error and no written-out settings hold the secret, wherever it came from."""
    too_long = SECRET * 200
    assert SECRET not in complaint(write(tmp_path, f"[auth]\nsecret = '{too_long}'\n"))
    assert SECRET not in complaint(write(tmp_path, f"[auth]\nsecret = ['{SECRET}']\n"))
    assert SECRET not in complaint(environ={"LIVEROOM_AUTH_SECRET": too_long})
    assert SECRET not in complaint(flags={("auth", "secret"): too_long})
    assert SECRET not in complaint(environ={"LIVEROOM_AUTH_SECRET": SECRET, "LIVEROOM_AUTH_ALGORITHM": "HS512"})
    config = load_config(None, {"LIVEROOM_AUTH_SECRET": SECRET}, {})
    assert config.auth.secret == SECRET
    assert SECRET not in to_toml(config)


def test_the_settings_written_out_are_a_file_that_gives_them_again(tmp_path: Path) -> None:
    """`to_toml` of the defaults is TOML with each setting and its description, and loads to the defaults."""
    text = to_toml(Config())
    tables = tomllib.loads(text)
    for setting in ALL:
        assert setting.description in text
        assert setting.secret or setting.name in tables[setting.section]
    assert load_config(write(tmp_path, text), {}, {}) == Config()


def _by_section(config: Config) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(config)
    plain["auth"]["secret"] = plain["auth"]["address_secret"] = plain["kafka"]["sasl_password"] = ""
    return plain


@given(messages(Config))
@hypothesis_settings(max_examples=60)
def test_any_settings_come_back_from_their_file(config: Config) -> None:
    """Whatever the values, the file that `to_toml` writes holds them again, but for the secrets."""
    tables = tomllib.loads(to_toml(config))
    assert _by_section(msgspec.convert(tables, Config)) == _by_section(config)
