"""The disk quota: how much room the runs may take. The page enforces it by itself, and reports what it removed."""

import threading
from datetime import datetime

from gpt.runs.cleanup import make_room, size_of
from gpt.ui.server import model_cache, training_status
from gpt.ui.server.jobs import Jobs
from gpt.words import size

CHECK_SECONDS = 60.0  # between two checks of a page that nobody uses


class DiskQuota:
    """The folder of the runs, and the bytes it may take; 0 is no limit."""

    def __init__(self, jobs: Jobs, limit: int):
        self.jobs, self.limit = jobs, limit
        self._removed = self._trouble = ""
        self._lock = threading.Lock()

    def enforce(self) -> None:
        """If the folder takes too much, remove what runs can do without, but nothing of a run that somebody uses."""
        with self._lock:
            self._trouble = ""
            if not self.limit or size_of(self.jobs.root) <= self.limit:
                return
            try:
                report = make_room(self.jobs.root, self.limit, self.in_use())
            except OSError as error:  # a run went away while the runs were listed, or one may not be read: told, and tried again
                self._trouble = f"Room cannot be made now ({error.strerror})."
                return
            self._trouble = report.trouble()
            if report.freed:
                self._removed = f"{datetime.now():%Y-%m-%d %H:%M}: {report.removed()}"

    def in_use(self) -> set[str]:
        """Runs to leave alone: the one that comes with the project, the one that this page trains, the one on the Train tab, and those
        whose weights were loaded in the last hour."""
        current = training_status.current_run(self.jobs)
        shipped = [training_status.SHIPPED] if training_status.is_shipped(self.jobs, training_status.SHIPPED) else []
        return {*shipped, *model_cache.in_use(self.jobs.root), *([current.name] if current else []),
                *([child] if (child := self.jobs.child()) else [])}

    def report(self, n_runs: int) -> dict[str, str]:
        """Sentences: how much room is taken, what was removed last, and why that is not enough."""
        limit = f"; the limit is {self.limit / 1e9:g} GB" if self.limit else ""
        runs = f"{n_runs} {'run' if n_runs == 1 else 'runs'}"
        return {"taken": f"{runs} in {self.jobs.root.name}, {size(size_of(self.jobs.root))}{limit}.",
                "removed": self._removed, "trouble": self._trouble}
