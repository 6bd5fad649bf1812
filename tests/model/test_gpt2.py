"""GPT2 against the reference implementation, with and without a cache, and how its weights begin."""

import pytest
import torch
from torch.nn import functional as F

import gpt.model.gpt2
from gpt.config import ConfigError
from gpt.data.dataset import IGNORED
from gpt.model.attention import KVCache
from gpt.model.gpt2 import GPT2
from gpt.model.gpt2_format import from_gpt2
from gpt.model.sampling import generate_text
from tests.says import says

CLASSIC = {"position": "learned", "activation": "gelu", "qk_norm": False, "qkv_bias": True, "tie_weights": True}


@pytest.fixture(scope="module")
def reference():
    """A small random GPT-2 of `transformers`, with every weight and bias away from its start."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_positions=16, n_embd=24, n_layer=3, n_head=4)).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture
def twin(tiny, reference) -> GPT2:
    """Our GPT2 with the weights of the reference."""
    model = GPT2({**tiny, **CLASSIC, "vocab_size": 97, "context_length": 16, "emb_dim": 24, "n_layers": 3, "n_heads": 4}).eval()
    model.load_state_dict(from_gpt2(reference.state_dict(), model.config))
    return model


def test_logits_equal_those_of_transformers(twin, reference):
    ids = torch.randint(97, (3, 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(twin(ids), reference(ids).logits, rtol=0, atol=1e-5)


def test_greedy_ids_equal_those_of_transformers(twin, reference):
    ids = torch.tensor([[5, 80, 33]])
    theirs = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
                                eos_token_id=None, pad_token_id=0)
    assert theirs.shape == (1, 15)
    assert torch.equal(generate_text(twin, ids, max_new_tokens=12, temperature=0.0), theirs)


def test_the_reference_has_no_parameter_that_ours_lacks(twin, reference):
    assert sum(p.numel() for p in twin.parameters()) == sum(p.numel() for p in reference.parameters())


@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("chunks", [[8], [1] * 8, [5, 3], [3, 1, 4], [1, 7]], ids=str)
def test_logits_with_a_cache_equal_those_without(tiny, position, chunks):
    model = GPT2({**tiny, "position": position}).eval()
    ids = torch.randint(tiny["vocab_size"], (2, 8), generator=torch.Generator().manual_seed(0))
    caches = [KVCache(8) for _ in model.blocks]
    with torch.no_grad():
        pieces = [model(chunk, caches) for chunk in ids.split(chunks, dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids))
    assert caches[0].length == 8


def test_a_later_token_never_changes_an_earlier_logit(model, tiny):
    ids = torch.arange(8)[None]
    changed = ids.clone()
    changed[0, 5] = 20
    torch.testing.assert_close(model(ids)[:, :5], model(changed)[:, :5], rtol=0, atol=0)
    assert not torch.equal(model(ids)[:, 5:], model(changed)[:, 5:])


@pytest.mark.parametrize("tie_weights", [False, True])
def test_padded_rows_change_no_logit(tiny, tie_weights):
    plain = GPT2({**tiny, "tie_weights": tie_weights}).eval()
    padded = GPT2({**tiny, "tie_weights": tie_weights, "vocab_multiple": 64}).eval()
    for name, parameter in padded.named_parameters():
        parameter.data[:len(plain.get_parameter(name))] = plain.get_parameter(name).data
    ids = torch.arange(8)[None]
    assert padded.token_embedding.weight.shape[0] == 64
    assert padded(ids).shape == (1, 8, tiny["vocab_size"])
    torch.testing.assert_close(padded(ids), plain(ids))


def test_padded_ids_are_never_written(tiny):
    model = GPT2({**tiny, "vocab_size": 3, "vocab_multiple": 64})
    model.token_embedding.weight.data[3:] *= 1000  # however large the padding's weights
    ids = generate_text(model, torch.tensor([[0]]), max_new_tokens=200, temperature=5.0)
    assert set(ids.flatten().tolist()) == {0, 1, 2}


def test_padded_rows_do_not_enter_the_loss(tiny):
    model = GPT2({**tiny, "vocab_multiple": 64}).eval()
    ids = torch.arange(8)[None]
    before = model.loss(ids, ids)
    model.token_embedding.weight.data[tiny["vocab_size"]:] += 100
    torch.testing.assert_close(model.loss(ids, ids), before)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("logits_at_once", [1, 100, 10**6])
def test_the_loss_and_its_gradients_are_the_same_in_portions(model, tiny, monkeypatch, reduction, logits_at_once):
    ids = torch.randint(tiny["vocab_size"], (5, tiny["context_length"] + 1), generator=torch.Generator().manual_seed(3))
    loss = F.cross_entropy(model(ids[:, :-1]).mT, ids[:, 1:], reduction=reduction)
    expected = torch.autograd.grad(loss.mean(), model.parameters())
    monkeypatch.setattr(gpt.model.gpt2, "LOGITS_AT_ONCE", logits_at_once)
    portioned = model.loss(ids[:, :-1], ids[:, 1:], reduction)
    torch.testing.assert_close(portioned, loss)
    torch.testing.assert_close(torch.autograd.grad(portioned.mean(), model.parameters()), expected, rtol=1e-4, atol=1e-6)


def test_targets_that_do_not_count_change_neither_the_loss_nor_a_gradient(model):
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 1]])
    targets = torch.tensor([[2, 3, IGNORED, IGNORED], [6, IGNORED, IGNORED, IGNORED]])
    each = model.loss(ids, targets, reduction="none")
    assert (each == 0).tolist() == (targets == IGNORED).tolist()
    torch.testing.assert_close(model.loss(ids, targets), each.sum() / 3)
    others = torch.tensor([[1, 2, 9, 9], [5, 9, 9, 9]])  # no counted prediction sees what differs
    torch.testing.assert_close(model.loss(others, targets), model.loss(ids, targets))


def test_a_loss_cannot_be_reduced_in_another_way(model):
    with pytest.raises(ValueError, match="'sum'"):
        model.loss(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long), "sum")


def test_never_are_more_logits_alive_than_allowed(model, tiny, monkeypatch):
    ids = torch.randint(tiny["vocab_size"], (5, tiny["context_length"] + 1), generator=torch.Generator().manual_seed(3))
    shapes, unembed = [], model.unembed
    monkeypatch.setattr(model, "unembed", lambda x: shapes.append(unembed(x).shape) or unembed(x))
    monkeypatch.setattr(gpt.model.gpt2, "LOGITS_AT_ONCE", 4 * tiny["vocab_size"])
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    assert max(rows for rows, _ in shapes) == 4
    assert sum(rows for rows, _ in shapes) == 2 * 5 * tiny["context_length"]  # each once forward, and once more for its gradient


def test_weights_begin_as_gpt2s_do(tiny):
    model = GPT2({**tiny, "position": "learned", "emb_dim": 128, "vocab_size": 300, "n_layers": 3, "context_length": 64,
                  "tie_weights": False})
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            assert (parameter == 0).all(), name
        elif parameter.ndim == 1:
            assert (parameter == 1).all(), name  # the norms' weights
        else:
            std = 0.02 / 6**0.5 if name.endswith("projection.weight") else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.05), name
            assert abs(parameter.mean().item()) < std / 10, name


def test_the_seed_decides_the_weights_and_nothing_else_does(tiny):
    torch.manual_seed(1)
    first = GPT2({**tiny, "seed": 7}).state_dict()
    torch.manual_seed(2)
    second, other = GPT2({**tiny, "seed": 7}).state_dict(), GPT2({**tiny, "seed": 8}).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])


def test_an_untrained_model_expects_all_tokens_about_equally(model, tiny):
    ids = torch.arange(8)[None]
    assert model.loss(ids, ids + 1).item() == pytest.approx(torch.tensor(float(tiny["vocab_size"])).log().item(), abs=0.1)


def test_a_tied_head_is_the_embedding_and_an_untied_one_its_own(tiny):
    tied, untied = GPT2({**tiny, "tie_weights": True}), GPT2({**tiny, "tie_weights": False})
    assert "head.weight" not in tied.state_dict()
    assert untied.state_dict()["head.weight"].shape == (tiny["vocab_size"], tiny["emb_dim"])


def test_too_long_input_is_refused_with_the_numbers(model):
    with pytest.raises(ValueError, match=says("9 tokens", "context_length 8")):
        model(torch.zeros(1, 9, dtype=torch.long))
    caches = [KVCache(8) for _ in model.blocks]
    model(torch.zeros(1, 6, dtype=torch.long), caches)
    with pytest.raises(ValueError, match=says("10 tokens", "context_length 8")):
        model(torch.zeros(1, 4, dtype=torch.long), caches)


def test_a_config_that_cannot_be_built_is_refused(tiny):
    with pytest.raises(ConfigError, match=says("emb_dim 18", "4 heads")):
        GPT2({**tiny, "emb_dim": 18, "n_heads": 4})
