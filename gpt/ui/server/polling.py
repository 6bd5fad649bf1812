"""How often open pages look, so that many of them together cost training no more than a few."""

import threading
import time

SHORTEST_SECONDS = 0.5  # between two looks of a page that is alone
LOOKS_PER_SECOND = 4  # of all pages together: each takes the server 2.5 ms of a Zen 3 core
FORGOTTEN_AFTER = 40.0  # seconds without a look: the page is closed
MOST_PAGES = 100  # whoever makes up names of pages makes nobody wait longer than for so many


class Pace:
    """Counts the pages that look and tells each how long to wait before it looks again."""

    def __init__(self):
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, page: str) -> float:
        """Seconds until `page`, which looks now, should look again."""
        now = time.monotonic()
        with self._lock:
            self._seen = {name: at for name, at in self._seen.items() if now - at < FORGOTTEN_AFTER}
            if page in self._seen or len(self._seen) < MOST_PAGES:
                self._seen[page] = now
            return max(SHORTEST_SECONDS, len(self._seen) / LOOKS_PER_SECOND)
