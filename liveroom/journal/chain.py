"""The hash chain over a partition's entries: each value covers every byte from the journal's beginning.

`docs/journal.md` says how anybody computes it again. SHA-256 is in every standard library, and today's processors have instructions for it.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct

__all__ = ["chain_start", "chained"]

_place = Struct(">QQ").pack


def chain_start(identity: str) -> bytes:
    """The value before the first entry, the same for all partitions of a journal."""
    return sha256(identity.encode()).digest()


def chained(previous: bytes, partition: int, offset: int, body: bytes) -> bytes:
    """The value after the entry at `offset`: over the one before, the place as two 8-byte big-endian numbers, and the entry's bytes."""
    digest = sha256(previous + _place(partition, offset))
    digest.update(body)
    return digest.digest()
