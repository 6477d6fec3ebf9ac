"""The topics of the journal: missing ones are made, existing ones are checked."""

from __future__ import annotations

import asyncio
import logging

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidReplicationFactorError, for_code
from msgspec import Struct

from liveroom.config.schema import JournalConfig, KafkaConfig
from liveroom.journal.kafka.client import RECORD_BYTES_MAX, KafkaCluster, answered
from liveroom.messages.errors import JournalMismatch, JournalUnavailable

__all__ = ["Topics", "prepare"]

logger = logging.getLogger(__name__)

HOUR_MS = 3_600_000
SEGMENT_BYTES = 128 * 1024 * 1024
#: Bytes that a batch of one record adds to it.
BATCH_OVERHEAD_BYTES = 1_024

#: Pause before brokers that were not ready are asked again, and shortest time between two log lines about that.
AGAIN_S = 0.5
TELL_S = 5.0
#: Number of tries for the settings of a new topic, and the pause between them.
KNOWN_TRIES_MAX = 50
KNOWN_AGAIN_S = 0.1

_TOPIC_ALREADY_EXISTS = 36


class Topics(Struct, frozen=True):
    """The topics' names."""

    commands: str
    events: str
    snapshots: str
    feed: str
    dead_letters: str

    @classmethod
    def of(cls, prefix: str) -> Topics:
        """All names begin with the same prefix."""
        return cls(f"{prefix}.commands", f"{prefix}.events", f"{prefix}.snapshots", f"{prefix}.feed", f"{prefix}.dead-letters")


class NotYet(JournalUnavailable):
    """The brokers do not know a topic yet that they have made."""


async def prepare(cluster: KafkaCluster, topics: Topics, journal: JournalConfig, kafka: KafkaConfig) -> None:
    """Make or check the topics.
    Waits for brokers that do not answer or are incomplete (`kafka.start_wait_ms`).

    Raises: `JournalUnavailable`; `BadConfig` when brokers reject this process; `JournalMismatch` for a wrong topic.
    A topic is wrong if it has another number of partitions, is missing and not to be made, or may lose entries.
    """
    clock = asyncio.get_running_loop().time
    deadline, told_s = clock() + kafka.start_wait_ms / 1000, float("-inf")
    while True:
        try:
            return await _prepare(cluster, topics, journal, kafka)
        except JournalUnavailable as error:
            left_s = deadline - clock()
            if left_s <= 0:
                raise
            if clock() - told_s >= TELL_S:
                told_s = clock()
                logger.warning("Kafka is not ready; waiting for it", extra={"reason": str(error), "left_s": round(left_s)})
        await asyncio.sleep(min(AGAIN_S, left_s))


async def _prepare(cluster: KafkaCluster, topics: Topics, journal: JournalConfig, kafka: KafkaConfig) -> None:
    admin = cluster.admin()
    try:
        try:
            await cluster.start(admin)
        except JournalUnavailable as error:
            raise await cluster.explained(error) from None
        wanted = _wanted(topics, kafka)
        there = await _partitions(admin, cluster, list(wanted))
        missing = [name for name in wanted if name not in there]
        if missing:
            if not kafka.create_topics:
                raise JournalMismatch(
                    f"topics are missing, or this user may not describe them: {', '.join(missing)}; make them or set kafka.create_topics"
                )
            await _create(admin, cluster, {name: wanted[name] for name in missing}, journal.partitions, kafka)
            # with a misspelled prefix this line is the only sign
            logger.info("missing topics are made", extra={"topics": ", ".join(missing)})
            there = await _partitions(admin, cluster, list(wanted))
        for name in wanted:
            partitions = len(there.get(name, ()))
            if not partitions or (name in missing and partitions < journal.partitions):
                raise NotYet(f"the brokers know {partitions} of {journal.partitions} partitions of topic {name} so far")
            if partitions != journal.partitions:
                raise JournalMismatch(
                    f"topic {name} has {partitions} partitions, the settings say {journal.partitions} (journal.partitions);"
                    " the number is fixed when the journal is made, since rooms are spread by it"
                )
        for name in (topics.commands, topics.events, topics.snapshots):
            configs = await _configs(admin, cluster, name)
            _check_topic(name, configs, topics, journal)
            _check_loss(name, configs, min(there[name]), topics, kafka)
    finally:
        await admin.close()


def _wanted(topics: Topics, kafka: KafkaConfig) -> dict[str, dict[str, str]]:
    keep = {"cleanup.policy": "delete"}
    compacted = {"cleanup.policy": "compact", "segment.bytes": str(SEGMENT_BYTES), "min.cleanable.dirty.ratio": "0.2"}
    return {
        topics.commands: keep | {"retention.ms": _retention_ms(kafka.commands_retention_h), "retention.bytes": "-1"},
        topics.events: keep | {"retention.ms": _retention_ms(kafka.events_retention_h), "retention.bytes": "-1"},
        topics.snapshots: compacted,
        topics.feed: keep,
        topics.dead_letters: keep,
    }


def _retention_ms(hours: int) -> str:
    return str(hours * HOUR_MS if hours >= 0 else -1)


async def _create(admin: AIOKafkaAdminClient, cluster: KafkaCluster, wanted: dict[str, dict[str, str]], partitions: int, kafka: KafkaConfig) -> None:
    common = {
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "min.insync.replicas": str(kafka.min_insync_replicas),
        "unclean.leader.election.enable": "false",  # independent of the brokers' default
    }
    new = [NewTopic(name, partitions, kafka.replication_factor, topic_configs=configs | common) for name, configs in wanted.items()]
    response = await answered(admin.create_topics(new), cluster)
    for name, code, *words in response.topic_errors:
        if code not in (0, _TOPIC_ALREADY_EXISTS):  # another process may have made it first
            setting = f" (kafka.replication_factor = {kafka.replication_factor})" if for_code(code) is InvalidReplicationFactorError else ""
            raise JournalUnavailable(f"topic {name} cannot be made{setting}: {words[0] if words and words[0] else for_code(code).__name__}")


async def _partitions(admin: AIOKafkaAdminClient, cluster: KafkaCluster, names: list[str]) -> dict[str, list[int]]:
    """For each existing topic, the number of copies of each partition."""
    known = set(await answered(admin.list_topics(), cluster)).intersection(names)
    if not known:
        return {}
    described = await answered(admin.describe_topics(sorted(known)), cluster)
    return {topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]] for topic in described}


async def _configs(admin: AIOKafkaAdminClient, cluster: KafkaCluster, name: str) -> dict[str, str]:
    """A topic's settings. Brokers know a new topic a moment later than they confirm it."""
    code = 0
    for _ in range(KNOWN_TRIES_MAX):
        (response,) = await answered(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)]), cluster)
        ((code, _, _, _, entries),) = response.resources
        if code == 0:
            return {entry[0]: entry[1] for entry in entries}
        await asyncio.sleep(KNOWN_AGAIN_S)
    raise JournalUnavailable(f"the settings of topic {name} cannot be read: {for_code(code).__name__}")


def _check_topic(name: str, configs: dict[str, str], topics: Topics, journal: JournalConfig) -> None:
    needed = journal.record_bytes_max + BATCH_OVERHEAD_BYTES
    if int(configs.get("max.message.bytes") or needed) < needed:
        raise JournalMismatch(
            f"topic {name} takes records up to max.message.bytes={configs['max.message.bytes']}; {needed} are needed (journal.record_bytes_max)"
        )
    compacted = "compact" in (configs.get("cleanup.policy") or "")
    if compacted != (name == topics.snapshots):
        raise JournalMismatch(f"topic {name} has cleanup.policy={configs['cleanup.policy']}; it must be {'delete' if compacted else 'compact'}")


def _check_loss(name: str, configs: dict[str, str], copies: int, topics: Topics, kafka: KafkaConfig) -> None:
    """Refuse a topic of events that may lose some, unless the settings allow it; warn about other topics. Missing answers count as correct."""
    wrong: list[str] = []
    if copies < kafka.replication_factor:
        wrong.append(f"its partitions have {copies} copies, the settings say {kafka.replication_factor} (kafka.replication_factor)")
    if (insync := int(configs.get("min.insync.replicas") or kafka.min_insync_replicas)) < kafka.min_insync_replicas:
        wrong.append(f"min.insync.replicas={insync}, the settings say {kafka.min_insync_replicas} (kafka.min_insync_replicas)")
    if configs.get("unclean.leader.election.enable") == "true" and not kafka.allow_unclean_elections:
        wrong.append("unclean.leader.election.enable=true, the settings do not allow it (kafka.allow_unclean_elections)")
    if name == topics.events:
        kept_ms, wanted_ms = int(configs.get("retention.ms") or -1), int(_retention_ms(kafka.events_retention_h))
        if kept_ms >= 0 and (wanted_ms < 0 or kept_ms < wanted_ms):
            wrong.append(f"retention.ms={kept_ms} deletes events, the settings say {wanted_ms} (kafka.events_retention_h)")
        if (kept_bytes := int(configs.get("retention.bytes") or -1)) >= 0 and wanted_ms < 0:
            wrong.append(f"retention.bytes={kept_bytes} deletes events, the settings keep them forever (kafka.events_retention_h)")
    if not wrong:
        return
    if name == topics.events:
        raise JournalMismatch(f"topic {name} may lose acknowledged outcomes: {'; '.join(wrong)}. Change the topic, or the settings")
    logger.warning("a topic may lose records", extra={"topic": name, "reason": "; ".join(wrong)})
