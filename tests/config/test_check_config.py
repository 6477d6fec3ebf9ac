"""`liveroom check-config` reads every file that the settings name, as a server does when it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from liveroom.cli import main
from liveroom.config.schema import KafkaConfig
from liveroom.journal.kafka.client import tls_context as broker_tls_context
from liveroom.messages.errors import BadConfig
from tests.auth.test_tokens import private_pem, public_pem

RSA, RSA_SHORT = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 1024)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
#: The user without rights, as of Linux distributions.
NOBODY = 65_534
#: A key of `openssl genrsa 512`; no library makes such a key any more.
RSA_512 = b"""-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAJI26yEc0Gf0jGBZpTn5hkeDVSCEypZ+
D8DYeXZ2s0d21vNFEunKSfQJ4+P9GCn992mpYp9mi5CS0QWiHhTpQTUCAwEAAQ==
-----END PUBLIC KEY-----
"""


def checked(capsys: pytest.CaptureFixture[str], data_dir: Path, *flags: str) -> tuple[int, str]:
    """The exit code and the output."""
    try:
        main(["check-config", "--data-dir", str(data_dir), *flags])
        code = 0
    except SystemExit as ended:
        code = int(str(ended.code))
    out, err = capsys.readouterr()
    return code, out + err


@pytest.mark.parametrize(
    ("algorithm", "pem", "words"),
    [
        ("RS256", public_pem(RSA), "the settings are fine"),
        ("ES256", public_pem(P256), "the settings are fine"),
        ("RS256", private_pem(RSA), "private key"),
        ("ES256", private_pem(P256), "private key"),
        ("ES256", public_pem(P384), "P-256|ES256"),
        ("RS256", public_pem(RSA_SHORT), "2048"),
        ("PS256", RSA_512, "2048|PS256"),
        ("RS256", b"no key", "auth.public_key_file"),
    ],
)
def test_a_key_that_no_server_would_take_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str, pem: bytes, words: str) -> None:
    """A private key, another curve, too few bits, no key at all: exit code 2 and one line that names the setting."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem)
    code, said = checked(capsys, tmp_path / "data", "--auth-algorithm", algorithm, "--auth-public-key-file", str(file))
    assert any(word in said for word in words.split("|"))
    assert code == (0 if "fine" in words else 2)
    if code:
        assert said.startswith("liveroom: auth.public_key_file: ")
        assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        (("--gateway-tls-cert-file", "CERT", "--gateway-tls-key-file", "KEY"), "gateway.tls_cert_file, gateway.tls_key_file"),
        (("--kafka-tls-ca-file", "CERT"), "kafka.tls_ca_file"),
        (("--kafka-tls-cert-file", "CERT", "--kafka-tls-key-file", "KEY"), "kafka.tls_cert_file, kafka.tls_key_file"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_a_certificate_that_no_server_could_use_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], setting: str, content: bytes | None
) -> None:
    """The check covers the gateway's and the brokers' files: missing, empty, or with other content."""
    files: dict[str, Any] = {name: str(tmp_path / name) for name in ("CERT", "KEY")}
    for name in files if content is not None else ():
        (tmp_path / name).write_bytes(content or b"")
    kafka = ("--journal-kind", "kafka", "--kafka-bootstrap-servers", "127.0.0.1:9", "--kafka-security-protocol", "SSL")
    more = kafka if setting.startswith("kafka") else ()
    code, said = checked(capsys, tmp_path / "data", "--mode", "dev", *more, *(files.get(flag, flag) for flag in flags))
    if content is None:
        setting = f"{setting.split(',')[0]}: {tmp_path / 'CERT'}: there is no such file"
    assert (code, said.startswith(f"liveroom: {setting}")) == (2, True), said


@pytest.mark.parametrize("section", ["gateway", "kafka"])
def test_a_key_of_another_user_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, section: str) -> None:
    """The file that this user may not read, of the two; the superuser may read any, so the system's answer is played."""
    cert, key = tmp_path / "cert", tmp_path / "key"
    for file in (cert, key):
        file.touch()
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != str(key))
    kafka = ("--journal-kind", "kafka", "--kafka-bootstrap-servers", "127.0.0.1:9", "--kafka-security-protocol", "SSL")
    tls = (f"--{section}-tls-cert-file", str(cert), f"--{section}-tls-key-file", str(key))
    code, said = checked(capsys, tmp_path / "data", "--mode", "dev", *(kafka if section == "kafka" else ()), *tls)
    assert (code, said) == (2, f"liveroom: {section}.tls_key_file: {key}: this user may not read it\n")


def test_a_data_directory_that_cannot_be_made_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below a file, or at one; nothing is made by the check."""
    file = tmp_path / "file"
    file.touch()
    secret = ("--mode", "production", "--auth-secret-file", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("x" * 64)
    for path in (file, file / "deep" / "data"):
        code, said = checked(capsys, path, *secret)
        assert (code, said) == (2, f"liveroom: liveroom.data_dir: {path}: {file} is no directory\n")
    assert checked(capsys, tmp_path / "deep" / "data", *secret) == (0, "the settings are fine\n")
    assert not (tmp_path / "deep").exists()


def test_a_data_directory_of_another_user_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that this user may not write to; the superuser may write to any, so the system's answer is played."""
    monkeypatch.setattr("liveroom.app.os.access", lambda path, mode: Path(path) != tmp_path)
    code, said = checked(capsys, tmp_path / "data", "--auth-secret-file", __file__)
    assert (code, said) == (2, f"liveroom: liveroom.data_dir: {tmp_path / 'data'}: this user may not write to {tmp_path}\n")


@pytest.fixture
def unsearchable(tmp_path: Path) -> Iterator[Path]:
    """A directory that this user may not search, with a file in it. The superuser may search any, so its rights rest meanwhile."""
    directory = tmp_path / "unsearchable"
    directory.mkdir()
    (directory / "file").touch()
    directory.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield directory
    os.seteuid(user)
    directory.chmod(0o700)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--gateway-tls-cert-file", "FILE", "--gateway-tls-key-file", "FILE"), "gateway.tls_cert_file: FILE: Permission denied"),
        (("--data-dir", "FILE"), "liveroom.data_dir: FILE: Permission denied"),
        (("--mode", "production", "--auth-keys-file", "FILE"), "auth.keys_file: FILE: Permission denied"),
        (("--auth-secret-file", "FILE"), "auth.secret_file: FILE: Permission denied"),
    ],
)
def test_a_file_in_a_directory_of_another_user_is_named(
    unsearchable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], words: str
) -> None:
    """The error names the setting, without a traceback; the system hides whether the file exists."""
    file = str(unsearchable / "file")
    code, said = checked(capsys, tmp_path / "data", "--mode", "dev", *(flag.replace("FILE", file) for flag in flags))
    assert (code, words.replace("FILE", file) in said) == (2, True), said


@pytest.mark.parametrize("name", ["tls_ca_file", "tls_cert_file", "tls_key_file"])
def test_a_brokers_file_in_a_directory_of_another_user_is_named(unsearchable: Path, name: str) -> None:
    """The same for brokers."""
    file = str(unsearchable / "file")
    with pytest.raises(BadConfig, match=f"^kafka.{name}: {file}: Permission denied$"):
        broker_tls_context(KafkaConfig(**{name: file}))  # type: ignore[arg-type]


def test_commands_name_a_data_directory_of_another_user(unsearchable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands that read or restore a journal, or need the dev secret, say why they cannot."""
    directory = str(unsearchable / "data")
    commands = {
        "audit": ["--data-dir", directory],
        "restore-journal": [str(unsearchable / "file"), "--data-dir", directory],
        "token": ["--room", "demo", "--user", "vera", "--mode", "dev", "--data-dir", directory],
    }
    for command, flags in commands.items():
        with pytest.raises(SystemExit):
            main([command, *flags])
        assert "Permission denied" in capsys.readouterr().err, command


def test_every_file_that_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, and each once."""
    flags = (
        "--auth-secret-file",
        str(tmp_path / "none"),
        "--gateway-tls-cert-file",
        str(tmp_path / "c"),
        "--gateway-tls-key-file",
        str(tmp_path / "k"),
    )
    code, said = checked(capsys, tmp_path / "data", *flags)
    assert code == 2
    assert [line.split(":")[1].strip() for line in said.splitlines()] == ["auth.secret_file", "gateway.tls_cert_file"]


def test_a_flag_that_is_not_there_names_the_one_that_may_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The hint is the same as for a setting in a file."""
    for typed in (("--gateway-prot", "1"), ("--gateway-prot=1",)):
        code, said = checked(capsys, tmp_path, *typed)
        assert (code, "did you mean --gateway-port?" in said) == (2, True), said
    assert "did you mean" not in checked(capsys, tmp_path, "--zzzz")[1]
