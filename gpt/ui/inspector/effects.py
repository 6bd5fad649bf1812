"""What heads do: they are taken out, and what the model loses without them is told."""

import math
from collections.abc import Collection, Iterable
from typing import Any

from gpt.data.tokenizer import Tokenizer, stream_text, token_label
from gpt.errors import UserError
from gpt.interpret import ablation
from gpt.interpret.ablation import Effect
from gpt.model.sampling import generate_text
from gpt.training.device import enough_memory
from gpt.ui.inspector.inspector import Seen
from gpt.ui.inspector.request import Question
from gpt.visible import visible

REPLACED_BY = ("mean", "zero")  # of what a taken-out head would have said
MOST_SUFFERING, MOST_NEXT = 8, 5  # tokens told
WRITTEN, SHOWN_OF_PROMPT = 40, 16  # tokens of a continuation, and of what stands before it
SAMPLING = {"temperature": 0.8, "seed": 1}
REMEDY = "choose a smaller model"


def effect(seen: Seen, question: Question) -> dict[str, Any]:
    """{"heads": [[layer, head]], "replace", "query"} -> what changes without these heads: the loss on the run's validation text, in a
    sentence, the tokens that suffer, what follows the selected token, and how the prompt goes on."""
    L, H, T = seen.inspection.shape
    heads, replace = question.heads("heads", L, H), question.choice("replace", REPLACED_BY)
    query = question.whole("query", 0, T - 1)
    if not heads:
        raise UserError("no head is chosen: choose at least one to take out")
    with enough_memory(REMEDY):
        windows, means = _tried_on(seen, replace)
        other = ablation.ablated(seen.model, heads, means)
        found = ablation.measure(seen.model, other, windows)
        ids = seen.inspection.trace.ids
        follows = ablation.next_tokens(seen.model, other, ids[:, :query + 1], MOST_NEXT)
        suffering = [[_label(seen, token), change, count] for token, count, change in found.suffering[:MOST_SUFFERING]]
        return {"sentence": in_words(heads, H, replace, found), "suffering": suffering, "after": visible(seen.labels[query]),
                "next": [[_label(seen, token), before, after] for token, before, after in follows], **_written(seen, other)}


def sweep(seen: Seen, question: Question) -> dict[str, Any]:
    """{"layer", "replace"} -> [[change of the loss, its standard error]] for each head of the layer taken out alone, and on how many
    sequences: the page asks for one layer after the other, and may stop at any of them."""
    layer, replace = question.whole("layer", 0, seen.inspection.shape[0] - 1), question.choice("replace", REPLACED_BY)
    with enough_memory(REMEDY):
        windows, means = _tried_on(seen, replace)
        effects = ablation.sweep_layer(seen.model, windows, layer, means)
    return {"changes": [[found.change, _or_none(found.error)] for found in effects], "sequences": len(windows)}


def importance(seen: Seen, _question: Question) -> dict[str, Any]:
    """{} -> the importance of every head by gradient, (L, H)."""
    with enough_memory(REMEDY):
        return {"importance": ablation.importance(seen.model, _tried_on(seen, "zero")[0]).tolist()}


def in_words(heads: Collection[tuple[int, int]], H: int, replace: str, found: Effect) -> str:
    """The change of the loss, beside its standard error."""
    sequences, length = found.before.shape
    begin = f"Without {names_of(heads, H)} (replaced by {'the mean' if replace == 'mean' else 'zero'})"
    text = f"{sequences} sequences" if sequences > 1 else "one sequence, too few for a standard error,"
    where = f"measured on {text} of {length} tokens of the validation text."
    losses, error = f"{found.before.mean():.3f} to {found.after.mean():.3f}", f" ± {found.error:.3f}" if sequences > 1 else ""
    if found.could_be_chance:
        return f"{begin} the loss changes by {found.change:+.3f}{error} nats per token ({losses}), too little to tell from chance; {where}"
    verb = "rises" if found.change >= 0 else "falls"
    return f"{begin} the loss {verb} by {abs(found.change):.3f}{error} nats per token, from {losses}; {where}"


def names_of(heads: Collection[tuple[int, int]], H: int) -> str:
    """Heads in words, a layer at a time: "layer 0 head 1 and all of layer 2"."""
    by_layer = {layer: sorted(head for other, head in set(heads) if other == layer) for layer in sorted({layer for layer, _ in heads})}

    def of_layer(layer: int, which: list[int]) -> str:
        if len(which) == H > 1:
            return f"all of layer {layer}"
        return f"layer {layer} head{'s' if len(which) > 1 else ''} {_listed(map(str, which))}"

    return _listed(of_layer(layer, which) for layer, which in by_layer.items())


def _listed(words: Iterable[str]) -> str:
    """a, b and c."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _tried_on(seen: Seen, replace: str) -> tuple[Any, Any]:
    """The sequences of the run on which heads are tried, and what each head says on average there, or None for zero."""
    windows = ablation.fitting(seen.model, seen.run.probes().windows)
    return windows, ablation.head_means(seen.model, windows[:, :-1]) if replace == "mean" else None


def _written(seen: Seen, other: Any) -> dict[str, Any]:
    """The prompt continued by the model and by another with the same seed: pieces of text, each with whether the tokens differ there."""
    prompted, room = seen.inspection.trace.ids, seen.model.context_length
    ids = prompted[:, -max(room - WRITTEN, -(-room // 2)):]  # a full context would have to be read anew for each token
    how = "The prompt goes on with the same seed ({seed}) at temperature {temperature}; tokens that differ are marked.".format(**SAMPLING)
    if ids.shape[1] < prompted.shape[1]:
        how += f" Both read its last {ids.shape[1]} tokens."
    whole, without = [generate_text(model, ids, WRITTEN, **SAMPLING)[0, ids.shape[1]:].tolist() for model in (seen.model, other)]
    tokens = seen.inspection.tokens
    prompt = "…" * (len(tokens) > SHOWN_OF_PROMPT) + b"".join(tokens[-SHOWN_OF_PROMPT:]).decode("utf-8", errors="replace")
    return {"how": how, "prompt": visible(prompt), "whole": pieces(seen.tokenizer, whole, without),
            "without": pieces(seen.tokenizer, without, whole)}


def pieces(tokenizer: Tokenizer, ids: list[int], others: list[int]) -> list[tuple[str, bool]]:
    """The text of each token, and whether another continuation has another token there."""
    differ = [mine != other for mine, other in zip(ids, others, strict=True)]
    texts = list(stream_text(tokenizer, ids))  # one more than tokens if half a character stands at the end
    return [(visible(text), different) for text, different in zip(texts, [*differ, True], strict=False) if text]


def _label(seen: Seen, token: int) -> str:
    return visible(token_label(seen.tokenizer.token_bytes(token)))


def _or_none(number: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(number) else number
