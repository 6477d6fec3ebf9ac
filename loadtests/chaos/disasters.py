"""Disasters that can hit a cluster while money flows, each at a moment that its round chooses."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from liveroom.protocol.records import Record
from loadtests.chaos.journal_history import JournalHistory
from loadtests.lib.broker import OwnBrokers
from loadtests.lib.cluster import Cluster

__all__ = ["DISASTERS", "Disaster", "Scene", "Struck"]

#: Time for somebody else to take a partition over and decide.
TAKEOVER_S: Final = 60.0
#: Longest time after another engine decided until the stopped engine wakes up, and the pause of a gateway.
LATER_S: Final = 0.5
STILL_S: Final = 2.0
#: A quiet room's customer asks this long after its engine was stopped: so soon that the engine's last fetch still waits for the command.
JUST_BEFORE_S: Final = 0.02
#: Time for an engine's records in flight to reach the journal.
LANDING_S: Final = 3.0
#: Time for the customer to get an answer after that: from the other engine or, if a check is missing, perhaps from the zombie.
DECIDED_S: Final = 10.0
#: Time for brokers to have caught up with each other.
IN_SYNC_S: Final = 120.0
#: Attempts to have an owner that has written nothing yet.
FRESH_TRIES: Final = 4
FRESH_S: Final = 20.0


class Struck(Struct):
    """A disaster's effect: the victim, and how long each busy partition went without decisions.

    `landed` is set if a zombie's record had to land: true if it did.
    """

    victim: str = ""
    takeover_ms: list[int] = []
    untaken: int = 0
    landed: bool | None = None


class Scene(Struct):
    """Where it happens. `told` is awaited right after a blow, before anything is mended.

    `play` lets a quiet room's customer begin and tells in how many s; `answered` waits until it has an answer, at most so many s.
    """

    cluster: Cluster
    brokers: OwnBrokers | None
    history: JournalHistory
    partitions: list[int]
    rng: random.Random
    told: Callable[[], Awaitable[None]]
    play: Callable[[], Awaitable[float]]
    answered: Callable[[float], Awaitable[None]]
    weakened: str = ""

    @property
    def partition(self) -> int:
        """The one that the blow is aimed at."""
        return self.partitions[0]


class Disaster(Struct, frozen=True):
    """`quiet`: it begins before its one customer does, who has one coupon to claim.

    `own_brokers`: only for so many brokers of ours, or more. `cuts`: viewers may lose their connections; `drains`: a gateway may send them elsewhere.
    """

    strike: Callable[[Scene], Awaitable[Struck]]
    words: str
    quiet: bool = False
    own_brokers: int = 0
    cuts: bool = False
    drains: bool = False


async def _engine_killed(scene: Scene) -> Struck:
    cluster, victim = scene.cluster, scene.history.owner(scene.partition)
    owned = _owned(scene, victim)
    began_ms = _now_ms()
    await cluster.kill(victim)
    await scene.told()
    struck = await _taken_over(scene, victim, owned, began_ms)
    await cluster.start(victim)
    return struck


async def _engine_paused(scene: Scene) -> Struck:
    cluster, victim = scene.cluster, scene.history.owner(scene.partition)
    owned = _owned(scene, victim)
    began_ms = _now_ms()
    cluster.pause(victim)
    try:
        await scene.told()
        struck = await _taken_over(scene, victim, owned, began_ms)
        await asyncio.sleep(scene.rng.random() * LATER_S)
    finally:
        cluster.resume(victim)
    return struck


async def _two_pauses(scene: Scene) -> Struck:
    """An engine is stopped that owns the partition and has written nothing yet; a command comes, which is in its socket by then.

    Another engine takes over and is stopped before it decides. The first one wakes up and decides: its record has to land
    where the other's would be the next. It is killed, and the other one wakes up.
    """
    cluster, history, partition = scene.cluster, scene.history, scene.partition
    first = await _fresh_owner(scene)
    fencing_epoch, second, landed = history.fencing_epoch(partition), "", False
    await asyncio.sleep(await scene.play() - JUST_BEFORE_S)
    cluster.pause(first)
    try:
        if await history.until(lambda: history.owner(partition) != first, TAKEOVER_S):
            second = history.owner(partition)
            cluster.pause(second)
            taken_over = history.fencing_epoch(partition)
            cluster.resume(first)
            landed = await history.until(lambda: _late(scene, fencing_epoch, taken_over), LANDING_S)
    finally:
        await cluster.kill(first)
        if second:
            cluster.resume(second)
    await scene.answered(DECIDED_S)
    await scene.told()
    await cluster.start(first)
    return Struck(f"{first}, {second}", landed=landed)


def _late(scene: Scene, fencing_epoch: int, taken_over: int) -> bool:
    """Whether a record of `fencing_epoch` stands behind the takeover that ended it, and nothing else in between."""
    after = [stored.entry for stored in scene.history.entries(scene.partition, taken_over + 1)]
    return bool(after) and isinstance(after[0], Record) and after[0].fencing_epoch == fencing_epoch


async def _fresh_owner(scene: Scene) -> str:
    """Have the partition change hands until its owner has written nothing yet."""
    cluster, history, partition = scene.cluster, scene.history, scene.partition
    for _ in range(FRESH_TRIES):
        owner, fencing_epoch = history.owner(partition), history.fencing_epoch(partition)
        await cluster.stop(owner)
        await history.until(lambda fencing_epoch=fencing_epoch: history.fencing_epoch(partition) > fencing_epoch, FRESH_S)  # type: ignore[misc]
        await cluster.start(owner)
        await history.settle()
        if history.is_fresh(partition) and history.owner(partition) in cluster.names:
            break
    return history.owner(partition)


async def _rebalance(scene: Scene) -> Struck:
    cluster, history, newcomer = scene.cluster, scene.history, "engine-3"
    await cluster.start(newcomer)
    await scene.told()
    await history.until(lambda: any(history.owner(p) == newcomer for p in range(history.partitions)), STILL_S)
    await asyncio.sleep(scene.rng.random() * LATER_S)
    await cluster.stop(newcomer)
    return Struck(newcomer)


async def _behind(scene: Scene) -> Struck:
    """All engines leave but one whose folds miss the newest records; once it has decided it is killed, and the others come back."""
    cluster, history, partition, newcomer = scene.cluster, scene.history, scene.partition, "engine-3"
    others = [name for name in cluster.names if name.startswith("engine")]
    hows = ",".join(how for how in (scene.weakened, "behind") if how)
    await cluster.start(newcomer, ("-m", "loadtests.chaos.weakened", hows))
    for name in others:
        await cluster.stop(name)
    await history.until(lambda: history.owner(partition) == newcomer, TAKEOVER_S)
    fencing_epoch = history.fencing_epoch(partition)
    await scene.told()
    landed = await history.until(lambda: history.end(partition) > fencing_epoch + 2, LANDING_S)
    await cluster.kill(newcomer)
    for name in others:
        await cluster.start(name)
    return Struck(newcomer, landed=landed)


async def _gateway_killed(scene: Scene) -> Struck:
    victim = scene.rng.choice([name for name in scene.cluster.names if name.startswith("gateway")])
    await scene.cluster.kill(victim)
    await scene.told()
    await asyncio.sleep(scene.rng.random() * LATER_S)
    await scene.cluster.start(victim)
    return Struck(victim)


async def _gateway_paused(scene: Scene) -> Struck:
    victim = scene.rng.choice([name for name in scene.cluster.names if name.startswith("gateway")])
    scene.cluster.pause(victim)
    try:
        await scene.told()
        await asyncio.sleep(scene.rng.random() * STILL_S)
    finally:
        scene.cluster.resume(victim)
    return Struck(victim)


async def _broker_restarted(scene: Scene) -> Struck:
    assert scene.brokers is not None
    await scene.brokers.stop()
    await scene.told()
    await scene.brokers.start()
    return Struck("broker")


async def _broker_killed(scene: Scene) -> Struck:
    assert scene.brokers is not None
    await scene.brokers.kill()
    await scene.told()
    await scene.brokers.start()
    return Struck("broker")


async def _gateways_rolled(scene: Scene) -> Struck:
    """Restart as an upgrade does: one process after the other drains and is started again."""
    gateways = [name for name in scene.cluster.names if name.startswith("gateway")]
    for name in gateways:
        await scene.cluster.stop(name)
        if name == gateways[0]:
            await scene.told()
        await scene.cluster.start(name)
    return Struck(", ".join(gateways))


async def _leader_killed(scene: Scene) -> Struck:
    brokers = _three(scene)
    leader = (await brokers.copies(scene.history.topic, scene.partition)).leader
    await brokers.kill(leader)
    return await _until_in_sync(scene, await _goes_on(scene, f"broker {leader}"), [leader])


async def _leader_paused(scene: Scene) -> Struck:
    return await _paused(scene, (await _three(scene).copies(scene.history.topic, scene.partition)).leader)


async def _follower_paused(scene: Scene) -> Struck:
    return await _paused(scene, scene.rng.choice((await _three(scene).copies(scene.history.topic, scene.partition)).followers))


async def _paused(scene: Scene, broker: int) -> Struck:
    brokers = _three(scene)
    brokers.pause(broker)
    try:
        struck = await _goes_on(scene, f"broker {broker}")
    finally:
        brokers.resume(broker)
    return await _until_in_sync(scene, struck, [])


async def _rolling_restart(scene: Scene) -> Struck:
    brokers = _three(scene)
    for number in brokers.numbers:
        await brokers.stop(number)
        if number == brokers.numbers[0]:
            await scene.told()
        await _until_in_sync(scene, Struck(), [number])
    return Struck("brokers 1 to 3")


def _three(scene: Scene) -> OwnBrokers:
    assert scene.brokers is not None
    return scene.brokers


async def _goes_on(scene: Scene, victim: str) -> Struck:
    """After a blow to a broker: until somebody decides again, within `TAKEOVER_S`."""
    history, partition = scene.history, scene.partition
    end = history.end(partition)
    await scene.told()
    decided = await history.until(lambda: history.end(partition) > end, TAKEOVER_S)
    return Struck(victim, untaken=0 if decided else 1)


async def _until_in_sync(scene: Scene, struck: Struck, away: list[int]) -> Struck:
    """Start the brokers that are away, and wait until the next blow finds all copies whole."""
    brokers = _three(scene)
    for number in away:
        await brokers.start(number)
    async with asyncio.timeout(IN_SYNC_S):
        for partition in range(scene.history.partitions):
            while len((await brokers.copies(scene.history.topic, partition)).in_sync) < brokers.count:  # noqa: ASYNC110 (brokers tell nobody)
                await asyncio.sleep(LATER_S)
    return struck


def _owned(scene: Scene, victim: str) -> dict[int, int]:
    """The busy partitions of the victim, with their fencing epochs."""
    return {partition: scene.history.fencing_epoch(partition) for partition in scene.partitions if scene.history.owner(partition) == victim}


async def _taken_over(scene: Scene, victim: str, owned: dict[int, int], began_ms: int) -> Struck:
    struck, history = Struck(victim), scene.history
    for partition, fencing_epoch in owned.items():
        await history.until(lambda p=partition, e=fencing_epoch: history.decided_ms(p, e) is not None, TAKEOVER_S)  # type: ignore[misc]
        decided_ms = history.decided_ms(partition, fencing_epoch)
        if decided_ms is None:
            struck.untaken += 1
        else:
            struck.takeover_ms.append(decided_ms - began_ms)
    return struck


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


DISASTERS: Final[dict[str, Disaster]] = {
    "engine_killed": Disaster(_engine_killed, "SIGKILL of an engine"),
    "engine_paused": Disaster(_engine_paused, "an engine stands still until another one decides, and wakes up with writes in flight"),
    "two_pauses": Disaster(_two_pauses, "an engine wakes up between another one's takeover and its first decision", quiet=True),
    "behind": Disaster(_behind, "an engine takes over without the newest records"),
    "rebalance": Disaster(_rebalance, "an engine joins and leaves in the middle of a drop"),
    "gateway_killed": Disaster(_gateway_killed, "SIGKILL of a gateway", cuts=True),
    "gateway_paused": Disaster(_gateway_paused, "a gateway stands still"),
    "gateways_rolled": Disaster(_gateways_rolled, "one gateway after the other drains and is started again", cuts=True, drains=True),
    "leader_killed": Disaster(_leader_killed, "SIGKILL of the broker that leads the partition", own_brokers=3),
    "leader_paused": Disaster(_leader_paused, "the broker that leads the partition hangs", own_brokers=3),
    "follower_paused": Disaster(_follower_paused, "a broker that follows the partition hangs", own_brokers=3),
    "rolling_restart": Disaster(_rolling_restart, "one broker after the other is stopped and started", own_brokers=3),
    "broker_restarted": Disaster(_broker_restarted, "all brokers are stopped and started", own_brokers=1),
    "broker_killed": Disaster(_broker_killed, "SIGKILL of all brokers", own_brokers=1),
}
