"""Weights under GPT-2's own names: there and back, and everything that does not fit told at once."""

import pytest
import torch

from gpt.errors import UserError
from gpt.model.gpt2 import GPT2
from gpt.model.gpt2_format import from_gpt2, name_in_gpt2, problems_in_gpt2, to_gpt2
from tests.says import says


@pytest.fixture
def classic(tiny) -> dict:
    """A tiny CONFIG that GPT-2's format can hold."""
    return {**tiny, "position": "learned", "activation": "gelu", "qk_norm": False}


@pytest.mark.parametrize(("ours", "theirs"), [
    ("token_embedding.weight", "wte.weight"), ("position_embedding.weight", "wpe.weight"), ("final_norm.bias", "ln_f.bias"),
    ("head.weight", "lm_head.weight"), ("blocks.11.attention.qkv.weight", "h.11.attn.c_attn.weight"),
    ("blocks.0.attention.projection.bias", "h.0.attn.c_proj.bias"), ("blocks.3.feed_forward.expand.weight", "h.3.mlp.c_fc.weight"),
    ("blocks.3.feed_forward.projection.weight", "h.3.mlp.c_proj.weight"), ("blocks.1.norm2.weight", "h.1.ln_2.weight")])
def test_every_name_has_its_counterpart(ours, theirs):
    assert name_in_gpt2(ours) == theirs


@pytest.mark.parametrize("changes", [{}, {"tie_weights": False}, {"qkv_bias": False}, {"vocab_multiple": 64},
                                     {"vocab_multiple": 64, "tie_weights": False}], ids=str)
def test_transformers_loads_them_strictly_and_gives_the_same_logits(classic, changes):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = {**classic, **changes}
    model = GPT2(config).eval()
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=config["vocab_size"], n_positions=8, n_embd=16, n_layer=2, n_head=2,
                                        tie_word_embeddings=config["tie_weights"])).eval()
    missing, unexpected = theirs.load_state_dict(to_gpt2(model.state_dict(), config), strict=False)
    assert unexpected == []
    assert set(missing) <= ({"lm_head.weight"} if config["tie_weights"] else set())
    theirs.tie_weights()
    ids = torch.randint(config["vocab_size"], (2, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), rtol=0, atol=1e-6)


def test_out_and_in_again_gives_the_same_weights(classic):
    weights = GPT2(classic).state_dict()
    back = from_gpt2(to_gpt2(weights, classic), classic)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_names_without_prefix_and_causal_masks_of_older_files_are_read(classic):
    weights = GPT2(classic).state_dict()
    old = {name.removeprefix("transformer."): weight for name, weight in to_gpt2(weights, classic).items()}
    old |= {"h.0.attn.bias": torch.ones(1, 1, 8, 8), "h.1.attn.masked_bias": torch.tensor(-1e4), "lm_head.weight": old["wte.weight"]}
    assert from_gpt2(old, classic).keys() == weights.keys()


def test_everything_that_does_not_fit_is_told_at_once(classic):
    theirs = to_gpt2(GPT2(classic).state_dict(), classic)
    theirs["transformer.h.0.attn.c_attn.weight"] = torch.zeros(16, 47)
    theirs["transformer.wpe.weight"] = torch.zeros(4, 16)
    theirs["transformer.h.2.extra.weight"] = theirs.pop("transformer.ln_f.bias")
    with pytest.raises(UserError, match=says("h.0.attn.c_attn.weight is 16 x 47 | 16 x 48", "wpe.weight is 4 x 16 | 8 x 16",
                                             "ln_f.bias is missing", "h.2.extra.weight has no place")):
        from_gpt2(theirs, classic)


def test_what_the_format_cannot_hold_is_named(tiny, classic):
    assert problems_in_gpt2(classic) == []
    config = {**tiny, "position": "rope", "activation": "relu2", "qk_norm": True}
    with pytest.raises(UserError, match=says("position is rope | learned", "activation is relu2 | gelu", "qk_norm is True")):
        to_gpt2(GPT2(config).state_dict(), config)
