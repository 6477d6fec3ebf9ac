"""The hash chain over a partition's entries: each value covers every byte from the journal's beginning.

`docs/journal.md` says how to compute it.
SHA-256 is in every standard library, and today's processors have instructions for it.
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
    """The value after the entry at `offset`: the hash over the value before, the partition and offset as 8-byte big-endian numbers, and
    the bytes.
    """
    digest = sha256(previous + _place(partition, offset))
    digest.update(body)
    return digest.digest()
