"""A HyperLogLog sketch of unique users: 4,096 registers, 1.6 % standard error, for any number of users.

A user is a 53-bit hash. Its first 12 bits choose a register; its rank is the place of the first 1 in the
other 41 bits, from 1, or 42 when all are 0. A register holds the largest rank it saw. An *update* is
`register * 64 + rank`. Estimator: Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"
(2017), algorithm 6, which needs no correction tables and no switch to linear counting.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log, sqrt
from typing import Final

__all__ = ["REGISTERS", "apply", "estimate", "raising", "update_of"]

_REGISTER_BITS: Final = 12
_REST_BITS: Final = 53 - _REGISTER_BITS
_RANK_MAX: Final = _REST_BITS + 1
_RANKS: Final = 64
_USERS_MAX: Final = 2**53
REGISTERS: Final = 1 << _REGISTER_BITS


def update_of(user: int) -> int:
    """The update that a user's hash makes."""
    rest = user & ((1 << _REST_BITS) - 1)
    return (user >> _REST_BITS) * _RANKS + _RANK_MAX - rest.bit_length()


def raising(sketch: bytearray, updates: Iterable[int]) -> dict[int, None]:
    """The updates that raise a register, each once, in order."""
    return {update: None for update in updates if update % _RANKS > sketch[update // _RANKS]}


def apply(sketch: bytearray, updates: Iterable[int]) -> None:
    """Raise registers in place."""
    for update in updates:
        register, rank = divmod(update, _RANKS)
        if rank > sketch[register]:
            sketch[register] = rank


def estimate(sketch: bytearray) -> int:
    """About how many users the sketch saw."""
    counts = [sketch.count(rank) for rank in range(_RANK_MAX + 1)]
    total = REGISTERS * _tau(1 - counts[_RANK_MAX] / REGISTERS)
    for rank in range(_REST_BITS, 0, -1):
        total = 0.5 * (total + counts[rank])
    total += REGISTERS * _sigma(counts[0] / REGISTERS)
    return round(REGISTERS * REGISTERS / (2 * log(2) * total)) if total else _USERS_MAX


def _sigma(x: float) -> float:
    if x == 1:
        return float("inf")
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0
    y, z = 1.0, 1 - x
    while True:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3
