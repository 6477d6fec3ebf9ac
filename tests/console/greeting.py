"""A feature that no file of liveroom knows, for test_feature_routes.py: viewers greet the anchor.

`main` is to run in a process of its own, because this module adds the feature to the list before anything reads the list.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from msgspec import Struct

from liveroom.features import registry
from liveroom.features.feature import Feature, RoomRoute, View
from liveroom.features.views import taken_from
from liveroom.messages.base import EVERYONE, CommandBase, EventBase
from liveroom.messages.fields import Role, Title
from liveroom.messages.settings import Section, setting

__all__ = ["FEATURE", "RULES", "main"]


class Greet(CommandBase, frozen=True, tag="greet"):
    """Greet the anchor."""

    roles = EVERYONE
    results = {"times": "the number of greetings"}
    words: Title
    times: int = 1


class Greeted(EventBase, frozen=True, tag="greeted"):
    """The anchor was greeted; `total` is the number of greetings in the room."""

    words: str
    total: int


class Manners(Struct, frozen=True):
    """The right way to greet."""

    title: str
    whispered: bool
    heard: tuple[str, ...]


class GreetingSettings(Section, frozen=True):
    """Settings of greetings."""

    greetings_max: Annotated[int, setting("Greetings in one command", ge=1, le=9)] = 3


FEATURE = Feature(
    name="greeting",
    rules=__name__,
    commands=(Greet,),
    events=(Greeted,),
    settings=GreetingSettings,
    refusals={"too_friendly": (422, "a greeting is repeated too often")},
    views=(View("greetings", int, 0, (Greeted,), taken_from("total")),),
    details=(View("heard", tuple[str, ...], (), (Greeted,), lambda heard, event, seq, time_ms: (*heard, event.words)),),
    routes=(
        RoomRoute(
            name="manners", summary="What to say", body=Manners, make=lambda view, now_ms: Manners(view.keyframe.title, False, view.details["heard"])
        ),
        RoomRoute(
            name="whispers",
            summary="What to say to the anchor alone",
            body=Manners,
            make=lambda view, now_ms: Manners(view.keyframe.title, True, view.details["heard"]),
            roles=frozenset({Role.anchor}),
        ),
    ),
)
vars(registry)["FEATURES"] = (*registry.FEATURES, FEATURE)

from liveroom.features.decision import Decided, Decision, Refusal, Turn  # noqa: E402
from liveroom.features.ruleset import Rules  # noqa: E402
from liveroom.features.state import RoomState  # noqa: E402


class Greetings(Struct):
    """The words of all greetings."""

    heard: list[str] = []


def of(room: RoomState) -> Greetings:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.greeting or Greetings()


def change(room: RoomState) -> Greetings:
    """The room's part of this feature, to fold an event into it."""
    part: Greetings | None = room.greeting
    if part is None:
        part = room.greeting = Greetings()
    return part


def _greet(turn: Turn, command: Greet) -> Decision:
    if command.times > turn.rules.greetings_max:
        return Refusal("too_friendly", "enough", "times")
    total = len(of(turn.state).heard)
    return Decided(tuple(Greeted(command.words, total + number) for number in range(1, command.times + 1)), {"times": command.times})


def _greeted(state: RoomState, event: Greeted, seq: int, time_ms: int) -> None:
    change(state).heard.append(event.words)


RULES = Rules(
    state=Greetings,
    decide={Greet: _greet},
    evolve={Greeted: _greeted},
    keyframe=lambda state: {"greetings": len(of(state).heard)},
    detail=lambda state, time_ms: {"heard": tuple(of(state).heard)},
)

from liveroom.console.openapi import document  # noqa: E402
from tests.console.live import Live, config_of, serve_all, token  # noqa: E402


async def _ask(live: Live) -> dict[str, Any]:
    anchor, viewer = token("anna", Role.anchor, "r1"), token("vera", Role.viewer, "r1")
    await live.do("open_room", {"title": "Tea"})
    accepted = await live.send("greet", {"words": "hi", "times": 3}, token=viewer)
    refused = await live.send("greet", {"words": "hi", "times": 4}, token=viewer)
    asked = {"accepted": accepted, "refused": refused, "manners": await live.get("/v1/rooms/r1/manners"), "room": await live.get("/v1/rooms/r1")}
    for name, reader in (("whispers", anchor), ("whispers to viewers", viewer)):
        asked[name] = await live.get("/v1/rooms/r1/whispers", token=reader)
    return {name: [answer.status, answer.json] for name, answer in asked.items()}


async def _main() -> dict[str, Any]:
    paths = document()["paths"]
    described = {path: sorted(operations) for path, operations in paths.items() if "greet" in path or "manners" in path or "whispers" in path}
    async with serve_all(config_of()) as live:
        return {"described": described, **await _ask(live)}


def main() -> None:
    """Print the feature's part of the description, and a console's answers, as JSON."""
    print(orjson.dumps(asyncio.run(_main())).decode())
