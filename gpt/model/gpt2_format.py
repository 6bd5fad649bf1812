"""GPT-2's weights under their published names, those of OpenAI's release and of Hugging Face's GPT2LMHeadModel, and under ours: one
table for both ways."""

from typing import Any

import torch
from torch import Tensor

from gpt.config import FIELDS
from gpt.errors import UserError
from gpt.model.gpt2 import GPT2

NAMES = (  # ours, theirs
    ("token_embedding", "wte"), ("position_embedding", "wpe"), ("blocks", "h"), ("final_norm", "ln_f"), ("head", "lm_head"),
    ("norm1", "ln_1"), ("attention.qkv", "attn.c_attn"), ("attention.projection", "attn.c_proj"),
    ("norm2", "ln_2"), ("feed_forward.expand", "mlp.c_fc"), ("feed_forward.projection", "mlp.c_proj"),
)
SIZES = {"vocab_size": "vocab_size", "context_length": "n_positions", "emb_dim": "n_embd", "n_layers": "n_layer", "n_heads": "n_head"}
ARCHITECTURE = {field.name: field.exported for field in FIELDS if field.exported is not None}  # what the format takes for granted
PREFIX = "transformer."  # before every name but lm_head, in files of GPT2LMHeadModel
MASKS = (".attn.bias", ".attn.masked_bias")  # of older files: the causal mask, no weights


def name_in_gpt2(ours: str) -> str:
    """blocks.0.attention.qkv.weight -> h.0.attn.c_attn.weight."""
    name = f".{ours}"
    for mine, theirs in NAMES:
        name = name.replace(f".{mine}.", f".{theirs}.")
    return name[1:]


def is_transposed(theirs: str) -> bool:
    """Whether a weight lies in a Conv1D, which holds (inputs, outputs) where a linear layer holds (outputs, inputs)."""
    return ".c_" in theirs and theirs.endswith(".weight")


def to_gpt2(weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Our weights under the names of GPT2LMHeadModel, without rows that only pad the vocabulary. Raises UserError, naming each, if CONFIG
    has settings that the format cannot hold."""
    if problems := problems_in_gpt2(config):
        raise UserError("; ".join(problems))
    V, theirs = config["vocab_size"], {}
    for ours, weight in weights.items():
        name = name_in_gpt2(ours)
        rows = weight[:V] if ours in ("token_embedding.weight", "head.weight") else weight
        theirs[name if name.startswith("lm_head") else PREFIX + name] = (rows.T if is_transposed(name) else rows).float().contiguous()
    if not config["qkv_bias"]:  # the format always has one
        for i in range(config["n_layers"]):
            theirs[f"{PREFIX}h.{i}.attn.c_attn.bias"] = torch.zeros(3 * config["emb_dim"])
    return theirs


def from_gpt2(theirs: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of a GPT-2 under our names, for a GPT2 of `config`. Raises UserError with every name that is missing or too many, and
    every shape that is not as it should be."""
    plain = {name.removeprefix(PREFIX): weight for name, weight in theirs.items() if not name.endswith(MASKS)}
    if config["tie_weights"]:
        plain.pop("lm_head.weight", None)  # the token embedding once more
    with torch.device("meta"):  # names and shapes only
        wanted = {name: weight.shape for name, weight in GPT2(config).state_dict().items()}
    weights, problems = {}, []
    for ours, shape in wanted.items():
        weight = plain.pop(name := name_in_gpt2(ours), None)
        if weight is None:
            problems.append(f"{name} is missing")
            continue
        weight = weight.T if is_transposed(name) and weight.ndim == 2 else weight
        if weight.shape != shape:
            problems.append(f"{name} is {_shape(weight.shape, name)}, and config.json says {_shape(shape, name)}")
        weights[ours] = weight.float().contiguous()
    problems += [f"{name} has no place in a GPT-2" for name in plain]
    if problems:
        raise UserError("; ".join(problems))
    return weights


def problems_in_gpt2(config: dict[str, Any]) -> list[str]:
    """A sentence for each setting of CONFIG that GPT-2's format cannot hold."""
    return [f"{name} is {config[name]}, and GPT-2's format has {name} {value} only" for name, value in ARCHITECTURE.items()
            if config[name] != value]


def refuse_other_models(name: str, config: dict[str, Any]) -> None:
    """Raise UserError, with every reason, if GPT-2's format cannot hold the model of the run `name`."""
    if problems := problems_in_gpt2(config):
        raise UserError(f"run {name} cannot be exported: {'; '.join(problems)}; train one with the preset gpt2-classic, or export "
                        "it to ONNX, which holds every model")


def _shape(shape: torch.Size, name: str) -> str:
    """A shape as the file has it."""
    return " x ".join(map(str, reversed(shape) if is_transposed(name) else shape))
