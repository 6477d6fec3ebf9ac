"""The Dockerfile, as far as that goes without an engine to build it."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from liveroom.cli import parser
from liveroom.config.schema import Config
from liveroom.config.settings import settings
from tests.deploy.files import ROOT, dockerfile, image_environment, last
from tests.serving import Server

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def copied() -> set[str]:
    """The files that come into the image from the checkout."""
    found: set[str] = set()
    for instruction in dockerfile():
        if instruction.name == "COPY" and not instruction.words.startswith("--from="):
            found |= set(instruction.words.split()[:-1])
    return found


def test_what_is_copied_exists_and_is_all_that_the_package_needs() -> None:
    """Each source is there and not ignored; readme, license and package are those that pyproject.toml names."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    locks = {"deploy/locks/build.txt", "deploy/locks/run.txt"}
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "liveroom"} | locks
    assert copied() == needed
    for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]:
        assert fnmatch.fnmatch("liveroom.gateway", pattern)


def test_stages_fit_together() -> None:
    """The final stage takes what the build stage made; both have one Python, which the package allows."""
    names = [i.words.split(" AS ")[1] for i in dockerfile() if i.name == "FROM" and " AS " in i.words]
    assert [i.words for i in dockerfile() if i.words.startswith("--from=")] == [f"--from={names[0]} /opt/liveroom /opt/liveroom"]
    assert {i.words.split()[0] for i in dockerfile() if i.name == "FROM"} == {"${PYTHON_IMAGE}"}
    version, variant = last("ARG").removeprefix("PYTHON_IMAGE=python:").split("-", 1)
    assert variant == "slim-bookworm"  # a new release of Debian comes with a change here, not by itself
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


def test_it_runs_as_nobody_special_and_its_settings_exist() -> None:
    """A numeric user that is not root; names of settings; the ports of the defaults; the package's own program."""
    user, group = last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert image_environment().keys() <= {setting.env for setting in settings()}
    defaults = Config()
    assert set(map(int, last("EXPOSE").split())) == {defaults.gateway.port, defaults.console.port, defaults.ops.port}
    assert json.loads(last("ENTRYPOINT")) == ["liveroom"]
    assert "liveroom" in PROJECT["project"]["scripts"]
    parser().parse_args(json.loads(last("CMD")))


async def test_the_health_check_works_by_hand(tmp_path: Path) -> None:
    """Its command says yes of a server that runs, also whether it is ready, and no with a reason of one that does not."""
    program, *arguments = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert program == "liveroom"
    async with Server(tmp_path / "data") as server:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LIVEROOM_")} | {"http_proxy": "http://127.0.0.1:1"}
        environment |= image_environment() | {"LIVEROOM_CONSOLE_PORT": server.console_url.rpartition(":")[2], "LIVEROOM_OPS_PORT": "1"}

        async def check(*more: str) -> tuple[int | None, str]:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "liveroom", *arguments, *more), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            words = (await process.communicate())[0].decode()
            return process.returncode, words

        assert await check() == (0, f"{server.console_url}/livez: alive\n")
        assert await check("--ready") == (0, f"{server.console_url}/readyz: ready\n")
        await server.kill()
        code, words = await check()
        assert code == 1
        assert f"{server.console_url}/livez: " in words
        assert "refused" in words


def test_hadolint_finds_nothing() -> None:
    """Hadolint, the usual linter of Dockerfiles, has no complaint."""
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint not found: it comes with the extra `test` on x86-64 Linux")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
