"""Inspections of prompts, each with the weights of one run, cached for the requests that follow."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.text import token_label
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.interpret import Inspection, inspect, inspect_ids
from gpt.interpret.lens import probability
from gpt.interpret.mosaic import all_tiles
from gpt.runs.run import Run, find_run
from gpt.ui.charts import maps
from gpt.ui.inspector import film
from gpt.ui.inspector.request import InspectionRequest
from gpt.ui.server import model_cache
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import text_of

MOST_BYTES = 300e6  # of the latest inspections
MOST_MODEL_BYTES = 1e9  # of their models: playing a run walks through all its snapshots
MOST_TOKENS = 1024  # of a prompt
PROBABILITY_TOLERANCE = 0.005  # two probabilities closer than this count as equal: rounding depends on how they were computed
PATIENCE = 30.0  # seconds that a request waits for the requests before it
MOST_WAITING = 16  # requests at once: each holds one of the server's forty threads, and the rest of the page needs some too


@dataclass
class Inspected:
    """One prompt inspected in one model. `step` is the step of its snapshot, None for the best weights; `weights` is that in words."""

    run: Run
    step: int | None
    weights: str
    tokenizer: Tokenizer
    inspection: Inspection
    compared: tuple | None = None  # see compare.comparison_for

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
        return all_tiles(self.inspection)


class Inspector:
    """Inspects prompts, one at a time. The latest inspections are held by a key, which every later request names."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self._cache: dict[str, Inspected] = {}  # the newest last
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    def inspect(self, run: str, weights: float, prompt: str) -> dict[str, Any]:
        """What the explorer shows of a prompt: all heads, small, and what is expected next."""
        try:
            with self.exclusive():
                prompt = text_of(prompt, "the prompt")
                key = json.dumps([run, weights, prompt])
                step = model_cache.snapshot_at(self.jobs.root, run, weights)
                inspected = self._inspect(key, run, step, lambda model, tokenizer: inspect(model, tokenizer, prompt, MOST_TOKENS))
                return {"key": key, "prompt": prompt, **as_json(inspected)}
        except UserError as error:
            return {"error": escaped(str(error))}

    def replay(self, run: str, weights: float, sent: Any) -> dict[str, Any]:
        """The same for one step of a generated text: {"ids": the tokens that the model read, "wrote": the token it chose, "probability": of
        that token, "place": position of its weights on the slider}. The request has ids, not text, since the tokenizer may split the
        text into other tokens than the model wrote. The attention at a step is not stored: it is computed again from the ids on
        request."""
        try:
            with self.exclusive():
                ids = InspectionRequest(sent).integers("ids", 0, 10_000_000, most=10_000)
                step = model_cache.snapshot_at(self.jobs.root, run, weights)
                key = json.dumps([run, step, ids])
                inspected = self._inspect(key, run, step, lambda model, tokenizer: inspect_ids(model, tokenizer, checked_ids(ids, model)))
                return {"key": key, **as_json(inspected), "replayed": True, "note": self._about_step(inspected, InspectionRequest(sent))}
        except UserError as error:
            return {"error": escaped(str(error))}

    def _about_step(self, inspected: Inspected, request: InspectionRequest) -> str:
        """Which step is inspected, and whether its weights are those that wrote."""
        token, before = request.integer("wrote", 0, inspected.model.vocab_size - 1), request.number("probability", 0, 1)
        now = probability(inspected.inspection.trace, -1, token)
        step = f"The step at which the model wrote {escaped(token_label(inspected.tokenizer.token_bytes(token)))}"
        if model_cache.snapshot_at(self.jobs.root, inspected.run.name, request.number("place", 0, 1e9)) != inspected.step:
            return (f"{step}, read by other weights, {inspected.weights}: they give it {100 * now:.1f} %; "
                    f"those that wrote gave it {100 * before:.1f} %.")
        if abs(now - before) > PROBABILITY_TOLERANCE:
            return (f"{step}, in {inspected.weights}, which have changed since: they give it {100 * now:.1f} %; "
                    f"then it was {100 * before:.1f} %.")
        return f"{step} ({100 * now:.1f} %), in {inspected.weights}. Inspect returns to the prompt."

    def server_function(self, answer: Callable[[Inspected, InspectionRequest], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        """A server function: {"key": from `inspect`, ...} -> `answer` for the inspection cached under that key; an error if it is no longer
        cached, since then the user must inspect again."""
        def answered(sent: Any) -> dict[str, Any]:
            try:
                request = InspectionRequest(sent)
                key = request.text("key", longest=10_000_000)
                with self.exclusive():
                    if key not in self._cache:
                        raise UserError("this inspection is no longer held: press Inspect again")
                    return answer(self._cache[key], request)
            except UserError as error:
                return {"error": escaped(str(error))}
        return answered

    def load(self, run: str, step: int | None) -> tuple[Any, Tokenizer, str]:
        """Another model for a comparison: (model, tokenizer, words for which weights they are). Raises RunError."""
        return model_cache.load_at(self.jobs.root, run, step)

    def at_step(self, inspected: Inspected, step: int | None) -> tuple[str, Inspected]:
        """The same tokens in another snapshot of the run, or its best weights (None), and its key in the cache. Call it only while
        answering a request, when the lock is held. Raises RunError."""
        run, ids = inspected.run.name, inspected.inspection.ids
        key = json.dumps([run, step, ids])
        return key, self._inspect(key, run, step, lambda model, tokenizer: inspect_ids(model, tokenizer, ids))

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock: one inspection at a time, since each uses all cores. Raises UserError if the wait is too long or too many wait."""
        if not self._places.acquire(blocking=False):
            raise UserError(f"{MOST_WAITING} requests wait for an answer already: try again in a moment")
        try:
            if not self._lock.acquire(timeout=PATIENCE):
                raise UserError("others inspect a large model just now: try again in a moment")
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _inspect(self, key: str, name: str, step: int | None, read: Callable[[Any, Tokenizer], Inspection]) -> Inspected:
        """The inspection held under a key, if the weights have not changed since; else a new one."""
        model, tokenizer, words = model_cache.load_at(self.jobs.root, name, step)
        inspected = self._cache.pop(key, None)
        if inspected is None or inspected.model is not model:
            inspected = Inspected(find_run(self.jobs.root, name), step, words, tokenizer, read(model, tokenizer))
        self._cache[key] = inspected
        while len(self._cache) > 1 and self._cache_is_full():
            self._cache.pop(next(iter(self._cache)))
        return inspected

    def _cache_is_full(self) -> bool:
        models = {id(inspected.model): inspected.model for inspected in self._cache.values()}
        of_models = sum(weights.nbytes for model in models.values() for weights in model.parameters())
        return sum(inspected.nbytes for inspected in self._cache.values()) > MOST_BYTES or of_models > MOST_MODEL_BYTES


def checked_ids(ids: list[int], model: Any) -> list[int]:
    """Ids as a model may have read them. Raises UserError if it cannot: none, more than its context_length, or not in its vocabulary."""
    if not 1 <= len(ids) <= model.context_length:
        raise UserError(f"the step has {len(ids):,} tokens, and this model reads 1 to {model.context_length:,}: generate the text again")
    if len(ids) > MOST_TOKENS:
        raise UserError(f"the model read {len(ids):,} tokens at this step, and {MOST_TOKENS:,} can be inspected: choose an earlier step")
    if max(ids) >= model.vocab_size:
        raise UserError(f"there is no token {max(ids):,} among the {model.vocab_size:,} of this run: generate the text again")
    return ids


def as_json(inspected: Inspected) -> dict[str, Any]:
    """All heads of an inspection, and its tokens."""
    inspection = inspected.inspection
    note = f"The prompt is longer than what is shown: its last {len(inspection.tokens)} tokens are read." if inspection.n_dropped else ""
    return {"note": note, "run": inspected.run.name, "weights": inspected.weights, "step": inspected.step,
            "film": film.describe(inspected.run, inspection.ids), "tokens": [escaped(label) for label in inspected.labels],
            "mosaic": maps.mosaic(inspected.cells, len(inspection.tokens)),
            "next": [[token_label(token), probability] for token, probability in inspection.next_tokens[:5]]}
