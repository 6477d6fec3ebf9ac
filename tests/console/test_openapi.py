"""The API's description equals the API: every route is in it, and everything in it is a route."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from openapi_spec_validator import validate

from liveroom.console.api import HTTP_COMMANDS
from liveroom.console.openapi import document
from liveroom.console.problems import HTTP_PROBLEMS
from liveroom.protocol.refusals import REFUSALS
from tests.console.live import Live

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.yaml"


def test_the_description_is_valid() -> None:
    """It is OpenAPI 3.1 by an independent validator."""
    validate(document())


def test_the_committed_file_says_what_the_document_says() -> None:
    """docs/openapi.yaml holds the document that consoles serve."""
    assert yaml.safe_load(COMMITTED.read_text(encoding="utf-8")) == document(), "run `make docs`"


async def test_it_is_served(live: Live) -> None:
    """Every console serves its own description."""
    answer = await live.get("/v1/openapi.json")
    assert (answer.json, answer.headers["Content-Type"]) == (document(), "application/json")


async def test_every_route_is_described_and_the_other_way_round(live: Live) -> None:
    """Paths and methods are equal both ways; the commands' one route covers one path for each command."""
    routes = set()
    for route in live.console._listener._runner.app.router.routes():
        assert route.resource is not None
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.resource.canonical)
        if route.method != "HEAD":
            routes |= {(route.method, path.replace("{command}", name)) for name in HTTP_COMMANDS}
    described = {(method.upper(), path) for path, operations in document()["paths"].items() for method in operations}
    assert routes == described


def test_every_code_is_described() -> None:
    """Each code may be in a problem, and is explained with its status."""
    components = document()["components"]
    codes = {**REFUSALS, **HTTP_PROBLEMS}
    assert components["schemas"]["Problem"]["properties"]["code"]["enum"] == list(codes)
    words = " ".join(response["description"] for response in components["responses"].values())
    for code, (status, meaning) in codes.items():
        assert f"`{code}`: {meaning}" in words or status == 405  # no operation that is described can be answered so


def test_every_operation_has_a_name_of_its_own() -> None:
    """Operation ids are unique, and a command's is its name."""
    names = [operation["operationId"] for path in document()["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert set(HTTP_COMMANDS) <= set(names)
