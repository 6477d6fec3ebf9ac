"""A command sent again under the id of a refusal, where the refusal names a time to wait."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

import liveroom.features
import liveroom.rooms
from liveroom.config.schema import Config, EngineConfig, JournalConfig, RoomsConfig
from liveroom.features.chat.messages import SendChat, SetSlowMode
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, ReserveStock
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.features.moderation.messages import BanUser, MuteUser
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition, GrabRedEnvelope
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.base import CommandBase
from liveroom.protocol.records import Sender
from tests.engine.conftest import ANCHOR, VIEWER, Client, Clock, running_engine

ROOM = "demo"
SETTINGS = Config(
    journal=JournalConfig(kind="memory", partitions=1),
    engine=EngineConfig(dedupe_window_ms=86_400_000),
    rooms=RoomsConfig(chat_interval_ms=60_000, chat_burst=2, unpaid_holds_per_user_max=2),
)
#: The last sale, hold and envelope that were made, by name.
Made = dict[str, int]
Step = tuple[Sender, Callable[[Made], CommandBase]]

BETWEEN_MS = 100


class Case(NamedTuple):
    """The commands that come before, and the command that is refused."""

    before: tuple[Step, ...]
    command: Callable[[Made], CommandBase]


def by_anchor(command: CommandBase) -> Step:
    return ANCHOR, lambda made: command


def say(made: Made) -> CommandBase:
    return SendChat("hi")


def grab(made: Made) -> CommandBase:
    return GrabRedEnvelope(made["envelope"])


def reserve(made: Made) -> CommandBase:
    return ReserveStock(made["sale"])


def give_back(made: Made) -> CommandBase:
    return CancelHold(made["hold"])


def sale(stock: int, opens_in_ms: int = 0) -> Step:
    return by_anchor(AnnounceFlashSale("lamp", 9_900, stock, per_user_max=5, opens_in_ms=opens_in_ms, open_for_ms=86_400_000))


CASES: dict[str, Case] = {
    "slow_mode": Case((by_anchor(SetSlowMode(10_000)), (VIEWER, say)), say),
    "rate_limited": Case(((VIEWER, say), (VIEWER, say)), say),
    "muted": Case((by_anchor(MuteUser("vera", 60_000)),), say),
    "banned": Case((by_anchor(BanUser("vera", 60_000)),), say),
    "envelope_not_open": Case((by_anchor(DropRedEnvelope(100, 1, opens_in_ms=5_000)),), grab),
    "condition_not_met": Case((by_anchor(DropRedEnvelope(100, 1, opens_in_ms=0, condition=EnvelopeCondition(watched_s=30))),), grab),
    "sale_not_open": Case((sale(100, opens_in_ms=60_000),), reserve),
    "others_first": Case((sale(1), (VIEWER, reserve), (VIEWER, give_back)), reserve),
    "unpaid_limit": Case((sale(100), (VIEWER, reserve), (VIEWER, reserve)), reserve),
}


def waiting_codes() -> Iterator[str]:
    """The codes of all refusals of the rules that name a time to wait; empty for one that is no constant."""
    for path in (*Path(liveroom.rooms.__file__).parent.glob("*.py"), *Path(liveroom.features.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Refusal":
                continue
            if len(node.args) > 3 or any(keyword.arg == "retry_after_ms" for keyword in node.keywords):
                yield str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else ""


def test_every_refusal_that_names_a_time_is_tried() -> None:
    """One has its code from a variable: that of a sanction."""
    assert sorted(code for code in waiting_codes() if code) == sorted(CASES.keys() - {"muted", "banned"})
    assert sum(not code for code in waiting_codes()) == 1


@pytest.mark.parametrize("code", CASES)
async def test_a_refusal_is_the_outcome_of_its_id(code: str) -> None:
    """The same id gets it again also when the time is over, in the same words. A new id is decided. The refusal's seq shows that."""
    clock, case, made = Clock(), CASES[code], {"sale": -1}
    journal = MemoryJournal(SETTINGS.journal)
    async with running_engine(journal, SETTINGS, clock):
        client = Client(journal)
        await client.accepted(ROOM, OpenRoom("Lamps"))
        await client.accepted(ROOM, AddProduct(Product("lamp", "Table lamp", 19_900)))
        for sender, command in case.before:
            clock.now_ms += BETWEEN_MS
            result = (await client.accepted(ROOM, command(made), sender)).result
            made |= {name: number for name, number in result.items() if name in ("sale", "hold", "envelope") and isinstance(number, int)}
        refused = await client.refused(ROOM, case.command(made), VIEWER, command_id="one")
        assert (refused.code, refused.seq > 0, refused.retry_after_ms > 0) == (code, True, True)
        clock.now_ms += refused.retry_after_ms
        patient = replace(VIEWER, watched_s=30)
        assert await client.refused(ROOM, case.command(made), patient, command_id="one") == refused
        await client.accepted(ROOM, case.command(made), patient, command_id="another")
        await client.close()
