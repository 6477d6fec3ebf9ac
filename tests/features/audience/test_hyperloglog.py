"""The sketch of unique users."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.features.audience import hyperloglog as sketch

HASHES = st.integers(0, 2**53 - 1)


def sketch_of(users: list[int]) -> bytearray:
    registers = bytearray(sketch.REGISTERS)
    sketch.apply(registers, map(sketch.update_of, users))
    return registers


def test_an_update_is_a_register_and_a_rank() -> None:
    """The first 12 bits choose the register, the place of the first 1 in the other 41 is the rank."""
    assert sketch.update_of(0) == 42
    assert sketch.update_of(2**40) == 1
    assert sketch.update_of(2**41) == 64 + 42
    assert sketch.update_of(2**53 - 1) == 4_095 * 64 + 1


def test_nobody_is_estimated_as_nobody() -> None:
    """An empty sketch estimates 0, one user 1."""
    assert sketch.estimate(sketch_of([])) == 0
    assert sketch.estimate(sketch_of([12345])) == 1


@given(st.lists(HASHES, max_size=50), st.lists(HASHES, max_size=50))
def test_only_raising_updates_matter(first: list[int], second: list[int]) -> None:
    """Applying those that raise a register gives the same as applying all, and then none raises it again."""
    registers = sketch_of(first)
    updates = [sketch.update_of(user) for user in second]
    sketch.apply(registers, sketch.raising(registers, updates))
    assert registers == sketch_of(first + second)
    assert sketch.raising(registers, updates) == {}


@given(st.lists(HASHES, min_size=1, max_size=200))
def test_estimates_never_fall(users: list[int]) -> None:
    """More users never make a smaller estimate."""
    estimates = [sketch.estimate(sketch_of(users[:count])) for count in range(0, len(users), 20)]
    assert estimates == sorted(estimates)


@pytest.mark.parametrize("count", [100, 1_000, 4_096, 10_000, 40_000])
def test_the_error_is_as_small_as_theory_says(count: int) -> None:
    """Over 20 crowds the mean error stays below 1.5 % and the largest below 6.5 %: no range of counts is biased."""
    errors = []
    for seed in range(20):
        rng = Random(f"{count}-{seed}")
        errors.append(sketch.estimate(sketch_of([rng.getrandbits(53) for _ in range(count)])) / count - 1)
    assert abs(sum(errors) / len(errors)) < 0.015
    assert max(map(abs, errors)) < 0.065


def test_a_full_sketch_still_estimates() -> None:
    """Every register at its largest rank is as many users as there are hashes, not a division by zero."""
    assert sketch.estimate(bytearray([42]) * sketch.REGISTERS) == 2**53
