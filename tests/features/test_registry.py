"""The list of features is complete, and each feature says of itself what its package holds."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import fields

import liveroom.features
from liveroom.config.schema import RoomsConfig
from liveroom.features.feature import Feature
from liveroom.features.registry import FEATURES
from liveroom.features.state import RoomState
from liveroom.features.tables import ADMISSIONS, ENTITLEMENTS
from liveroom.messages.base import CommandBase, EventBase
from liveroom.messages.errors import COMMON_REFUSALS
from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import DETAILS, VIEWS, Entitlements, Keyframe, KeyframeCore, Personal, RoomDetail, RoomDetailCore
from liveroom.protocol.refusals import REFUSALS
from liveroom.rooms.state import RULES, encode_state
from tests.features.play import Play

ROOT = Path(liveroom.__file__).parent
PACKAGES = sorted(path.parent.name for path in Path(liveroom.features.__file__).parent.glob("*/feature.py"))


def test_every_package_is_listed_once() -> None:
    """A feature whose package is not in the list would be silent."""
    assert sorted(feature.name for feature in FEATURES) == PACKAGES


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_lists_all_its_messages(feature: Feature) -> None:
    """Each command and event of `messages.py` is in the feature's lists, so the codec reads it."""
    module = importlib.import_module(f"liveroom.features.{feature.name}.messages")
    classes = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
    assert {one for one in classes if issubclass(one, CommandBase)} == set(feature.commands)
    assert {one for one in classes if issubclass(one, EventBase)} == set(feature.events)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_has_rules_for_all_its_messages(feature: Feature) -> None:
    """A command that no rule decides, or an event that no rule folds, would stop the room that it comes to."""
    rules = importlib.import_module(feature.rules).RULES
    assert set(rules.decide) == set(feature.commands)
    assert set(rules.evolve) == set(feature.events)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_reacts_to_events_of_others_alone(feature: Feature) -> None:
    """A feature folds its own events by `evolve`; a reaction to one of them would fold it twice."""
    reactions = importlib.import_module(feature.rules).RULES.react
    assert not set(reactions) & set(feature.events)
    assert set(reactions) <= set(EVENTS.values())


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_names_the_features_that_it_needs(feature: Feature) -> None:
    """Only these does its package import; import-linter says that they form no circle."""
    package = Path(liveroom.features.__file__).parent / feature.name
    imported = {name for path in package.glob("*.py") for name in re.findall(r"\bliveroom\.features\.(\w+)", path.read_text(encoding="utf-8"))}
    assert sorted((imported & set(PACKAGES)) - {feature.name}) == sorted(feature.needs)


def test_a_state_holds_a_part_for_each_feature_that_has_one_and_no_more() -> None:
    """An unused feature costs nothing in a state."""
    play = Play()
    parts = {name for name, rules in RULES.items() if rules.state is not None}
    assert set(type(play.room).__struct_fields__) - set(RoomState.__struct_fields__) == parts
    assert not set(msgspec.json.decode(encode_state(play.room))) & parts


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_folds_entitlements_by_its_own_events_alone(feature: Feature) -> None:
    """An event has one fold of entitlements, so its feature's; only personal events have a frame that can say more."""
    fold = feature.entitlements
    assert (fold is None) == (RULES[feature.name].entitlements is None)
    if fold is not None:
        assert set(fold.changes) <= set(feature.events)
        assert set(fold.additions) <= {event for event in fold.changes if event.delivery is Delivery.personal}
        assert bool(fold.additions) == (fold.added is not None)


def test_no_field_of_entitlements_is_taken_twice() -> None:
    """The frames and chunks have the fields of all features side by side, each with a default."""
    for whole, names in (
        (EntitlementsChunk, [field.name for fold in ENTITLEMENTS for field in fields(fold.rows)]),
        (Entitlements, [field.name for fold in ENTITLEMENTS for field in fields(fold.owned)]),
        (Personal, [field.name for fold in ENTITLEMENTS if fold.added is not None for field in fields(fold.added)]),
    ):
        assert set(names) <= set(whole.__struct_fields__)
        assert len(set(names)) == len(names)
        assert not any(field.required for field in fields(whole) if field.name in names)


def test_no_name_is_taken_twice() -> None:
    """Names of commands and events are the keys of the vocabulary."""
    assert len(COMMANDS) == sum(len(feature.commands) for feature in FEATURES)
    assert len(EVENTS) == sum(len(feature.events) for feature in FEATURES)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_the_commands_of_what_users_own_move_money(feature: Feature) -> None:
    """An outcome that could be displaced would let a retry claim or pay twice. So a feature with scarce units or entitlements marks each command."""
    owned = feature.admission is not None or feature.entitlements is not None
    assert {command.moves_money for command in feature.commands} <= {owned}


def test_no_refusal_code_is_taken_twice() -> None:
    """Each code has one meaning, and the list of all codes has those of every feature."""
    declared = [code for codes in (COMMON_REFUSALS, *(feature.refusals for feature in FEATURES)) for code in codes]
    assert declared == list(REFUSALS)
    assert len(set(declared)) == len(declared)


def test_views_and_admissions_name_fields_of_the_keyframe() -> None:
    """A view or an admission of a field that does not exist would fail in the middle of a room."""
    fields = set(Keyframe.__struct_fields__)
    assert {view.field for view in VIEWS} <= fields
    assert {admission.views for admission in ADMISSIONS} <= fields
    assert all(set(view.events) <= set(EVENTS.values()) for view in (*VIEWS, *DETAILS))


def test_each_field_of_keyframe_and_detail_has_one_fold_and_one_origin() -> None:
    """A field that no rules build stays empty for newcomers; one without a fold stays as it was for everybody else."""
    state, core = Play().room, KeyframeCore.__struct_fields__
    built = [name for rules in RULES.values() if rules.keyframe is not None for name in rules.keyframe(state)]
    built += [fill.field for rules in RULES.values() for fill in rules.fills]
    assert sorted(built) == sorted(view.field for view in VIEWS if view.field not in core)
    assert sorted(Keyframe.__struct_fields__) == sorted({*core, *built})
    assert sorted({*core} - {view.field for view in VIEWS}) == ["room", "seq", "stream_id", "time_ms"], "readers know these without a fold"
    details = [name for rules in RULES.values() if rules.detail is not None for name in rules.detail(state, 0)]
    assert sorted(details) == sorted(view.field for view in DETAILS)
    assert sorted(RoomDetail.__struct_fields__) == sorted({*RoomDetailCore.__struct_fields__, *details})
    assert {view.field for view in VIEWS if view.shown is not None} <= set(details)


def test_an_unused_feature_costs_nothing_in_keyframe_and_detail() -> None:
    """A field with its default value is not sent; a new room has a chat budget and nothing else beside the core."""
    detail = msgspec.json.decode(encode(Play().detail))
    assert set(detail) == {"keyframe"}
    assert set(detail["keyframe"]) - {*KeyframeCore.__struct_fields__, "type"} == {"chat_budget"}
    assert all(set(f.admission.changes) <= set(f.events) and f.admission.command in f.commands for f in FEATURES if f.admission)


def test_every_setting_of_a_feature_is_one_of_the_rooms() -> None:
    """`[rooms]` has the settings of all features with their defaults, and no name twice."""
    sections = [feature.settings for feature in FEATURES if feature.settings is not None]
    assert sorted(path.parent.name for path in Path(liveroom.features.__file__).parent.glob("*/settings.py")) == sorted(
        feature.name for feature in FEATURES if feature.settings is not None
    )
    declared = [(one.name, one.default) for section in sections for one in fields(section)]
    assert [(one.name, one.default) for one in fields(RoomsConfig)] == declared
    assert len(dict(declared)) == len(declared) > 15


@pytest.mark.parametrize("name", [one.name for one in fields(RoomsConfig)])
def test_every_setting_of_a_feature_is_read(name: str) -> None:
    """A setting that no code reads does nothing. A type checker cannot find it, nor a name that is read and not declared."""
    code = [path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py") if path.name != "settings.py"]
    assert any(re.search(rf"\.{name}\b", text) for text in code)
