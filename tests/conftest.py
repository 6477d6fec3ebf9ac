"""For all tests: Hypothesis asserts no timings, so that a busy machine fails nothing; in CI it draws the same examples each time.

Whoever runs the tests at home searches on, with new examples every time: a find is a seed to mend, and no reason for an unrelated
change to be held up.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.broker import stop_broker

settings.register_profile("liveroom", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("liveroom"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "liveroom")


def pytest_sessionfinish() -> None:
    """In each process that ran tests: end the broker that it started."""
    stop_broker()
