"""What heads do, as the page asks for it: answers are plain JSON, and questions that make no sense get a sentence."""

import json
import math
import re
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
import torch

from gpt.data.tokenizers.letters import ByteTokenizer
from gpt.interpret import ablation
from gpt.interpret.ablation import Effect, KindEffect
from gpt.model.writing import text_to_token_ids
from gpt.runs.run import find_run, load_run
from gpt.runs.storage import load_tensors, save_tensors
from gpt.ui.inspector.effects import names_of, needed_for, pieces, sentence_about
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs.attention import ANSWERS
from tests.says import says

BEST = 99  # a place at the right end of the slider
PROMPT = "7 green"


class Asking:
    """One thing looked at, and questions about it."""

    def __init__(self, root: Path, run: str = "bottles", weights: float = BEST, prompt: str = PROMPT):
        self.looks = Inspector(Jobs(root))
        self.shown = self.looks.inspect(run, weights, prompt)
        self.model, self.tokenizer = load_run(root / run, None if weights == BEST else find_run(root, run).snapshots()[weights])
        self.windows = find_run(root, run).probes().windows

    def __call__(self, name: str, **question) -> dict:
        """The answer, after a journey as JSON."""
        return json.loads(json.dumps(self.looks.server_function(ANSWERS[name])({**question, "key": self.shown["key"]}), allow_nan=False))

    def effect(self, heads: list, replace: str = "mean", query: int = 0) -> dict:
        return self("effect", heads=heads, replace=replace, query=query)


@pytest.fixture
def asking(root) -> Asking:
    return Asking(root)


@pytest.mark.parametrize("weights", [BEST, 0])
@pytest.mark.parametrize("replace", ["mean", "zero"])
def test_one_head_is_taken_out(root, replace, weights):
    asking = Asking(root, weights=weights)
    answer = asking.effect([[1, 0]], replace, query=2)
    means = ablation.head_means(asking.model, asking.windows[:, :-1]) if replace == "mean" else None
    other = ablation.ablated(asking.model, [(1, 0)], means)
    found = ablation.measure(asking.model, other, asking.windows)
    assert answer["sentence"] == sentence_about([(1, 0)], 2, replace, found)
    worst = found.harder_tokens[0]
    assert answer["harder_tokens"][0][1:] == pytest.approx([worst.change, worst.count], abs=1e-5)
    assert answer["after"] == "g"
    labels = [label for label, _, _ in answer["next"]]
    assert len(set(labels)) == len(labels) >= 5
    expected = ablation.next_tokens(asking.model, other, text_to_token_ids(PROMPT[:3], asking.tokenizer), 5)
    assert [row[1:] for row in answer["next"]] == [pytest.approx(row[1:], abs=1e-5) for row in expected]


def test_the_prompt_goes_on_with_and_without(root, tmp_path):
    own = copytree(root, tmp_path / "own")
    path = find_run(own, "bottles").weights()  # twelve steps teach a head little: it gets louder
    save_tensors(path, {name: 6 * tensor for name, tensor in load_tensors(path)[0].items()})
    asking = Asking(own)
    answer = asking.effect([[0, 0], [0, 1], [1, 0], [1, 1]], "zero")
    whole, without = answer["whole"], answer["without"]
    assert answer["prompt"] == PROMPT
    assert len(whole) == len(without) == 40
    assert "temperature 0.8" in answer["how"]
    for (text, differs), (other, also) in zip(whole, without, strict=True):
        assert differs == also == (text != other)  # a character is a token here
    assert any(differs for _, differs in whole)


def test_on_a_text_whose_kinds_are_known_it_says_what_the_heads_are_needed_for(root, tmp_path):
    own = copytree(root, tmp_path / "own")
    assert Asking(own).effect([[1, 0]])["kinds"] == []  # a text of one's own
    path = find_run(own, "bottles").path / "probes.safetensors"
    tensors, _ = load_tensors(path)
    kinds = torch.arange(tensors["windows"].shape[1]).remainder(2).expand_as(tensors["windows"])
    save_tensors(path, {**tensors, "kinds": kinds.int()}, {"kinds": ["even", "odd"]})
    asking = Asking(own)
    answer = asking.effect([[1, 0]])
    without_head = ablation.ablated(asking.model, [(1, 0)], ablation.head_means(asking.model, asking.windows[:, :-1]))
    effect = ablation.measure(asking.model, without_head, asking.windows)
    changes = effect.after - effect.before
    assert sorted(answer["kinds"]) == [["even", pytest.approx(changes[:, 1::2].mean(), abs=1e-5), changes[:, 1::2].size],
                                       ["odd", pytest.approx(changes[:, ::2].mean(), abs=1e-5), changes[:, ::2].size]]


@pytest.mark.parametrize(("kinds", "said"), [
    ([], ""), ([KindEffect("sum", 9, 4.0), KindEffect("plain words", 500, 0.05)], ""),
    ([KindEffect("refrain again", 90, 1.234), KindEffect("name again", 20, 0.5), KindEffect("plain words", 500, 0.05)],
     "It was needed for refrain again (+1.23 nats per token) and name again (+0.50 nats per token).")])
def test_what_heads_were_needed_for_is_a_sentence(kinds, said):
    assert needed_for(kinds) == said


def test_a_whole_layer_and_several_heads_are_named(asking):
    whole, several = asking.effect([[0, 0], [0, 1]]), asking.effect([[0, 1], [1, 1]], "zero")
    assert whole["sentence"].startswith("Without all of layer 0 (replaced by the mean) the loss ")
    assert several["sentence"].startswith("Without layer 0 head 1 and layer 1 head 1 (replaced by zero) the loss ")


@pytest.mark.parametrize("replace", ["mean", "zero"])
def test_the_sweep_tells_what_single_measurements_tell(asking, replace):
    for layer in range(2):
        answer = asking("sweep", layer=layer, replace=replace)
        assert answer["sequences"] == len(asking.windows)
        means = ablation.head_means(asking.model, asking.windows[:, :-1]) if replace == "mean" else None
        for head, (change, error) in enumerate(answer["changes"]):
            found = ablation.measure(asking.model, ablation.ablated(asking.model, [(layer, head)], means), asking.windows)
            assert (change, error) == (pytest.approx(found.change, abs=1e-5), pytest.approx(found.error, abs=1e-5))


def test_importance_is_told_for_every_head(asking):
    found = asking("importance")["importance"]
    np.testing.assert_allclose(found, ablation.importance(asking.model, asking.windows), rtol=1e-5)
    assert np.shape(found) == (2, 2)


def test_a_prompt_of_one_token(root):
    answer = Asking(root, prompt="7").effect([[0, 0]])
    assert (answer["prompt"], answer["after"]) == ("7", "7")
    assert len(answer["whole"]) == 40


def test_a_prompt_longer_than_the_context_is_read_from_its_end(root):
    answer = Asking(root, prompt="7 green bottles hanging").effect([[0, 0]], query=7)
    assert answer["how"].endswith("Both read its last 4 tokens.")
    assert answer["prompt"] == " hanging"


def test_markup_and_commands_travel_as_text(root):
    answer = Asking(root, run="bytes", prompt="<b>${1+1}</b>\x1b[2J").effect([[0, 0]])
    assert answer["prompt"].endswith("}</b>␛[2J")


@pytest.mark.parametrize(("question", "told"), [
    ({"heads": []}, "no head | at least one"),
    ({"heads": None}, "heads | list"),
    ({"heads": [[0]]}, "heads | list"),
    ({"heads": [[0, 2]]}, "head is 2 | 0 to 1"),
    ({"heads": [[-1, 0]]}, "layer is -1 | 0 to 1"),
    ({"heads": [["0", 0]]}, "layer is 0 | 0 to 1"),
    ({"heads": [[0, 0]] * 5}, "heads | list"),
    ({"replace": "noise"}, "replace is 'noise' | mean, zero"),
    ({"replace": None}, "replace is 'None' | mean, zero"),
    ({"query": 7}, "query is 7 | 0 to 6"),
    ({"query": True}, "query is True | 0 to 6"),
])
def test_an_effect_of_nonsense_is_told(asking, question, told):
    assert re.search(says(told), asking("effect", **{"heads": [[0, 0]], "replace": "mean", "query": 0, **question})["error"])


@pytest.mark.parametrize(("question", "told"), [
    ({"layer": 2, "replace": "mean"}, "layer is 2 | 0 to 1"),
    ({"replace": "mean"}, "layer is None | 0 to 1"),
    ({"layer": 0}, "replace is 'None' | mean, zero"),
])
def test_a_sweep_of_nonsense_is_told(asking, question, told):
    assert re.search(says(told), asking("sweep", **question)["error"])


def test_a_run_without_probes_says_so(root, tmp_path):
    copytree(root, tmp_path / "old", ignore=ignore_patterns("probes.safetensors"))
    asking = Inspector(Jobs(tmp_path / "old"))
    key = asking.inspect("bottles", BEST, PROMPT)["key"]
    questions = {"effect": {"heads": [[0, 0]], "replace": "mean", "query": 0}, "sweep": {"layer": 0, "replace": "zero"}, "importance": {}}
    for name, question in questions.items():
        assert "keeps no text to try them on: train it again" in asking.server_function(ANSWERS[name])({**question, "key": key})["error"]


def effect_of(before: list, after: list) -> Effect:
    return Effect(np.zeros(np.shape(before), dtype=int), np.array(before), np.array(after))


def test_the_change_is_told_in_words():
    told = sentence_about([(2, 1)], 4, "mean", effect_of([[1.0, 1.0], [2.0, 2.0]], [[1.24, 1.24], [2.26, 2.26]]))
    assert told == ("Without layer 2 head 1 (replaced by the mean) the loss rises by 0.250 ± 0.010 nats per token, from 1.500 to 1.750; "
                    "measured on 2 sequences of 2 tokens of the validation text.")
    better = effect_of([[1.24, 1.24], [2.26, 2.26]], [[1.0, 1.0], [2.0, 2.0]])
    assert "the loss falls by 0.250 ± 0.010 nats" in sentence_about([(0, 0)], 4, "zero", better)


def test_a_change_within_its_error_is_not_called_one():
    told = sentence_about([(0, 0)], 4, "mean", effect_of([[1.0], [2.0]], [[1.2], [1.9]]))
    assert "the loss changes by +0.050 ± 0.150 nats per token (1.500 to 1.550), too little to tell from chance" in told
    of_two = effect_of([[1.0], [2.0]], [[1.2], [2.3]])
    assert "changes by +0.250 ± 0.050" in sentence_about([(0, 0)], 4, "mean", of_two)  # five errors are not enough for two sequences


def test_one_sequence_has_no_standard_error(root, tmp_path):
    told = sentence_about([(0, 0)], 4, "mean", effect_of([[1.0, 1.0]], [[1.2, 1.2]]))
    assert "rises by 0.200 nats per token" in told
    assert "one sequence, too few for a standard error, of 2 tokens" in told
    own = copytree(root, tmp_path / "one")
    probes = find_run(own, "bottles").probes()
    save_tensors(own / "bottles" / "probes.safetensors", type(probes)(probes.repeats, probes.windows[:1]).tensors())
    asking = Asking(own)
    assert [error for _, error in asking("sweep", layer=0, replace="mean")["changes"]] == [None, None]
    assert math.isfinite(asking("importance")["importance"][0][0])


def test_heads_are_named_by_layer():
    assert names_of([(1, 2)], 4) == "layer 1 head 2"
    assert names_of([(2, 0), (0, 3), (0, 1), (0, 1)], 4) == "layer 0 heads 1 and 3 and layer 2 head 0"
    assert names_of([(1, head) for head in range(3)] + [(0, 0), (2, 0)], 3) == "layer 0 head 0, all of layer 1 and layer 2 head 0"
    assert names_of([(0, 0)], 1) == "layer 0 head 0"


def test_half_characters_wait_for_the_rest():
    whole, other = list("aü".encode()), list(b"abc")
    assert pieces(ByteTokenizer(), whole, other) == [("a", False), ("ü", True)]
    assert pieces(ByteTokenizer(), whole[:2], list(b"ab")) == [("a", False), ("�", True)]
