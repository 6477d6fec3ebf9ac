"""Shares follow from the seed as `docs/fairness.md` says, in any language, and every turn has the same chances."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import mean, pvariance
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liveroom
from liveroom.features.red_envelope import fairness
from liveroom.features.red_envelope.fairness import SEED_BYTES, commitment_of, split
from liveroom.messages.errors import InvariantBroken

PAGE = (Path(liveroom.__file__).parents[1] / "docs" / "fairness.md").read_text(encoding="utf-8")
SEEDS = {"A": "00" * 32, "B": bytes(range(32)).hex()}
ROWS = re.findall(r"^\| ([AB]) \| (\d+) \| (\d+) \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
VECTORS = [(SEEDS[seed], int(total_fen), int(count), how, shares) for seed, total_fen, count, how, shares in ROWS]
#: Draws of a distribution, and how many standard errors its mean may be away. Seeds are fixed: what passes once always does.
DRAWS = 4_000
ERRORS_MAX = 5

seeds = st.binary(min_size=SEED_BYTES, max_size=SEED_BYTES).map(bytes.hex)
Split = Callable[[str, int, int, str], list[int]]


def as_in_the_page(shares: list[int]) -> str:
    """Few shares as they are, many by their hash."""
    if len(shares) <= 10:
        return ", ".join(map(str, shares))
    return f"SHA-256 `{sha256(','.join(map(str, shares)).encode()).hexdigest()}`"


def program(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found.group(1)


def split_of_the_page() -> Split:
    names: dict[str, Any] = {}
    exec(program("python"), names)
    shares_of: Split = names["shares_of"]
    return shares_of


def drawn(total_fen: int, count: int, how: str = "lucky", draws: int = DRAWS) -> list[list[int]]:
    return [split(sha256(b"%d" % number).hexdigest(), total_fen, count, how) for number in range(draws)]


def test_the_page_has_vectors_for_both_splits_and_for_every_size() -> None:
    """One share, as many shares as fen, one fen more, ten thousand shares; lucky and equal."""
    assert len(VECTORS) == 14
    sizes = {(total_fen, count) for _, total_fen, count, _, _ in VECTORS}
    assert sizes >= {(1, 1), (10, 10), (11, 10), (10_000, 10_000), (100_000_000_000, 10_000)}
    assert {how for *_, how, _ in VECTORS} == {"lucky", "equal"}


@pytest.mark.parametrize(("seed", "total_fen", "count", "how", "shares"), VECTORS)
def test_the_pages_vectors_hold(seed: str, total_fen: int, count: int, how: str, shares: str) -> None:
    """The published vectors hold forever: an old envelope's seed must give the same shares."""
    assert as_in_the_page(split(seed, total_fen, count, how)) == shares


def test_the_pages_commitments_hold() -> None:
    """SHA-256 of the seed's bytes, not of its text."""
    for seed in SEEDS.values():
        assert f"`{commitment_of(seed)}`" in PAGE
        assert commitment_of(seed) == sha256(bytes.fromhex(seed)).hexdigest()


@given(seeds, st.integers(1, 60), st.integers(0, 5_000), st.sampled_from(["lucky", "equal"]))
def test_the_pages_python_draws_the_same(seed: str, count: int, more: int, how: str) -> None:
    """The lines that the page gives for checking are the algorithm."""
    assert split_of_the_page()(seed, count + more, count, how) == split(seed, count + more, count, how)


def test_the_pages_javascript_draws_the_same() -> None:
    """So does another language; skipped where there is no Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: install it (Debian: apt-get install nodejs) to run the page's JavaScript")
    asked = json.dumps([[seed, total_fen, count, how] for seed, total_fen, count, how, _ in VECTORS])
    source = f"{program('js')}\nconsole.log(JSON.stringify({asked}.map((one) => sharesOf(...one))));"
    done = subprocess.run([node, "-e", source], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [split(seed, total_fen, count, how) for seed, total_fen, count, how, _ in VECTORS]


@given(seeds, st.integers(1, 300), st.integers(0, 300) | st.integers(0, 10**11 - 300))
@settings(max_examples=300)
def test_lucky_shares_are_at_least_one_fen_and_add_up(seed: str, count: int, more: int) -> None:
    """Whatever the sum, down to one fen a part, and up to the largest there is."""
    shares = split(seed, count + more, count, "lucky")
    assert (len(shares), sum(shares)) == (count, count + more)
    assert min(shares) >= 1


@given(seeds, st.integers(1, 300), st.integers(0, 10_000))
def test_equal_shares_differ_by_a_fen_at_most(seed: str, count: int, more: int) -> None:
    """They add up, too."""
    shares = split(seed, count + more, count, "equal")
    assert (len(shares), sum(shares)) == (count, count + more)
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("how", ["lucky", "equal"])
@pytest.mark.parametrize("count", [1, 2, 3, 10_000])
def test_as_many_fen_as_shares_are_one_each(count: int, how: str) -> None:
    """R = n leaves no choice; R = n + 1 gives one part two; n = 1 takes all."""
    assert split(SEEDS["B"], count, count, how) == [1] * count
    assert sorted(split(SEEDS["B"], count + 1, count, how)) == [1] * (count - 1) + [2]


@pytest.mark.parametrize(("total_fen", "count", "how"), [(0, 1, "lucky"), (9, 10, "lucky"), (10, 0, "lucky"), (10, 2, "other")])
def test_what_cannot_be_split_is_not(total_fen: int, count: int, how: str) -> None:
    """Fewer fen than shares, no shares, or an unknown split is a bug of the caller."""
    with pytest.raises(InvariantBroken):
        split(SEEDS["A"], total_fen, count, how)


@pytest.mark.parametrize(("total_fen", "count", "how"), [(1_000, 10, "lucky"), (14, 10, "lucky"), (11, 8, "equal"), (10_000, 2, "lucky")])
def test_every_turn_has_the_same_chances(total_fen: int, count: int, how: str) -> None:
    """Each turn's mean is R / n within statistical bounds: the first is not favored, the last does not starve; nor is its spread another's."""
    turns = list(zip(*drawn(total_fen, count, how), strict=True))
    spread = mean(pvariance(turn) for turn in turns)
    for turn in turns:
        assert abs(mean(turn) - total_fen / count) < ERRORS_MAX * (spread / DRAWS) ** 0.5
        assert pvariance(turn) == pytest.approx(spread, rel=0.5)


def test_a_share_of_two_is_uniform() -> None:
    """1 to R - 1, each as likely: chi-squared over all values, 99.99 % bound for 9 degrees of freedom."""
    counts = dict.fromkeys(range(1, 11), 0)
    for first, _ in drawn(11, 2):
        counts[first] += 1
    expected = DRAWS / len(counts)
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 33.7


def test_no_share_is_larger_than_its_bound_before_the_shuffle() -> None:
    """A part of m with r fen left is 1 to floor(2r / m) - 1, and both ends occur."""
    seen: set[int] = set()
    for number in range(500):
        left_fen = 100
        shares = fairness._lucky(fairness._words(sha256(b"%d" % number).digest()), left_fen, 10)
        for count, share in zip(range(10, 1, -1), shares, strict=False):
            assert 1 <= share <= 2 * left_fen // count - 1
            left_fen -= share
        seen.add(shares[0])
    assert seen == set(range(1, 20))


def test_the_shuffle_gives_every_order_alike() -> None:
    """All 24 orders of four things, chi-squared, 99.99 % bound for 23 degrees of freedom."""
    counts: dict[tuple[int, ...], int] = {}
    for number in range(DRAWS):
        things = [1, 2, 3, 4]
        fairness._shuffle(fairness._words(sha256(b"%d" % number).digest()), things)
        counts[tuple(things)] = counts.get(tuple(things), 0) + 1
    expected = DRAWS / 24
    assert len(counts) == 24
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 56.5


def test_words_that_would_make_a_value_likelier_are_thrown_away() -> None:
    """2^64 is 1 more than a multiple of 3: the last word of all is not used."""
    assert fairness._below(iter([2**64 - 1, 2**64 - 2]), 3) == (2**64 - 2) % 3
    assert fairness._below(iter([2**64 - 1]), 2) == 1
    assert fairness._below(iter([2**64 - 1, 7]), 2**63 + 1) == 7
    assert fairness._below(iter([9]), 1) == 0


def test_two_seeds_give_two_splits() -> None:
    """Shares depend on the seed, each word of the stream is used once."""
    assert len({tuple(shares) for shares in drawn(1_000, 10, draws=500)}) == 500
    words = fairness._words(bytes(SEED_BYTES))
    assert len({next(words) for _ in range(1_000)}) == 1_000
