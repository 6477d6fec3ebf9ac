"""Names that gave way to standard terms stay away: one word for one thing, one thing for one word."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("liveroom", "docs", "loadtests", "tests")
ENDINGS: Final = (".css", ".html", ".js", ".json", ".md", ".mjs", ".py", ".toml", ".yaml", ".yml")
#: Files of other projects, kept as they are, and this test.
LEFT_OUT: Final = ("tests/deploy/schemas/", "tests/docs/fixtures/", "tests/e2e/npm/", "tests/docs/test_retired_names.py")

#: Retired words -> what to say instead. They are words anywhere: in prose, on the wire, in code, as part of no other name.
WORDS: Final = {
    "courier": "command sender",
    "desk": "command handler",
    "belongings": "entitlements",
    "holdings": "entitlements",
    "parked": "queued",
    "doubt": "mark_incomplete",
    "vouch": "mark_complete",
    "address_mark": "address_hash",
    "address_marks": "address_hashes",
    "hold_marks": "hold_address_hashes",
    "events_passed_over": "skip_offsets",
    "claim_retry_ms": "takeover_retry_ms",
    "foreign_epoch": "foreign_fencing_epoch",
    "engine_epoch": "engine_fencing_epoch",
    "wrong_past": "wrong_after",
    "history_events_max": "replay_events_max",
    "history_bytes_max": "replay_bytes_max",
    "sweep_viewers": "broadcast_batch_size",
    "comeback": "reconnect",
    "wish": "request",
    "wishes": "requests",
    "lasting": "active",
    "left_out": "omitted",
    "what_is_missing": "readiness_reason",
    "tally": "keyed counter",
    "gates": "admission queues",
    "doorkeeper": "handshake handler",
    "hand_over": "state transfer",
    "leisurely": "in the background",
}

#: Retired identifiers of Python -> what to name the thing instead. Some are words of plain English, which prose may use.
IDENTIFIERS: Final = {
    "Answer": "CommandReply",
    "AddressBook": "AddressLimits",
    "AddressMarks": "AddressHasher",
    "Books": "PartitionAudit",
    "Comeback": "Reconnect",
    "Courier": "CommandSender",
    "Desk": "CommandHandler",
    "Doorkeeper": "HandshakeHandler",
    "Feed": "PartitionFollower",
    "Gate": "AdmissionQueue",
    "Gates": "AdmissionQueues",
    "HandOver": "StateTransfer",
    "Handed": "StateChunk",
    "History": "ReplayBuffer",
    "KafkaPast": "KafkaStoredLog",
    "Meter": "TokenBucket",
    "Outcomes": "IdempotencyStore",
    "Past": "EventSpan",
    "Proxies": "TrustedProxies",
    "Story": "RoomTail",
    "Tally": "KeyedCounter",
    "Teller": "ReplyCallback",
    "UnreadAnswers": "UnreadResponses",
    "Visit": "AcceptedHandshake",
    "Voice": "Client",
    "cashier": "payment_simulator",
    "has_room": "has_capacity",
    "heed": "apply",
    "open_past": "open_stored_log",
    "seat": "user_connection",
    "shelf": "stock_view",
    "take_heard": "take_changed",
    "take_room": "reserve_bytes",
    "trail": "frame_audit",
    "venue": "storm_context",
    "weigh": "measure",
}

#: A file and a retired name that it may use -> why.
ALLOWED: Final = {
    ("docs/kafka.md", "desk"): "a product of the example is a desk lamp",
}


@cache
def texts() -> dict[str, str]:
    """The text of each file by its path."""
    paths = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in ENDINGS and "node_modules" not in path.parts)
    named = {path.relative_to(ROOT).as_posix(): path for path in paths}
    return {name: path.read_text(encoding="utf-8") for name, path in named.items() if not name.startswith(LEFT_OUT)}


def words_in(text: str) -> set[str]:
    """The retired words of a text; `epoch` alone is one, and "fencing epoch" is not."""
    found = set(re.findall(rf"(?<!\w)({'|'.join(WORDS)})(?!\w)", text, re.IGNORECASE))
    if re.search(r"(?<!fencing[ _])(?<!leader )(?<!\w)epochs?(?!\w)", text, re.IGNORECASE):
        found.add("epoch")
    return {word.lower() for word in found}


def identifiers_in(text: str) -> set[str]:
    """The retired identifiers that Python code defines, imports or uses."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.alias(name=name):
                found.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                found.add(name)
    return found & IDENTIFIERS.keys()


def uses() -> set[tuple[str, str]]:
    """Each file with each retired name in it, or in its own name."""
    found = {(name, word) for name, text in texts().items() for word in words_in(text)}
    found |= {(name, word) for name in texts() for word in words_in(" ".join(re.split(r"[/.\-]", name)))}
    return found | {(name, one) for name, text in texts().items() if name.endswith(".py") for one in identifiers_in(text)}


def test_no_retired_name_comes_back() -> None:
    """No file uses a retired name, but where the list allows it."""
    instead = WORDS | IDENTIFIERS | {"epoch": "stream id or fencing epoch"}
    back = sorted(f"{path}: {name}, say {instead[name]}" for path, name in uses() - ALLOWED.keys())
    assert back == [], "\n".join(back)


def test_no_allowance_is_left_over() -> None:
    """An allowance that nothing needs leaves the list."""
    assert sorted(ALLOWED.keys() - uses()) == []


def test_retired_names_are_seen() -> None:
    """Words are found in prose, on the wire and in code, but not inside of other names; identifiers only in code."""
    assert words_in('a Courier; {"epoch": 3}, `foreign_epoch`') == {"courier", "epoch", "foreign_epoch"}
    assert words_in("the fencing epoch of desktop wishbones, unixepoch, fencing_epoch") == set()
    assert identifiers_in("def weigh(venue): return Past.seat  # Voice\n'asked'") == {"weigh", "venue", "Past", "seat"}
    assert identifiers_in("from a import Gate\nf(shelf=1)") == {"Gate", "shelf"}


def test_each_class_has_a_name_of_its_own() -> None:
    """No two public classes of the package and the load tests share a name."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path, text in texts().items():
        if path.startswith(("liveroom/", "loadtests/")) and path.endswith(".py"):
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes[node.name].append(path)
    assert len(homes) > 300
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}
