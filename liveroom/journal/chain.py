"""The hash chain over a partition's entries: each value covers every byte from the journal's beginning.

`docs/journal.md` says how anybody computes it again with standard tools.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["CHAIN_BYTES", "chain_start", "chained"]

CHAIN_BYTES = 32


def chain_start(identity: str) -> bytes:
    """The value before the first entry, the same for all partitions of a journal."""
    return blake2b(identity.encode(), digest_size=CHAIN_BYTES).digest()


def chained(previous: bytes, partition: int, offset: int, body: bytes) -> bytes:
    """The value after the entry at `offset`: over the one before, the place as two 8-byte big-endian numbers, and the entry's bytes."""
    digest = blake2b(previous, digest_size=CHAIN_BYTES)
    digest.update(partition.to_bytes(8, "big") + offset.to_bytes(8, "big"))
    digest.update(body)
    return digest.digest()
