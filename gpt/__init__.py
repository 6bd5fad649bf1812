"""GPT-2 from scratch: a GPT to train, to read and to inspect. README.md in this folder gives the reading order.

Each name below is imported when it is first used: `from gpt import GPT2` loads PyTorch, `from gpt import CONFIG` does not.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "config": ("CONFIG", "PRESETS", "validate"),
    "errors": ("UserError",),
    "model.attention": ("SelfAttention", "CausalAttention", "MultiHeadAttention"),
    "model.layers": ("LayerNorm", "FeedForward", "TransformerBlock"),
    "model.gpt2": ("GPT2",),
    "model.sampling": ("Sampling", "generate_text"),
    "model.writing": ("text_to_token_ids", "token_ids_to_text", "write"),
    "data.dataset": ("GPTDataset",),
    "training.trainer": ("Trainer",),
    "runs.session": ("Session",),
    "runs.run": ("Run", "load_run"),
    "ui.notebook.training": ("train", "resume"),
    "ui.notebook.run": ("open_run",),
    "exchange.pretrained": ("load_pretrained",),
    "interpret": ("attention_maps", "inspect", "trace"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module gpt has no attribute {name!r}")
    return getattr(import_module(f"gpt.{_MODULE_OF[name]}"), name)
