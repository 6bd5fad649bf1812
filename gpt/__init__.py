"""GPT-2 from scratch: a GPT to train, to talk to and to take apart.

The names below are loaded when they are first asked for: `from gpt import GPT2` waits for PyTorch, `from gpt import CONFIG` does not.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "SelfAttention": "attention", "CausalAttention": "attention", "MultiHeadAttention": "attention",
    "LayerNorm": "layers", "FeedForward": "layers", "TransformerBlock": "layers", "GPT2": "model",
    "CONFIG": "config", "PRESETS": "config", "validate": "config", "UserError": "errors",
    "GPTDataset": "dataset", "Trainer": "trainer", "Session": "session", "Run": "run", "load_run": "run",
    "Sampling": "generate", "generate_text": "generate", "text_to_token_ids": "generate", "token_ids_to_text": "generate",
    "write": "generate", "attention_maps": "interpret", "inspect": "interpret", "trace": "interpret",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module gpt has no attribute {name!r}")
    return getattr(import_module(f"gpt.{_MODULE_OF[name]}"), name)
