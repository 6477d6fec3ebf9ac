"""Every end-to-end test runs on the embedded journal, on Kafka, and with workers. A test of only one of them says so, and why."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.serving import journal_kept_in

KINDS = tuple(os.environ.get("LIVEROOM_TEST_JOURNALS", "embedded,kafka").split(","))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    alone = metafunc.definition.get_closest_marker("journal")
    metafunc.parametrize("journal", alone.args[:1] if alone else KINDS, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def journal(request: pytest.FixtureRequest) -> Iterator[str]:
    """The store of the journal of this test's servers."""
    with journal_kept_in(request.param):
        yield request.param
