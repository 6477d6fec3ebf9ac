"""The vocabulary keeps its own rules: complete unions, limits on everything untrusted, delivery classes that make sense."""

from __future__ import annotations

import re

import msgspec
import pytest
from msgspec import inspect

from liveroom.features.chat.messages import ChatSent
from liveroom.messages.base import BACKEND, PLATFORM, VIEWERS, CommandBase, EventBase
from liveroom.messages.fields import Delivery, Role
from liveroom.messages.replies import FrameBase
from liveroom.protocol import frames
from liveroom.protocol.codec import COMMAND_BYTES_MAX, encode
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import FRAMES
from liveroom.protocol.inbound import ClientMessage
from liveroom.protocol.records import Request


def _leaves(base: type) -> set[type]:
    below: list[type] = base.__subclasses__()
    return {leaf for cls in below for leaf in (_leaves(cls) or {cls}) if cls.__module__.startswith("liveroom.")}


@pytest.mark.parametrize(("base", "registry"), [(CommandBase, COMMANDS), (EventBase, EVENTS), (FrameBase, FRAMES)])
def test_no_class_is_forgotten(base: type, registry: dict[str, type]) -> None:
    """Every class of a kind is in its registry, under the name that its own name says."""
    assert set(registry.values()) == _leaves(base)
    for name, cls in registry.items():
        assert name == re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def test_every_frame_is_exported() -> None:
    """Frames that clients may get can be imported from one module."""
    assert {cls.__name__ for cls in FRAMES.values()} <= set(frames.__all__)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_who_may_send_it(name: str) -> None:
    """Roles are declared; a later role has the rights of an earlier one, but staff cannot take offers, which are for viewers."""
    roles = COMMANDS[name].roles
    assert roles <= frozenset(Role)
    if roles >= VIEWERS and Role.anchor not in roles:
        assert roles <= VIEWERS | PLATFORM
        return
    assert roles == BACKEND or Role.platform in roles
    order = list(Role)
    assert roles == frozenset(order[order.index(min(roles, key=order.index)) :]) if roles else True


def _unlimited(info: inspect.Type, path: str) -> list[str]:
    """Paths to texts, lists and integers that have no limit."""
    match info:
        case inspect.Metadata(type=inner):
            return _unlimited(inner, path)
        case inspect.IntType(ge=least, le=most):
            return [path] if least is None or most is None or most > 2**53 - 1 else []
        case inspect.StrType(max_length=most):
            return [path] if most is None else []
        case inspect.VarTupleType(item_type=item, max_length=most):
            return ([path] if most is None else []) + _unlimited(item, f"{path}[]")
        case inspect.StructType(fields=fields):
            return [p for f in fields for p in _unlimited(f.type, f"{path}.{f.encode_name}")]
        case inspect.UnionType(types=types):
            return [p for t in types for p in _unlimited(t, path)]
        case inspect.BoolType() | inspect.EnumType() | inspect.LiteralType() | inspect.NoneType():
            return []
    raise AssertionError(f"{path}: {info} may not stand in what is untrusted")


def test_everything_untrusted_has_limits() -> None:
    """Each text and list of a request has a greatest length, each integer a range that JavaScript can hold."""
    assert _unlimited(inspect.type_info(Request), "request") == []
    assert _unlimited(inspect.type_info(ClientMessage), "message") == []


def _largest(info: inspect.Type) -> int:
    """Bytes of the largest JSON of a type, four to a character."""
    match info:
        case inspect.Metadata(type=inner):
            return _largest(inner)
        case inspect.IntType():
            return 17
        case inspect.BoolType() | inspect.EnumType() | inspect.LiteralType():
            return 12
        case inspect.StrType(max_length=most):
            return 2 + 4 * (most or 0)
        case inspect.VarTupleType(item_type=item, max_length=most):
            return 2 + (most or 0) * (1 + _largest(item))
        case inspect.StructType(tag=tag, fields=fields):
            return 12 + len(str(tag)) + sum(len(f.encode_name) + 4 + _largest(f.type) for f in fields)
    raise AssertionError(info)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_fits_into_a_message(name: str) -> None:
    """The largest command that the limits allow is not larger than a command may be."""
    assert _largest(inspect.type_info(COMMANDS[name])) + 200 <= COMMAND_BYTES_MAX


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_a_delivery_class_that_fits(name: str) -> None:
    """A key belongs to `latest` and names a field; `seq` and `type` are free for the frame; only chat may be lossy."""
    cls = EVENTS[name]
    fields = {field.encode_name for field in msgspec.structs.fields(cls)}
    assert not fields & {"seq", "type"}
    if cls.latest_key:
        assert cls.delivery is Delivery.latest
        assert cls.latest_key in fields
    assert (cls.delivery is Delivery.lossy) == (cls is ChatSent)


def test_a_field_at_its_default_is_left_out() -> None:
    """Small frames: what is absent has its default."""
    assert encode(ChatSent("u", "n", "t")) == b'{"type":"chat_sent","user":"u","name":"n","text":"t"}'


def test_messages_cannot_be_changed() -> None:
    """Classes of the vocabulary are frozen: many stages hold the same object."""
    classes: list[type[msgspec.Struct]] = [*COMMANDS.values(), *EVENTS.values(), *FRAMES.values(), Request]
    for cls in classes:
        assert cls.__struct_config__.frozen
