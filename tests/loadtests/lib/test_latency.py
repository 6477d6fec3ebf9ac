"""The histogram of latencies."""

from hypothesis import given
from hypothesis import strategies as st

from loadtests.lib.latency import Latency

times = st.lists(st.integers(0, 100_000_000), min_size=1, max_size=200)


@given(times)
def test_percentiles_are_near(values: list[int]) -> None:
    """A percentile is the smallest time that so many did not exceed, off by less than 2 %."""
    latency = Latency()
    for value in values:
        latency.add(value)
    for percent in (50, 99, 100):
        exact = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
        measured = latency.percentile_ms(percent)
        assert measured is not None
        assert exact / 1000 - 0.01 <= measured <= exact / 1000 * 1.02 + 0.01
    assert latency.summary()["max"] == round(max(values) / 1000, 2)


@given(times, times)
def test_histograms_add_up(some: list[int], others: list[int]) -> None:
    """Two histograms merged, one of them over JSON, are that of all times."""
    one, other, both = Latency(), Latency(), Latency()
    for value in some:
        one.add(value)
        both.add(value)
    for value in others:
        other.add(value)
        both.add(value)
    one.merge(Latency.from_plain(other.to_plain()))
    assert one.summary() == both.summary()
    assert one.count == both.count == len(some) + len(others)


def test_nothing_has_no_percentiles() -> None:
    """Without times there is no number, rather than 0."""
    assert Latency().summary() == {"p50": None, "p99": None, "max": None}
