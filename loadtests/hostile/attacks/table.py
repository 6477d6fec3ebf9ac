"""All attacks by name: the function, its process, and its source addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from loadtests.hostile.attacks import connections, floods, money, texts
from loadtests.hostile.attacks.front import Front

__all__ = ["ATTACKS", "Attack"]


class Attack(NamedTuple):
    """`run` goes on until it is cancelled. Attacks of one group share a process; `sources` are the addresses that this one comes from."""

    run: Callable[[Front], Awaitable[None]]
    group: str
    sources: tuple[str, ...]


_CONNECTIONS: Final = "connections", ("127.0.0.2", "127.0.0.3")
_FLOODS: Final = "floods", ("127.0.0.4", "127.0.0.5")
_TEXTS: Final = "texts", ("127.0.0.6", "127.0.0.7")
#: This attack takes everything that one address may have, so it gets an address of its own.
_CROWD: Final = "floods", ("127.0.0.8",)

#: Honest users come from other addresses.
ATTACKS: Final[dict[str, Attack]] = {
    "silent": Attack(connections.silent, *_CONNECTIONS),
    "half_tls": Attack(connections.half_tls, *_CONNECTIONS),
    "half_open": Attack(connections.half_open, *_CONNECTIONS),
    "silent_console": Attack(connections.silent_console, *_CONNECTIONS),
    "churn": Attack(connections.churn, *_CONNECTIONS),
    "many_viewers": Attack(connections.many_viewers, *_CROWD),
    "never_reads": Attack(connections.never_reads, *_FLOODS),
    "frame_flood": Attack(floods.frame_flood, *_FLOODS),
    "http_flood": Attack(floods.http_flood, *_FLOODS),
    "huge_heads": Attack(floods.huge_heads, *_FLOODS),
    "fuzz": Attack(floods.fuzz, *_FLOODS),
    "odd_texts": Attack(texts.odd_texts, *_TEXTS),
    "odd_tokens": Attack(texts.odd_tokens, *_TEXTS),
    "word_lists": Attack(texts.word_lists, *_TEXTS),
    "reserve_and_cancel": Attack(money.reserve_and_cancel, *_TEXTS),
    "short_holds": Attack(money.short_holds, *_TEXTS),
}
