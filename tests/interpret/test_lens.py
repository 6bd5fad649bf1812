"""The logit lens: the last layer says what the model says, and portions change nothing."""

import numpy as np
import pytest
import torch

from gpt.interpret import lens
from gpt.interpret.lens import expected, following, logit_lens
from gpt.interpret.trace import trace
from gpt.model.gpt2 import GPT2

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@pytest.fixture(params=["learned", "rope"])
def model(request, tiny) -> GPT2:
    """A model whose parameters are far from their small beginnings."""
    made = GPT2({**tiny, "position": request.param, "tie_weights": request.param == "learned", "vocab_multiple": 64})
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return made.eval()


@torch.no_grad()
def test_the_last_layer_is_the_models_output_bit_by_bit(model):
    seen = trace(model, IDS)
    output = model(IDS)
    assert torch.equal(seen.logits(), output)
    found, probabilities = logit_lens(seen), output[0].softmax(dim=-1)
    np.testing.assert_array_equal(found.tokens[-1], output[0].argmax(dim=-1))
    np.testing.assert_array_equal(found.probabilities[-1], probabilities.amax(dim=-1))
    np.testing.assert_array_equal(found.true_probabilities[-1, :-1], probabilities[range(7), IDS[0, 1:]])


@torch.no_grad()
def test_every_layer_is_read_by_the_final_norm_and_the_head(model):
    seen = trace(model, IDS)
    found = logit_lens(seen)
    assert found.tokens.shape == (3, 8)
    for row, x in enumerate((model.embed(IDS), model.blocks[0](model.embed(IDS)))):
        weight = (model.head or model.token_embedding).weight[:model.vocab_size]
        logits = model.final_norm(x[0]) @ weight.T
        np.testing.assert_array_equal(found.tokens[row], logits.argmax(dim=-1))
        order = logits.argsort(dim=-1, descending=True)
        for position, true in enumerate(IDS[0, 1:]):
            assert found.true_ranks[row, position] == 1 + order[position].tolist().index(true)


def test_after_the_last_token_none_is_known(model):
    found = logit_lens(trace(model, IDS))
    assert (found.true_ranks[:, -1] == 0).all()
    assert np.isnan(found.true_probabilities[:, -1]).all()
    assert (found.true_ranks[:, :-1] >= 1).all()
    assert not np.isnan(found.true_probabilities[:, :-1]).any()


def test_a_likeliest_true_token_has_rank_1_and_both_probabilities_agree(model):
    with torch.no_grad():
        after = model(IDS[:, :4])[0, -1].argmax().item()
    found = logit_lens(trace(model, torch.tensor([[3, 1, 4, 1, after]])))
    assert found.true_ranks[-1, 3] == 1
    assert found.true_probabilities[-1, 3] == found.probabilities[-1, 3]


@pytest.mark.parametrize(("start", "end"), [(0, None), (3, 5), (6, 100), (0, 1)])
def test_windows_and_portions_change_nothing(model, start, end, monkeypatch):
    seen = trace(model, IDS)
    whole = logit_lens(seen)
    sizes = []
    unembed = model.unembed
    monkeypatch.setattr(model, "unembed", lambda x: sizes.append(len(x)) or unembed(x))
    monkeypatch.setattr(lens, "LOGITS_AT_ONCE", 3 * model.vocab_size)
    part = logit_lens(seen, start, end)
    assert max(sizes) <= 3
    np.testing.assert_array_equal(part.tokens, whole.tokens[:, start:end])
    np.testing.assert_array_equal(part.true_ranks, whole.true_ranks[:, start:end])
    np.testing.assert_allclose(part.probabilities, whole.probabilities[:, start:end], rtol=1e-5)
    np.testing.assert_allclose(part.true_probabilities, whole.true_probabilities[:, start:end], rtol=1e-5)


def test_padding_rows_of_the_head_are_never_told(model):
    padding = (model.head or model.token_embedding).weight
    padding.data[model.vocab_size:] = 100 * padding.data[:1]
    assert logit_lens(trace(model, IDS)).tokens.max() < model.vocab_size


def test_what_is_expected_and_what_follows(model):
    seen = trace(model, IDS)
    found = expected(seen, 2, 5)
    with torch.no_grad():
        probabilities = model(IDS)[0, 2].softmax(dim=0)
    assert [token for token, _ in found] == probabilities.topk(5).indices.tolist()
    assert [probability for _, probability in found] == pytest.approx(probabilities.topk(5).values.tolist(), rel=1e-4)
    assert len(expected(seen, 0, 10_000)) == model.vocab_size
    assert [following(seen, position) for position in range(8)] == [1, 4, 1, 5, 9, 2, 6, None]


def test_the_model_is_left_in_the_mode_it_was_in(model):
    seen = trace(model, IDS)
    model.train()
    logit_lens(seen)
    assert model.training
