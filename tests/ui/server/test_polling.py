"""How often pages look."""

import pytest

from gpt.ui.server import polling
from gpt.ui.server.polling import FORGOTTEN_AFTER, MOST_PAGES, POLLS_PER_SECOND, SHORTEST_SECONDS, PollingInterval


@pytest.fixture
def now(monkeypatch):
    """A clock to set."""
    time = [0.0]
    monkeypatch.setattr(polling.time, "monotonic", lambda: time[0])
    return time


def waits(pages: PollingInterval, n: int) -> list[float]:
    return [pages.wait(f"page {i}") for i in range(n)]


def test_a_few_pages_look_as_often_as_one(now):
    few = int(POLLS_PER_SECOND * SHORTEST_SECONDS)
    assert few >= 2
    assert waits(PollingInterval(), few) == [SHORTEST_SECONDS] * few


@pytest.mark.parametrize("n", [10, 30, MOST_PAGES])
def test_many_pages_together_look_no_more_often_than_allowed(now, n):
    pages = PollingInterval()
    waits(pages, n)
    assert sum(1 / seconds for seconds in waits(pages, n)) == pytest.approx(POLLS_PER_SECOND)


def test_closed_pages_are_forgotten(now):
    pages = PollingInterval()
    waits(pages, 30)
    now[0] = FORGOTTEN_AFTER - 1
    assert pages.wait("page 0") == 30 / POLLS_PER_SECOND
    now[0] = FORGOTTEN_AFTER + 1
    assert pages.wait("page 1") == SHORTEST_SECONDS


def test_a_page_is_remembered_for_longer_than_it_ever_waits():
    assert MOST_PAGES / POLLS_PER_SECOND < FORGOTTEN_AFTER


def test_made_up_names_take_no_room(now):
    pages = PollingInterval()
    waits(pages, 10 * MOST_PAGES)
    assert pages.wait("page 0") == MOST_PAGES / POLLS_PER_SECOND
