"""Where a run begins that goes on from another model: its weights, its tokens, and what CONFIG has to be then."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gpt.config import CONFIG, FIELDS
from gpt.data.tokenizers.base import Tokenizer
from gpt.errors import UserError

INHERITED = ("vocab_size", "vocab_multiple", "context_length", "emb_dim", "n_layers", "n_heads", "position", "activation", "qk_norm",
             "qkv_bias", "tie_weights", "tokenizer")  # settings that belong to the weights
LOWER_RATE = 0.1  # of the learning rate with which the weights were trained: a higher one would forget them first


@dataclass(frozen=True)
class Start:
    """The weights to begin with, by parameter, their tokenizer and CONFIG, and the learning rate to go on with. `origin` is the name of the
    run or of the model, `text` what they learned from, as gpt.runs.earlier_text says it, if that is known."""

    origin: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    tokenizer: Tokenizer
    rate: float
    text: dict[str, Any] | None = None

    def config_with(self, given: dict[str, Any]) -> dict[str, Any]:
        """CONFIG of a run that goes on from here with what was `given`. Raises UserError."""
        return going_on(self.origin, self.config, given, self.rate)


def rate_after(about: dict[str, Any]) -> float:
    """The learning rate of a run that goes on from one whose config.json is `about`: lower than the first, and as low as the second."""
    rate = about["config"]["learning_rate"] * (1.0 if "went_on_from" in about else LOWER_RATE)
    return float(f"{rate:.6g}")


def going_on(origin: str, theirs: dict[str, Any], given: dict[str, Any], rate: float) -> dict[str, Any]:
    """CONFIG of a run that goes on from the weights `origin`, trained with the CONFIG `theirs`: what was `given`, what belongs to the
    weights, the same text and optimizer at the learning rate `rate`, and the defaults for the rest. Raises UserError, with both values,
    for each given setting that contradicts the weights."""
    clashes = [f"{name} is {theirs[name]} in {origin} and {given[name]} here" for name in INHERITED
               if name in given and given[name] != theirs[name]]
    if clashes:
        raise UserError(f"a run that goes on from {origin} has its model: {'; '.join(clashes)}; leave these settings as they are there")
    text = {} if "corpus" in given else {field.name: theirs[field.name] for field in FIELDS if field.group == "text"}
    usual = {**text, "optimizer": theirs["optimizer"], "learning_rate": rate}
    return {**CONFIG, **usual, **{name: theirs[name] for name in INHERITED}, **given}
