"""Looking inside: maps that are the model's own, and what can be read from them."""

import numpy as np
import pytest
import torch

from gpt.errors import UserError
from gpt.interpret import attention_maps, induction_score, inspect, position_scores
from gpt.model import GPT2


@pytest.fixture(params=["learned", "rope"])
def model(tiny, request) -> GPT2:
    """A model with larger weights than those it begins with, so that its heads have preferences."""
    model = GPT2({**tiny, "position": request.param}).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    return model


IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])


def test_rows_sum_to_one_and_never_look_ahead(model, tiny):
    maps, _ = attention_maps(model, IDS)
    assert maps.shape == (tiny["n_layers"], 2, tiny["n_heads"], 8, 8)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(maps.shape[:-1]))
    assert (maps.triu(diagonal=1) == 0).all()
    assert (maps >= 0).all()


def test_the_logits_are_the_models_own(model):
    with torch.no_grad():
        torch.testing.assert_close(attention_maps(model, IDS)[1], model(IDS))


def test_maps_are_the_weights_that_each_layer_used(model):
    with torch.no_grad():
        x, maps = model.embed(IDS), attention_maps(model, IDS)[0]
        for block, weights in zip(model.blocks, maps, strict=True):
            torch.testing.assert_close(block.attention.explicit(block.norm1(x))[1], weights)
            x = block(x)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_dropout_does_not_show(tiny, training):
    model = GPT2({**tiny, "dropout_rate": 0.5}).train(training)
    first, second = attention_maps(model, IDS)[0], attention_maps(model, IDS)[0]
    assert torch.equal(first, second)
    assert model.training == training


def test_the_mode_is_restored_after_a_mistake(model):
    model.train()
    with pytest.raises(ValueError, match="9 tokens do not fit"):
        attention_maps(model, torch.zeros(1, 9, dtype=torch.long))
    assert model.training


def test_an_inspection_reads_a_prompt(model, tokenizer):
    found = inspect(model, tokenizer, "green")
    ids = torch.tensor([tokenizer.encode("green")])
    maps, logits = attention_maps(model, ids)
    assert found.tokens == [b"g", b"r", b"e", b"e", b"n"]
    assert found.n_dropped == 0
    np.testing.assert_array_equal(found.maps, maps[:, 0].numpy())
    np.testing.assert_array_equal(found.head(1, 0), maps[1, 0, 0].numpy())
    likeliest = logits[0, -1].softmax(dim=0).topk(8)
    assert [token for token, _ in found.next_tokens] == [tokenizer.token_bytes(i) for i in likeliest.indices.tolist()]
    assert [probability for _, probability in found.next_tokens] == likeliest.values.tolist()


def test_of_a_long_prompt_the_last_tokens_are_read(model, tokenizer):
    found = inspect(model, tokenizer, "green bottles")
    assert b"".join(found.tokens) == b" bottles"
    assert found.n_dropped == 5
    assert b"".join(inspect(model, tokenizer, "green bottles", most_tokens=3).tokens) == b"les"


def test_an_empty_prompt_is_told(model, tokenizer):
    with pytest.raises(UserError, match="the prompt is empty"):
        inspect(model, tokenizer, "")


@pytest.mark.parametrize(("layer", "head"), [(-1, 0), (2, 0), (0, -1), (0, 2)])
def test_a_head_that_is_not_there_is_told(model, tokenizer, layer, head):
    with pytest.raises(UserError, match="layers go from 0 to 1, heads from 0 to 1"):
        inspect(model, tokenizer, "green").head(layer, head)


def scores(weights) -> dict[str, tuple[float, float]]:
    return {score.name: (score.value, score.excess) for score in position_scores(np.array(weights))}


def test_position_scores_by_hand():
    found = scores([[1, 0, 0], [0.25, 0.75, 0], [0.2, 0.5, 0.3]])
    chance = (1 / 2 + 1 / 3) / 2
    assert found["previous token"] == pytest.approx((0.375, (0.375 - chance) / (1 - chance)))
    assert found["first token"] == pytest.approx((0.225, (0.225 - chance) / (1 - chance)))
    assert found["current token"] == pytest.approx((0.525, (0.525 - chance) / (1 - chance)))


def test_uniform_attention_scores_nothing_and_a_pure_head_everything():
    uniform = np.tril(np.ones((6, 6))) / np.arange(1, 7)[:, None]
    assert all(score.excess == pytest.approx(0) for score in position_scores(uniform))
    assert scores(np.eye(6))["current token"] == pytest.approx((1, 1))
    assert scores(np.eye(6, k=-1))["previous token"] == pytest.approx((1, 1))


def test_a_single_token_has_no_scores():
    assert position_scores(np.ones((1, 1))) == []


TWICE = [b"a", b"b", b"c", b"a", b"b", b"c"]


def induction_head(n: int) -> np.ndarray:
    """(2n, 2n) weights of a perfect induction head on n tokens written twice; before the repetition it reads itself."""
    weights = np.eye(2 * n)
    for q in range(n, 2 * n):
        weights[q] = 0
        weights[q, q - n + 1] = 1
    return weights


def test_a_perfect_induction_head_scores_one():
    score = induction_score(induction_head(3), TWICE)
    assert score.value == 1
    assert score.chance == pytest.approx((1 / 4 + 1 / 5 + 1 / 6) / 3)


def test_a_uniform_head_has_no_excess_of_induction():
    uniform = np.tril(np.ones((6, 6))) / np.arange(1, 7)[:, None]
    assert induction_score(uniform, TWICE).excess == pytest.approx(0)


def test_a_sink_head_is_no_induction_head():
    sink = np.zeros((6, 6))
    sink[:, 0] = 1
    assert induction_score(sink, TWICE).value == 0


def test_without_a_repeated_token_there_is_no_induction_to_score():
    assert induction_score(np.eye(3), [b"a", b"b", b"c"]) is None
