"""The topics of the journal: made when they are missing, checked when they are there."""

from __future__ import annotations

import asyncio
import logging

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidReplicationFactorError, for_code
from msgspec import Struct

from liveroom.config import JournalConfig, KafkaConfig
from liveroom.errors import JournalMismatch, JournalUnavailable
from liveroom.journal.kafka_client import RECORD_BYTES_MAX, Cluster, answered

__all__ = ["Topics", "prepare"]

logger = logging.getLogger(__name__)

HOUR_MS = 3_600_000
SEGMENT_BYTES = 128 * 1024 * 1024
#: What a batch of one record adds to it.
BATCH_OVERHEAD_BYTES = 1_024

#: How often, and after which pause, the settings of a new topic are asked for until they are known.
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
        """All begin with the same prefix."""
        return cls(f"{prefix}.commands", f"{prefix}.events", f"{prefix}.snapshots", f"{prefix}.feed", f"{prefix}.dead-letters")


async def prepare(cluster: Cluster, topics: Topics, journal: JournalConfig, kafka: KafkaConfig) -> None:
    """Make or check the topics.

    Raises: `JournalUnavailable`; `BadConfig` when brokers refuse this process; `JournalMismatch` for another number of
    partitions, a topic that is missing and not to be made, or one whose settings would lose entries.
    """
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
            logger.info("topics were missing and are made", extra={"topics": ", ".join(missing)})  # with a misspelt prefix that is all that is seen
            there = await _partitions(admin, cluster, list(wanted))
        for name, partitions in there.items():
            if partitions != journal.partitions:
                raise JournalMismatch(
                    f"topic {name} has {partitions} partitions, the settings say {journal.partitions} (journal.partitions);"
                    " the number is fixed when the journal is made, since rooms are spread by it"
                )
        await _check(admin, cluster, topics, journal)
    finally:
        await admin.close()


def _wanted(topics: Topics, kafka: KafkaConfig) -> dict[str, dict[str, str]]:
    keep = {"cleanup.policy": "delete"}
    compacted = {"cleanup.policy": "compact", "segment.bytes": str(SEGMENT_BYTES), "min.cleanable.dirty.ratio": "0.2"}
    return {
        topics.commands: keep | {"retention.ms": _retention_ms(kafka.commands_retention_h)},
        topics.events: keep | {"retention.ms": _retention_ms(kafka.events_retention_h)},
        topics.snapshots: compacted,
        topics.feed: keep,
        topics.dead_letters: keep,
    }


def _retention_ms(hours: int) -> str:
    return str(hours * HOUR_MS if hours >= 0 else -1)


async def _create(admin: AIOKafkaAdminClient, cluster: Cluster, wanted: dict[str, dict[str, str]], partitions: int, kafka: KafkaConfig) -> None:
    common = {"max.message.bytes": str(RECORD_BYTES_MAX), "min.insync.replicas": str(kafka.min_insync_replicas)}
    new = [NewTopic(name, partitions, kafka.replication_factor, topic_configs=configs | common) for name, configs in wanted.items()]
    response = await answered(admin.create_topics(new), cluster)
    for name, code, *words in response.topic_errors:
        if code not in (0, _TOPIC_ALREADY_EXISTS):  # another process may have been faster
            setting = f" (kafka.replication_factor = {kafka.replication_factor})" if for_code(code) is InvalidReplicationFactorError else ""
            raise JournalUnavailable(f"topic {name} cannot be made{setting}: {words[0] if words and words[0] else for_code(code).__name__}")


async def _partitions(admin: AIOKafkaAdminClient, cluster: Cluster, names: list[str]) -> dict[str, int]:
    known = set(await answered(admin.list_topics(), cluster)).intersection(names)
    if not known:
        return {}
    return {topic["topic"]: len(topic["partitions"]) for topic in await answered(admin.describe_topics(sorted(known)), cluster)}


async def _check(admin: AIOKafkaAdminClient, cluster: Cluster, topics: Topics, journal: JournalConfig) -> None:
    names = [topics.commands, topics.events, topics.snapshots]
    for name in names:
        _check_topic(name, await _configs(admin, cluster, name), topics, journal)


async def _configs(admin: AIOKafkaAdminClient, cluster: Cluster, name: str) -> dict[str, str]:
    """A topic's settings; brokers know of a new one a moment later than they said that it was made."""
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
