"""Derives a red envelope's shares from its seed, so that anybody can draw them again; `docs/fairness.md` explains it.

Nothing here may ever change: seeds of old envelopes must give the same shares for as long as journals are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from struct import unpack
from typing import Final

from liveroom.messages.errors import InvariantBroken

__all__ = ["BEST_MAX", "SEED_BYTES", "commitment_of", "split"]

SEED_BYTES: Final = 32
#: Most winners that the end of an envelope names, the luckiest first; of equal shares the earlier one comes first.
BEST_MAX: Final = 5
_WORD_VALUES: Final = 1 << 64


def commitment_of(seed: str) -> str:
    """The SHA-256 of the seed's bytes; both in lower-case hexadecimal."""
    return sha256(bytes.fromhex(seed)).hexdigest()


def split(seed: str, total_fen: int, count: int, how: str) -> list[int]:
    """The shares in the order in which they are granted: each at least 1 fen, all of them `total_fen`; `how` is lucky or equal."""
    if how not in ("lucky", "equal"):
        raise InvariantBroken(f"there is no split {how!r}")
    if not 1 <= count <= total_fen:
        raise InvariantBroken("every share is at least 1 fen")
    words = _words(bytes.fromhex(seed))
    shares = _lucky(words, total_fen, count) if how == "lucky" else _equal(total_fen, count)
    _shuffle(words, shares)
    return shares


def _lucky(words: Iterator[int], left_fen: int, count: int) -> list[int]:
    """While n shares are left of R fen: uniform in [1, floor(2R / n) - 1], which leaves at least n - 1; the last takes the rest."""
    shares: list[int] = []
    for left in range(count, 1, -1):
        share = 1 + _below(words, 2 * left_fen // left - 1)
        shares.append(share)
        left_fen -= share
    return [*shares, left_fen]


def _equal(total_fen: int, count: int) -> list[int]:
    """Shares that differ by one fen at most."""
    share, over = divmod(total_fen, count)
    return [share + 1] * over + [share] * (count - over)


def _shuffle(words: Iterator[int], shares: list[int]) -> None:
    """Shuffle in place by Fisher and Yates, from the end."""
    for last in range(len(shares) - 1, 0, -1):
        other = _below(words, last + 1)
        shares[last], shares[other] = shares[other], shares[last]


def _below(words: Iterator[int], bound: int) -> int:
    """A uniform number in [0, bound); words of the last, incomplete run of `bound` values are discarded."""
    fair = _WORD_VALUES - _WORD_VALUES % bound
    for word in words:
        if word < fair:
            return word % bound
    raise AssertionError("the stream of words has no end")


def _words(seed: bytes) -> Iterator[int]:
    """Words of 8 bytes, four from each SHA-256 of the seed and a counter of 8 bytes from 0 on. All big-endian."""
    counter = 0
    while True:
        yield from unpack(">4Q", sha256(seed + counter.to_bytes(8, "big")).digest())
        counter += 1
