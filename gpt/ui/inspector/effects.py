"""What heads do: they are taken out, and what the model loses without them is measured."""

import math
from collections.abc import Collection, Sequence
from typing import Any

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.text import stream_text, token_label
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.interpret import ablation
from gpt.interpret.ablation import Effect, KindEffect
from gpt.interpret.probes import Probes
from gpt.model.sampling import generate_text
from gpt.training.device import enough_memory
from gpt.ui.inspector.inspections import Inspected
from gpt.ui.inspector.request import InspectionRequest
from gpt.words import listed

REPLACED_BY = ("mean", "zero")  # instead of a taken-out head's output
MOST_HARDER_TOKENS, MOST_NEXT = 8, 5  # tokens shown
WRITTEN, SHOWN_OF_PROMPT = 40, 16  # tokens of a continuation, and of what stands before it
SAMPLING = {"temperature": 0.8, "seed": 1}
MUCH_WORSE, FEWEST_OF_A_KIND, MOST_KINDS = 0.1, 10, 3  # nats a token, tokens, and kinds in a sentence
REMEDY = "choose a smaller model"


def effect(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"heads": [[layer, head]], "replace", "query"} -> what changes without these heads: the loss on the run's validation text, in a
    sentence, the tokens that are harder to predict, what follows the selected token, and how the prompt goes on."""
    L, H, T = inspected.inspection.shape
    heads, replace = request.heads("heads", L, H), request.choice("replace", REPLACED_BY)
    query = request.integer("query", 0, T - 1)
    if not heads:
        raise UserError("no head is chosen: choose at least one to take out")
    with enough_memory(REMEDY):
        probes = inspected.run.probes()
        windows, means = windows_and_means(inspected.model, probes, replace)
        without_heads = ablation.ablated(inspected.model, heads, means)
        measured = ablation.measure(inspected.model, without_heads, windows)
        ids = inspected.inspection.trace.ids
        follows = ablation.next_tokens(inspected.model, without_heads, ids[:, :query + 1], MOST_NEXT)
        harder = [[_label(inspected, token), change, count] for token, count, change in measured.harder_tokens[:MOST_HARDER_TOKENS]]
        kinds = kinds_of(inspected.model, probes, measured)
        return {"sentence": " ".join(filter(None, (sentence_about(heads, H, replace, measured), needed_for(kinds)))),
                "harder_tokens": harder, "kinds": [[escaped(kind), change, count] for kind, count, change in kinds],
                "after": escaped(inspected.labels[query]),
                "next": [[_label(inspected, token), before, after] for token, before, after in follows],
                **_written(inspected, without_heads)}


def sweep(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"layer", "replace"} -> [[change of the loss, its standard error]] for each head of the layer taken out alone, and the number
    of sequences. The page requests one layer after the other, and may stop after any of them."""
    layer, replace = request.integer("layer", 0, inspected.inspection.shape[0] - 1), request.choice("replace", REPLACED_BY)
    with enough_memory(REMEDY):
        windows, means = windows_and_means(inspected.model, inspected.run.probes(), replace)
        effects = ablation.sweep_layer(inspected.model, windows, layer, means)
    return {"changes": [[effect.change, or_none(effect.error)] for effect in effects], "sequences": len(windows)}


def importance(inspected: Inspected, _request: InspectionRequest) -> dict[str, Any]:
    """{} -> the importance of every head by gradient, (L, H)."""
    with enough_memory(REMEDY):
        windows, _ = windows_and_means(inspected.model, inspected.run.probes(), "zero")
        return {"importance": ablation.importance(inspected.model, windows).tolist()}


def sentence_about(heads: Collection[tuple[int, int]], H: int, replace: str, effect: Effect) -> str:
    """The change of the loss, beside its standard error."""
    sequences, length = effect.before.shape
    begin = f"Without {names_of(heads, H)} (replaced by {'the mean' if replace == 'mean' else 'zero'})"
    text = f"{sequences} sequences" if sequences > 1 else "one sequence, too few for a standard error,"
    where = f"measured on {text} of {length} tokens of the validation text."
    losses, error = f"{effect.before.mean():.3f} to {effect.after.mean():.3f}", f" ± {effect.error:.3f}" if sequences > 1 else ""
    if effect.could_be_chance:
        return f"{begin} the loss changes by {effect.change:+.3f}{error} nats per token ({losses}), too little to tell from chance; {where}"
    verb = "rises" if effect.change >= 0 else "falls"
    return f"{begin} the loss {verb} by {abs(effect.change):.3f}{error} nats per token, from {losses}; {where}"


def kinds_of(model: Any, probes: Probes, effect: Effect) -> list[KindEffect]:
    """The effect on each kind of token, the largest first; [] where the kinds are not known, as of a text of one's own."""
    return [] if probes.kinds is None else effect.by_kind(ablation.affordable_windows(model, probes.kinds)[:, 1:].numpy(), probes.names)


def needed_for(kinds: Sequence[KindEffect]) -> str:
    """The kinds of token that are predicted much worse, in a sentence; "" if there are none."""
    worse = [effect for effect in kinds if effect.change >= MUCH_WORSE and effect.count >= FEWEST_OF_A_KIND][:MOST_KINDS]
    return f"It was needed for {listed(f'{kind} (+{change:.2f} nats per token)' for kind, _, change in worse)}." if worse else ""


def names_of(heads: Collection[tuple[int, int]], H: int) -> str:
    """Heads in words, a layer at a time: "layer 0 head 1 and all of layer 2"."""
    by_layer = {layer: sorted(head for other, head in set(heads) if other == layer) for layer in sorted({layer for layer, _ in heads})}

    def of_layer(layer: int, heads_in_it: list[int]) -> str:
        if len(heads_in_it) == H > 1:
            return f"all of layer {layer}"
        return f"layer {layer} head{'s' if len(heads_in_it) > 1 else ''} {listed(map(str, heads_in_it))}"

    return listed(of_layer(layer, heads_in_it) for layer, heads_in_it in by_layer.items())


def windows_and_means(model: Any, probes: Probes, replace: str) -> tuple[Any, Any]:
    """The sequences of a run on which heads are tried, and each head's mean output there, or None for zero."""
    windows = ablation.affordable_windows(model, probes.windows)
    return windows, ablation.head_means(model, windows[:, :-1]) if replace == "mean" else None


def _written(inspected: Inspected, without_heads: Any) -> dict[str, Any]:
    """The prompt continued with the same seed by the model and by it without the heads: [(text of a token, whether the tokens differ)]."""
    prompted, room = inspected.inspection.trace.ids, inspected.model.context_length
    ids = prompted[:, -max(room - WRITTEN, -(-room // 2)):]  # a full context would have to be read anew for each token
    explanation = ("The prompt goes on with the same seed ({seed}) at temperature {temperature}; tokens that differ are marked."
                   .format(**SAMPLING))
    if ids.shape[1] < prompted.shape[1]:
        explanation += f" Both read its last {ids.shape[1]} tokens."
    whole, without = [generate_text(model, ids, WRITTEN, **SAMPLING)[0, ids.shape[1]:].tolist()
                      for model in (inspected.model, without_heads)]
    tokens = inspected.inspection.tokens
    prompt = "…" * (len(tokens) > SHOWN_OF_PROMPT) + b"".join(tokens[-SHOWN_OF_PROMPT:]).decode("utf-8", errors="replace")
    return {"how": explanation, "prompt": escaped(prompt), "whole": pieces(inspected.tokenizer, whole, without),
            "without": pieces(inspected.tokenizer, without, whole)}


def pieces(tokenizer: Tokenizer, ids: list[int], others: list[int]) -> list[tuple[str, bool]]:
    """The text of each token, and whether another continuation has another token there."""
    differ = [mine != other for mine, other in zip(ids, others, strict=True)]
    texts = list(stream_text(tokenizer, ids))  # one more than tokens if half a character stands at the end
    return [(escaped(text), different) for text, different in zip(texts, [*differ, True], strict=False) if text]


def _label(inspected: Inspected, token: int) -> str:
    return escaped(token_label(inspected.tokenizer.token_bytes(token)))


def or_none(number: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(number) else number
