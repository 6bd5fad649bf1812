"""How often open pages poll, so that many of them together cost training no more than a few."""

import threading
import time

SHORTEST_SECONDS = 0.5  # between two polls of a page that is alone
POLLS_PER_SECOND = 4  # of all pages together: each takes the server 2.5 ms of a Zen 3 core
FORGOTTEN_AFTER = 40.0  # seconds without a poll: the page is closed
MOST_PAGES = 100  # that are counted: a client that invents page names cannot slow down the others further


class PollingInterval:
    """Counts the pages that poll, and gives each the time to wait before it polls again."""

    def __init__(self):
        self._polled: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, page: str) -> float:
        """Seconds until `page`, which polls now, should poll again."""
        now = time.monotonic()
        with self._lock:
            self._polled = {name: at for name, at in self._polled.items() if now - at < FORGOTTEN_AFTER}
            if page in self._polled or len(self._polled) < MOST_PAGES:
                self._polled[page] = now
            return max(SHORTEST_SECONDS, len(self._polled) / POLLS_PER_SECOND)
