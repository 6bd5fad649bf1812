"""The logit lens over a stretch of the prompt, and one prediction as a sum of what each part of the model adds to it."""

from typing import Any

import numpy as np

from gpt.data.tokenizers.text import token_label
from gpt.escape import escaped
from gpt.interpret.attribution import Part, attribute
from gpt.interpret.lens import Lens, expected, following, logit_lens, probability
from gpt.ui.charts import maps
from gpt.ui.inspector.inspections import Inspected
from gpt.ui.inspector.request import InspectionRequest

WIDEST = 40  # positions shown at a time
N_LIKELIEST = 5  # tokens whose prediction can be explained, beside the true next one
COLOURS = ("probability of the likeliest", "rank of the true next token")


def lens(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"query", "most", "colour"} -> a heatmap of layers x positions, at most `most` around the query, and what each cell says:
    [likeliest token, its probability, rank of the true next token, its probability], the last two null where no token follows."""
    L, _, T = inspected.inspection.shape
    query, most = request.integer("query", 0, T - 1), request.integer("most", 1, WIDEST)
    colour = request.choice("colour", COLOURS)
    start = min(max(query - most // 2, 0), max(T - most, 0))
    end = min(start + most, T)
    lens_values = logit_lens(inspected.inspection.trace, start, end)
    names = ["embeddings", *(f"layer {layer}" for layer in range(L))]
    cells = [[[label(inspected, int(lens_values.tokens[row, n])), float(lens_values.probabilities[row, n]), *true_next(lens_values, row, n)]
              for n in range(end - start)] for row in range(L + 1)]
    figure = heatmap(lens_values, colour, names, inspected.labels[start:end], inspected.model.vocab_size)
    return {"figure": figure, "start": start, "rows": names,
            "cells": cells, "following": [escaped(name) for name in inspected.labels[start + 1:end + 1]]}


def true_next(lens_values: Lens, row: int, n: int) -> list[Any]:
    rank = int(lens_values.true_ranks[row, n])
    return [rank, float(lens_values.true_probabilities[row, n])] if rank else [None, None]


def heatmap(lens_values: Lens, colour: str, rows: list[str], labels: list[str], vocab_size: int) -> dict[str, Any]:
    """One row per layer, from the embeddings down to the last layer. Ranks are coloured by their logarithm: equal ratios, equal steps."""
    if colour == COLOURS[0]:
        places, shares, names = lens_values.probabilities, [0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"]
    else:
        ranks = np.where(lens_values.true_ranks, lens_values.true_ranks, np.nan)
        places = 1 - np.log(ranks) / np.log(vocab_size)
        marked = [rank for rank in (1, 10, 100, 1_000, 10_000, 100_000) if rank <= vocab_size]
        shares, names = [float(1 - np.log(rank) / np.log(vocab_size)) for rank in marked], [f"{rank:,}" for rank in marked]
    codes = np.where(np.isnan(places), 0, 1 + np.rint(254 * np.nan_to_num(places))).astype(np.uint8)
    ticks = {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": ""}
    return {
        "data": [{"type": "heatmap", "z": maps.packed(codes), "zmin": 0, "zmax": 255, "colorscale": maps.colour_scale(),
                  "hoverinfo": "none", "xgap": 1, "ygap": 1,
                  "texttemplate": "%{text}", "textfont": {"size": 11, "family": "var(--gpt-mono)"},
                  "colorbar": {"tickvals": [1 + 254 * share for share in shares], "ticktext": names, "thickness": 12, "outlinewidth": 0}}],
        "layout": {
            "plot_bgcolor": maps.ABSENT, "margin": {"b": 8},
            "xaxis": {**ticks, "side": "top", "tickangle": -60, "tickfont": {"family": "var(--gpt-mono)"}},
            "yaxis": {**ticks, "autorange": "reversed", "tickvals": list(range(len(rows))), "ticktext": rows},
            "meta": {"labels": [escaped(name) for name in labels],
                     "description": f"{colour} after each of {len(rows) - 1} layers and the embeddings, at {len(labels)} tokens"},
        },
    }


def attribution(inspected: Inspected, request: InspectionRequest) -> dict[str, Any]:
    """{"query", "token", "against"} -> what each part adds to the logit of a token after the query, and their sum beside the logit.

    `token` is "likeliest", "true" or a token id from the `tokens` of the answer, [id, label, probability, whether it is the true next
    token]; `against` is "mean", "nothing" or such an id.
    """
    trace, T = inspected.inspection.trace, inspected.inspection.shape[2]
    query = request.integer("query", 0, T - 1)
    true = following(trace, query)
    likely = expected(trace, query, N_LIKELIEST)
    if true is not None and true not in dict(likely):
        likely.append((true, probability(trace, query, true)))
    tokens = [[token, label(inspected, token), share, token == true] for token, share in likely]
    numbers = [str(token) for token, *_ in tokens]
    wanted, against = request.choice("token", ["likeliest", "true", *numbers]), request.choice("against", ["mean", "nothing", *numbers])
    token = int(wanted) if wanted in numbers else true if wanted == "true" and true is not None else tokens[0][0]
    if against == "mean":
        attributed, less = attribute(trace, query, token, "mean"), ", less the mean of all logits,"
    elif against == "nothing":
        attributed, less = attribute(trace, query, token), ""
    else:
        attributed, less = attribute(trace, query, token, int(against)), f", less that of {label(inspected, int(against))},"
    logit = f"the model's logit of {label(inspected, token)}{less} is {attributed.logit:.3f}"
    return {"tokens": tokens, "token": token, "parts": [[name_of(part), part.amount, part.layer, part.head] for part in attributed.parts],
            "sentence": f"These {len(attributed.parts)} parts sum to {attributed.total:.3f}; {logit}."}


def name_of(part: Part) -> str:
    where = "" if part.layer is None else f"layer {part.layer} "
    return f"{where}head {part.head}" if part.head is not None else where + part.kind


def label(inspected: Inspected, token: int) -> str:
    return escaped(token_label(inspected.tokenizer.token_bytes(token)))
