"""The formats of other programs that a run can be written in."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpt.errors import UserError
from gpt.exchange.gguf_file import write_gguf
from gpt.exchange.huggingface import write_huggingface
from gpt.exchange.onnx_file import write_onnx
from gpt.exchange.tokenizer_files import write_tokenizer
from gpt.runs.run import Run


@dataclass(frozen=True)
class Format:
    """`write` takes a run, a new folder and a snapshot's step; `packages` are those that it needs beside requirements.txt; `loaded` says
    how another program loads the folder {to} of the run {name}."""

    write: Callable[[Run, Path, int | None], None]
    packages: tuple[str, ...]
    loaded: str

    def check_packages(self) -> None:
        """Raise UserError if a package is not installed."""
        if missing := [package for package in self.packages if importlib.util.find_spec(package) is None]:
            raise UserError(f"this format needs what is not installed: pip install {' '.join(missing)}")


FORMATS = {
    "huggingface": Format(write_huggingface, (), "AutoModelForCausalLM.from_pretrained({to!r}) loads it"),
    "gguf": Format(write_gguf, ("gguf",), "llama-cli -m {to}/{name}.gguf loads it"),
    "tokenizer": Format(write_tokenizer, (), "tokenizers.Tokenizer.from_file('{to}/tokenizer.json') loads it, or what made it (tiktoken, "
                        "sentencepiece) the files beside it"),
    "onnx": Format(write_onnx, ("onnx", "onnxscript"), "onnxruntime.InferenceSession('{to}/model.onnx') loads it"),
}
