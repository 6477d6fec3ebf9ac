"""The viewer page's money without a browser: what lies on top, what a tap asks for, what an order will cost, what was fair."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.coupon.price import discount_fen
from liveroom.features.red_envelope.fairness import split
from tests.features.coupon.prices import PRICES

HERE = Path(__file__).parent
NODE = shutil.which("node")
FEN_MAX = 100_000_000_000
UNITS_MAX = 1_000

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed: the viewer page's money is tested in Chromium only")

fen = st.integers(0, FEN_MAX) | st.integers(0, 100_000)
amounts = st.builds(CouponTerms, amount_fen=fen.filter(bool), min_spend_fen=fen)
percentages = st.builds(CouponTerms, percent_off=st.integers(1, 100), min_spend_fen=fen, discount_max_fen=fen)
seeds = st.binary(min_size=32, max_size=32).map(bytes.hex)
counts = st.integers(1, 300)
#: The most units that one user may order at the highest price.
spends = st.integers(0, FEN_MAX * UNITS_MAX) | st.integers(0, 100_000)


def test_unit_tests_pass_under_node() -> None:
    """Which envelope lies on top, one command a tap whatever happens to the connection: each rule has its test in deals.test.mjs."""
    done = subprocess.run([str(NODE), "--test", str(HERE / "deals.test.mjs")], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_page_computes_the_prices_that_are_written_down() -> None:
    """The page gets the same results as the room and the ledger, from the same table of cases."""
    computed = _run("price.mjs", [(msgspec.to_builtins(price.terms), price.spend_fen) for price in PRICES])
    assert dict(zip([price.case for price in PRICES], computed, strict=True)) == {price.case: price.discount_fen for price in PRICES}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(amounts | percentages, spends), min_size=50, max_size=200))
def test_a_discount_shown_beforehand_is_the_one_that_the_room_gives(cases: list[tuple[CouponTerms, int]]) -> None:
    """For any terms and any order the page works out the room's own number, to the fen."""
    worked_out = _run("price.mjs", [(msgspec.to_builtins(terms), spend) for terms, spend in cases])
    assert worked_out == [discount_fen(terms, spend) for terms, spend in cases]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(seeds, counts.flatmap(lambda n: st.tuples(st.integers(n, FEN_MAX), st.just(n))), st.sampled_from(["lucky", "equal"])), max_size=20
    )
)
def test_the_browser_draws_the_shares_that_the_room_drew(cases: list[tuple[str, tuple[int, int], Any]]) -> None:
    """From a seed that was told when an envelope was over, the page works out every share in its turn."""
    worked_out = _run("shares.mjs", [(seed, {"total_fen": total, "shares": n, "split": how}) for seed, (total, n), how in cases])
    assert worked_out == [list(split(seed, total, n, how)) for seed, (total, n), how in cases]


def _run(program: str, given: object) -> Any:
    done = subprocess.run([str(NODE), str(HERE / program)], input=json.dumps(given), capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)
