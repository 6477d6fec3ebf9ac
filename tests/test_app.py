"""What a process may consist of."""

from __future__ import annotations

import pytest

from liveroom.app import App, instance_name
from liveroom.config import Config, GatewayConfig, JournalConfig, LiveroomConfig
from liveroom.errors import BadConfig
from liveroom.parts import Part


@pytest.mark.parametrize("part", Part)
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_journal_of_one_process_is_not_shared(kind: str, part: Part) -> None:
    """A part alone needs the journal in Kafka; the error names the setting and what to do."""
    with pytest.raises(
        BadConfig, match=rf"journal.kind: {kind} is for one process with all parts \(`liveroom serve`\); several processes need kafka"
    ):
        App(Config(journal=JournalConfig(kind=kind)), {part})  # type: ignore[arg-type]


def test_processes_of_one_machine_have_different_names() -> None:
    """A gateway is named by its port when it has it alone, so that it is known again; otherwise by its process. A name that is set is taken."""
    own, shared = Config(gateway=GatewayConfig(port=8_805)), Config(gateway=GatewayConfig(port=8_805, share_port=True))
    assert instance_name(own, {Part.gateway}).endswith("-8805")
    assert not instance_name(shared, {Part.gateway}).endswith("-8805")
    assert not instance_name(own, {Part.engine}).endswith("-8805")
    assert instance_name(Config(liveroom=LiveroomConfig(instance="gateway-a")), {Part.gateway}) == "gateway-a"
