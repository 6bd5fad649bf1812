"""trackio: a dashboard whose logs lie in one folder of the user, TRACKIO_DIR, for all projects together."""

import contextlib
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gpt.logs.log import Log, Position, as_code

PROJECT = "gpt"
REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")  # where trackio would send its logs instead


class TrackioLog(Log):
    """One entry a row, in the project PROJECT. Its run is called after ours and the time when ours began: the folders of runs on this
    machine share one log, and a name may come again. trackio writes from a thread of its own, and warns once where that fails; whether
    all has arrived is checked at the end."""

    name, package = "trackio", "trackio"

    def __init__(self, run: Path, created: float):
        import trackio

        if remote := [name for name in REMOTE if os.environ.get(name)]:
            raise RuntimeError(f"{remote[0]} is set, and a log elsewhere cannot be compared with the run: unset it, and publish the log "
                               f"with `trackio sync --project {PROJECT}`")
        self._trackio = trackio
        self._name = f"{run.name}-{datetime.fromtimestamp(created, UTC):%Y%m%d-%H%M%S-%f}"
        self._writer: Any = None
        self._count = 0  # entries that were written, or were there

    @staticmethod
    def shown_by(root: Path) -> str:
        return f"trackio show --project {PROJECT}"

    def _run(self) -> Any:
        """trackio's run, or None."""
        try:
            return next((run for run in self._trackio.Api().runs(PROJECT) if run.name == self._name), None)
        except ValueError:  # no such project yet
            return None

    def _entries(self) -> list[dict[str, Any]]:
        from trackio.sqlite_storage import SQLiteStorage

        run = self._run()
        return SQLiteStorage.get_logs(PROJECT, self._name, run_id=run.id) if run else []

    def config(self) -> dict[str, Any]:
        run = self._run()
        return {name: value for name, value in ((run.config or {}) if run else {}).items() if not name.startswith("_")}

    def rows(self) -> list[Position]:
        entries = self._entries()
        self._count = len(entries)
        return [(entry["step"], entry["seconds"]) for entry in entries if "attention" not in entry]

    def pictures(self) -> set[int]:
        return {entry["step"] for entry in self._entries() if "attention" in entry}

    def clear(self) -> None:
        self._run().delete()
        self._count = 0

    def begin(self, config: dict[str, Any], anew: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # the command says itself how the log is shown
            self._writer = self._trackio.init(PROJECT, self._name, config=dict(config), embed=False, resume="never" if anew else "must",
                                              auto_log_cpu=False, auto_log_gpu=False)

    def write_row(self, at: Position, numbers: dict[str, float], texts: dict[str, str]) -> None:
        self._add(at, {**numbers, **{name: self._trackio.Markdown(as_code(text)) for name, text in texts.items()}})

    def write_picture(self, at: Position, picture: np.ndarray) -> None:
        self._add(at, {"attention": self._trackio.Image(picture)})

    def _add(self, at: Position, values: dict[str, Any]) -> None:
        step, seconds = at
        self._writer.log({**values, "seconds": seconds}, step=step)
        self._count += 1

    def close(self) -> None:
        """Raises RuntimeError if trackio has lost something."""
        if self._writer is None:
            return
        is_current = self._trackio.context_vars.current_run.get() is self._writer
        with contextlib.redirect_stdout(io.StringIO()):
            (self._trackio if is_current else self._writer).finish()
        arrived = len(self._entries())
        if arrived != self._count:
            raise RuntimeError(f"{self._count - arrived:,} of {self._count:,} entries did not arrive, trackio's own warning says why")
