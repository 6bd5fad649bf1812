"""The short form of `thirty_pages`: memory stays flat and every page is answered; what it costs is told, not asserted."""

from pathlib import Path

import pytest

from tests.benchmarks.watching import polled
from tests.reliability.watching import PAGES, Watched, core_share, hour_of_looks

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory and processor time are read from Linux's /proc")
MOST_GROWTH = 5_000_000  # bytes: what an allocator takes at times; 10 KB kept of every look would be as much


@pytest.fixture(scope="module")
def watched():
    with Watched(seed=1) as watched:
        yield watched


def test_the_memory_of_the_server_stays_flat(watched):
    told = hour_of_looks(watched, looks=500)
    print(told)
    assert told["faults"] == []
    assert told["after"] - told["before"] < MOST_GROWTH


def test_thirty_pages_are_all_answered(watched):
    with polled(watched.url, PAGES) as answers:
        measured = watched.speed(3)
    print(f"the server takes {core_share([measured]):.2%} of all cores with {PAGES} pages")
    assert answers["faults"] == []
    assert answers["looks"] >= PAGES
    assert answers["rows"] > 0
