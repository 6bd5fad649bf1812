"""What was looked at: a prompt in one run's weights, kept for the questions that follow."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpt.data.tokenizer import Tokenizer, token_label
from gpt.errors import UserError
from gpt.interpret import Inspection, inspect, inspect_ids
from gpt.interpret.lens import probability
from gpt.runs.run import Run, find_run
from gpt.ui.charts import maps
from gpt.ui.inspector import film
from gpt.ui.inspector.request import Question
from gpt.ui.server import model_cache
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import text_of
from gpt.visible import visible

MOST_BYTES = 300e6  # of what was looked at last
MOST_MODEL_BYTES = 1e9  # of the models that it was looked at with: playing a run walks through all its snapshots
MOST_TOKENS = 1024  # of a prompt
SAME = 0.005  # a probability told by the same weights differs by less, whichever way it was computed
PATIENCE = 30.0  # seconds that a question waits for those before it
MOST_WAITING = 16  # questions at once: each holds one of the server's forty threads, and the rest of the page needs some too


@dataclass
class Seen:
    """A prompt as one model reads it. `step` is its snapshot's, or None for the best weights; `weights` says so in words."""

    run: Run
    step: int | None
    weights: str
    tokenizer: Tokenizer
    inspection: Inspection

    @property
    def model(self) -> Any:
        return self.inspection.trace.model

    @property
    def nbytes(self) -> int:
        return self.inspection.trace.streams.nbytes + self.cells.nbytes

    @cached_property
    def labels(self) -> list[str]:
        return [token_label(token) for token in self.inspection.tokens]

    @cached_property
    def cells(self) -> np.ndarray:
        """(L, H, size, size): all heads, small."""
        return maps.all_tiles(self.inspection)


class Looks:
    """Looking at prompts, one at a time. What was looked at last is kept by a key, which every later question names."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self._kept: dict[str, Seen] = {}  # the newest last
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    def look(self, run: str, weights: float, prompt: str) -> dict[str, Any]:
        """What the explorer shows of a prompt: all heads, small, and what is expected next."""
        try:
            with self._turn():
                prompt = text_of(prompt, "the prompt")
                key = json.dumps([run, weights, prompt])
                step = model_cache.snapshot_at(self.jobs.root, run, weights)
                seen = self._see(key, run, step, lambda model, tokenizer: inspect(model, tokenizer, prompt, MOST_TOKENS))
                return {"key": key, **shown(seen)}
        except UserError as error:
            return {"error": visible(str(error))}

    def replay(self, run: str, weights: float, asked: Any) -> dict[str, Any]:
        """The same for a step of a text that the run wrote: {"ids": what the model read there, "wrote": the token it chose, "probability":
        what it gave that token, "place": of its weights on the slider}. Ids and no text, since a text need not be cut again into the
        tokens that a model wrote. What every head read at a step is so computed again from the same ids when somebody wants to see
        it, and kept by nobody."""
        try:
            with self._turn():
                ids = Question(asked).wholes("ids", 0, 10_000_000, most=10_000)
                step = model_cache.snapshot_at(self.jobs.root, run, weights)
                key = json.dumps([run, step, ids])
                seen = self._see(key, run, step, lambda model, tokenizer: inspect_ids(model, tokenizer, checked(ids, model)))
                return {"key": key, **shown(seen), "replayed": True, "note": self._about_step(seen, Question(asked))}
        except UserError as error:
            return {"error": visible(str(error))}

    def _about_step(self, seen: Seen, question: Question) -> str:
        """Which step it is that one looks at, and whether its weights are those that wrote."""
        token, before = question.whole("wrote", 0, seen.model.vocab_size - 1), question.number("probability", 0, 1)
        now = probability(seen.inspection.trace, -1, token)
        step = f"The step at which the model wrote {visible(token_label(seen.tokenizer.token_bytes(token)))}"
        if model_cache.snapshot_at(self.jobs.root, seen.run.name, question.number("place", 0, 1e9)) != seen.step:
            return (f"{step}, read by other weights, {seen.weights}: they give it {100 * now:.1f} %; "
                    f"those that wrote gave it {100 * before:.1f} %.")
        if abs(now - before) > SAME:
            return f"{step}, in {seen.weights}, which have changed since: they give it {100 * now:.1f} %; then it was {100 * before:.1f} %."
        return f"{step} ({100 * now:.1f} %), in {seen.weights}. Look returns to the prompt."

    def answering(self, answer: Callable[[Seen, Question], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        """A server function: {"key": what `look` gave, ...} -> what `answer` makes of what was seen there. Who asks about something that
        is no longer kept has to look again."""
        def answered(asked: Any) -> dict[str, Any]:
            try:
                question = Question(asked)
                key = question.text("key", longest=10_000_000)
                with self._turn():
                    if key not in self._kept:
                        raise UserError("what you ask about is not at hand any more: press Look again")
                    return answer(self._kept[key], question)
            except UserError as error:
                return {"error": visible(str(error))}
        return answered

    def load(self, run: str, step: int | None) -> tuple[Any, Tokenizer, str]:
        """Another model for a comparison: (model, tokenizer, words for which weights they are). Raises RunError."""
        return model_cache.load_at(self.jobs.root, run, step)

    def at(self, seen: Seen, step: int | None) -> tuple[str, Seen]:
        """The same tokens in another snapshot of the run, or its best weights (None), and the key it is kept by. Only within an answer: it
        has the turn. Raises RunError."""
        key = json.dumps([seen.run.name, step, seen.inspection.ids])
        return key, self._see(key, seen.run.name, step, lambda model, tokenizer: inspect_ids(model, tokenizer, seen.inspection.ids))

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One look at a time: each uses all cores. Raises UserError if others keep them for too long, or too many wait."""
        if not self._places.acquire(blocking=False):
            raise UserError(f"{MOST_WAITING} questions wait for an answer already: try again in a moment")
        try:
            if not self._lock.acquire(timeout=PATIENCE):
                raise UserError("others look at a large model just now: try again in a moment")
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _see(self, key: str, name: str, step: int | None, read: Callable[[Any, Tokenizer], Inspection]) -> Seen:
        """What is kept under a key, if the weights have not changed since; else a new look."""
        model, tokenizer, words = model_cache.load_at(self.jobs.root, name, step)
        seen = self._kept.pop(key, None)
        if seen is None or seen.model is not model:
            seen = Seen(find_run(self.jobs.root, name), step, words, tokenizer, read(model, tokenizer))
        self._kept[key] = seen
        while len(self._kept) > 1 and self._keeps_too_much():
            self._kept.pop(next(iter(self._kept)))
        return seen

    def _keeps_too_much(self) -> bool:
        models = {id(seen.model): seen.model for seen in self._kept.values()}
        of_models = sum(weights.nbytes for model in models.values() for weights in model.parameters())
        return sum(seen.nbytes for seen in self._kept.values()) > MOST_BYTES or of_models > MOST_MODEL_BYTES


def checked(ids: list[int], model: Any) -> list[int]:
    """Ids as a model may have read them. Raises UserError if it cannot: none, more than its context_length, or not in its vocabulary."""
    if not 1 <= len(ids) <= model.context_length:
        raise UserError(f"the step has {len(ids):,} tokens, and this model reads 1 to {model.context_length:,}: generate the text again")
    if len(ids) > MOST_TOKENS:
        raise UserError(f"the model read {len(ids):,} tokens at this step, and {MOST_TOKENS:,} can be looked at: choose an earlier step")
    if max(ids) >= model.vocab_size:
        raise UserError(f"there is no token {max(ids):,} among the {model.vocab_size:,} of this run: generate the text again")
    return ids


def shown(seen: Seen) -> dict[str, Any]:
    """All heads of what was seen, and its tokens."""
    found = seen.inspection
    note = f"The prompt is longer than what is shown: its last {len(found.tokens)} tokens are read." if found.n_dropped else ""
    return {"note": note, "run": seen.run.name, "weights": seen.weights, "step": seen.step, "film": film.of(seen.run, found.ids),
            "tokens": [visible(label) for label in seen.labels],
            "mosaic": maps.mosaic(seen.cells, len(found.tokens)),
            "next": [[token_label(token), probability] for token, probability in found.next_tokens[:5]]}
