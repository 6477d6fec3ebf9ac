"""Installed packages: exact versions with hashes, within the bounds of pyproject.toml."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.deploy.files import ROOT

LOCKS = ROOT / "deploy" / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
IN_EXTRAS = [text for extra in EXTRAS.values() for text in extra]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """The exact version of each package in a lock."""
    text = (LOCKS / name).read_text(encoding="utf-8")
    return {normal(found["name"]): found["version"] for found in PIN.finditer(text)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("run.txt", PROJECT["project"]["dependencies"]),
        ("test.txt", PROJECT["project"]["dependencies"] + IN_EXTRAS),
        ("build.txt", PROJECT["build-system"]["requires"]),
    ],
)
def test_a_lock_has_every_requirement_within_its_bounds(lock: str, requirements: list[str]) -> None:
    """A change of pyproject.toml without `make lock` is seen."""
    locked = pins(lock)
    for text in requirements:
        wanted = Requirement(text)
        assert normal(wanted.name) in locked, text
        assert wanted.specifier.contains(locked[normal(wanted.name)]), text


@pytest.mark.parametrize("lock", ["build.txt", "run.txt", "test.txt"])
def test_every_pin_has_hashes(lock: str) -> None:
    """A file whose bytes are not those that were locked is not installed."""
    for entry in re.split(r"\n(?=[A-Za-z0-9])", (LOCKS / lock).read_text(encoding="utf-8")):
        assert PIN.match(entry), entry
        assert "--hash=sha256:" in entry, entry


def test_what_runs_is_the_same_in_tests() -> None:
    """The tests run with the versions that `make run` and the image install."""
    assert pins("run.txt").items() <= pins("test.txt").items()


def test_every_requirement_has_a_lower_and_an_upper_bound() -> None:
    """A new major version comes in by a change of pyproject.toml and never by itself."""
    for text in PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"] + IN_EXTRAS:
        operators = {specifier.operator for specifier in Requirement(text).specifier}
        assert operators == {"=="} or operators == {">=", "<"}, text


def test_make_and_image_install_the_locks() -> None:
    """Nothing but the locked versions is installed, by `make` or in the image."""
    for name in ("Makefile", "Dockerfile"):
        text = (ROOT / name).read_text(encoding="utf-8")
        installs = re.findall(r"(?:\$\(PIP\)|pip install)[^\n]*(?:\\\n[^\n]*)*", text)
        for install in [each for part in installs for each in re.split(r"&& (?=\$\(PIP\)|/opt)", part)]:
            assert install.startswith("pip install --quiet --disable") or "--require-hashes" in install or "--no-deps" in install, install


def test_node_and_java_have_locks_too() -> None:
    """The package of Node has the hash of its file, the jars of the broker have theirs."""
    lock = json.loads((ROOT / "tests" / "e2e" / "npm" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    sums = (ROOT / "deploy" / "kafka-local" / "jars.sha256").read_text(encoding="utf-8").splitlines()
    assert len(sums) > 20
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.-]+\.jar", line) for line in sums)
