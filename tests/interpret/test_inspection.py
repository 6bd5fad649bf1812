"""Looking inside: maps that are the model's own, and a prompt as it reads it."""

import numpy as np
import pytest
import torch

from gpt.errors import UserError
from gpt.interpret import attention_maps, inspect, inspect_ids, trace
from gpt.model.gpt2 import GPT2
from tests.says import says


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
    with pytest.raises(ValueError, match=says("9 tokens")):
        attention_maps(model, torch.zeros(1, 9, dtype=torch.long))
    assert model.training


def test_a_trace_is_the_residual_stream_and_its_end_is_the_models_output(model, tiny):
    seen = trace(model, IDS)
    assert seen.streams.shape == (tiny["n_layers"] + 1, 2, 8, tiny["emb_dim"])
    with torch.no_grad():
        assert torch.equal(seen.logits(), model(IDS))
        assert torch.equal(seen.streams[0], model.embed(IDS))
        torch.testing.assert_close(model.blocks[1](seen.streams[1]), seen.streams[2])
    assert not seen.streams.requires_grad


def test_attention_in_the_open_is_what_the_layer_adds(model):
    seen = trace(model, IDS)
    for layer, block in enumerate(model.blocks):
        attended = seen.attend(layer)
        torch.testing.assert_close(attended.scores.softmax(dim=-1), attended.weights)
        torch.testing.assert_close(attended.weights @ attended.values, attended.heads)
        with torch.no_grad():
            after = seen.streams[layer] + block.attention.merge_heads(attended.heads)
            torch.testing.assert_close(after + block.feed_forward(block.norm2(after)), seen.streams[layer + 1])


def test_an_inspection_reads_a_prompt(model, tokenizer):
    found = inspect(model, tokenizer, "green")
    ids = torch.tensor([tokenizer.encode("green")])
    maps, logits = attention_maps(model, ids)
    assert found.tokens == [b"g", b"r", b"e", b"e", b"n"]
    assert found.n_dropped == 0
    assert found.shape == (2, 2, 5)
    np.testing.assert_array_equal(found.weights(1), maps[1, 0].numpy())
    np.testing.assert_array_equal(found.head(1, 0), maps[1, 0, 0].numpy())
    likeliest = logits[0, -1].softmax(dim=0).topk(8)
    assert [token for token, _ in found.next_tokens] == [tokenizer.token_bytes(i) for i in likeliest.indices.tolist()]
    assert [probability for _, probability in found.next_tokens] == pytest.approx(likeliest.values.tolist(), abs=1e-6)


def test_tokens_are_read_as_they_are(model, tokenizer):
    ids = tokenizer.encode("green")
    by_ids, by_text = inspect_ids(model, tokenizer, ids), inspect(model, tokenizer, "green")
    assert by_ids.tokens == by_text.tokens
    assert torch.equal(by_ids.trace.streams, by_text.trace.streams)


def test_of_a_long_prompt_the_last_tokens_are_read(model, tokenizer):
    found = inspect(model, tokenizer, "green bottles")
    assert b"".join(found.tokens) == b" bottles"
    assert found.n_dropped == 5
    assert b"".join(inspect(model, tokenizer, "green bottles", most_tokens=3).tokens) == b"les"


def test_an_empty_prompt_is_told(model, tokenizer):
    with pytest.raises(UserError, match=says("prompt", "empty")):
        inspect(model, tokenizer, "")


@pytest.mark.parametrize(("layer", "head"), [(-1, 0), (2, 0), (0, -1), (0, 2)])
def test_a_head_that_is_not_there_is_told(model, tokenizer, layer, head):
    with pytest.raises(UserError, match=says("layers", "heads", "0 to 1")):
        inspect(model, tokenizer, "green").head(layer, head)
