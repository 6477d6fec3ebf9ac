"""A feature's part of the HTTP API follows from the list of features alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson
import pytest

from liveroom.console.openapi import ROUTES
from liveroom.features.registry import FEATURES

PROGRAM = "from tests.console import greeting; greeting.main()"


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """The output of greeting.py, from a process with one more feature."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def test_a_command_of_a_new_feature_is_served_and_described(answers: dict[str, Any]) -> None:
    """A feature in the list gets a path for its command; its rules decide, with its own settings and refusal codes."""
    assert answers["described"]["/v1/rooms/{room}/commands/greet"] == ["post"]
    status, done = answers["accepted"]
    assert (status, done["result"]) == (200, {"times": 3})
    status, problem = answers["refused"]
    assert (status, problem["code"], problem["field"]) == (422, "too_friendly", "times")


def test_a_route_of_a_new_feature_is_served_and_described(answers: dict[str, Any]) -> None:
    """A public route answers everybody; one with roles answers only these."""
    assert answers["described"]["/v1/rooms/{room}/manners"] == ["get"]
    assert answers["described"]["/v1/rooms/{room}/whispers"] == ["get"]
    assert answers["manners"] == [200, {"title": "Tea", "whispered": False, "heard": ["hi"] * 3}]
    assert answers["whispers"] == [200, {"title": "Tea", "whispered": True, "heard": ["hi"] * 3}]
    status, problem = answers["whispers to viewers"]
    assert (status, problem["code"]) == (403, "forbidden")


def test_a_field_of_a_new_feature_is_in_the_keyframe(answers: dict[str, Any]) -> None:
    """Its type, its fold, and its value from the state follow from the list, too."""
    status, room = answers["room"]
    assert (status, room["greetings"]) == (200, 3)


def test_no_two_routes_have_one_path() -> None:
    """A feature's route cannot hide another one."""
    paths = [(route.method, route.path) for route in ROUTES]
    assert len(set(paths)) == len(paths)
    assert {f"/v1/rooms/{{room}}/{route.name}" for feature in FEATURES for route in feature.routes} <= {path for _, path in paths}
