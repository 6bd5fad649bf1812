"""GPT-2 124M on the page: one choice in the lists of runs, until it is one of them. It is downloaded and read in the background, once for
all who look; a download that breaks off goes on where it was."""

import threading
from typing import Any

from gpt.errors import UserError
from gpt.escape import escaped
from gpt.exchange.importing import import_run
from gpt.exchange.pretrained import PUBLISHED
from gpt.ui.server.jobs import Jobs

NAME = "gpt2"  # of the model, and of its run
CHOICE = "+gpt2"  # in a list of runs: no run can be called so
LABEL = f"GPT-2 124M of OpenAI ({PUBLISHED[NAME][1]} MB to download)"


class Fetching:
    """The one download that the page of `jobs` may have."""

    def __init__(self, jobs: Jobs):
        self._jobs, self.root, self._lock = jobs, jobs.root, threading.Lock()
        self._said = {"state": "idle", "sentence": "", "share": 0.0}

    def choices(self, names: list[str]) -> list[Any]:
        """What a list shows: the runs `names`, and GPT-2 if it can be fetched here. Visitors of a public page cannot have it fetched."""
        offered = self._jobs.access.caps is None and not (self.root / NAME).exists()
        return [*((name, name) for name in names), *([(LABEL, CHOICE)] if offered else [])]

    def begin(self) -> None:
        """Fetch it, unless that is going on already. Raises UserError where this is not for visitors."""
        if self._jobs.access.caps is not None:
            raise UserError("only whoever runs this page can fetch GPT-2: python -m gpt.pretrained --source gpt2")
        with self._lock:
            if self._said["state"] != "working":
                self._said = {"state": "working", "sentence": "GPT-2: asking for its files.", "share": 0.0}
                threading.Thread(target=self._fetch, daemon=True).start()

    def state(self, _sent: Any = None) -> dict[str, Any]:
        """{"state": "idle", "working", "done" or "failed", "sentence", "share": of the work that is done}."""
        return self._said

    def _fetch(self) -> None:
        try:
            import_run(NAME, self.root, NAME, progress=self._say)
        except Exception as error:
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self._said = {"state": "failed", "sentence": escaped(f"GPT-2 is not here: {reason}."), "share": 0.0}
            if not isinstance(error, UserError):
                raise
        else:
            self._said = {"state": "done", "sentence": "GPT-2 is here: run gpt2.", "share": 1.0}

    def _say(self, sentence: str, share: float) -> None:
        self._said = {"state": "working", "sentence": f"GPT-2: {sentence}", "share": share}
