"""The hash chain: what it is computed from, in words that others can follow."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from liveroom.journal.chain import chain_start, chained


@given(st.text(), st.lists(st.binary(), max_size=5))
def test_anybody_can_compute_it(identity: str, bodies: list[bytes]) -> None:
    """Each value is SHA-256 of the one before, partition and offset as 8 bytes each, and the body."""
    chain = chain_start(identity)
    expected = sha256(identity.encode()).digest()
    for offset, body in enumerate(bodies):
        chain = chained(chain, 3, offset, body)
        expected = sha256(expected + (3).to_bytes(8, "big") + offset.to_bytes(8, "big") + body).digest()
    assert chain == expected
