"""The tokens of a run alone, in the formats of the libraries that read such tokens: tokenizer.json, .tiktoken, .model."""

import base64
import json
from pathlib import Path

from gpt.data.tokenizers.base import Tokenizer
from gpt.data.tokenizers.bpe import GPT2_SPLIT, BPETokenizer
from gpt.data.tokenizers.table import load_tokenizer
from gpt.data.tokenizers.unigram import UnigramTokenizer
from gpt.exchange.folders import new_folder
from gpt.exchange.tokenizer_json import tokenizer_json
from gpt.runs.run import Run


def write_tokenizer(run: Run, to: Path, step: int | None = None) -> None:
    """Write the tokens of a run into the folder `to`, in every format that holds them. The `step` does not matter. Raises UserError if the
    folder cannot be written."""
    files = tokenizer_files(load_tokenizer(run.path / "tokenizer.json"))
    with new_folder(to) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Name -> contents: tokenizer.model for sentencepiece; else tokenizer.json for the library `tokenizers`, and of byte-pair encoding also
    ranks.tiktoken for tiktoken.load.load_tiktoken_bpe, with encoding.json, which has the other arguments of tiktoken.Encoding."""
    if isinstance(tokenizer, UnigramTokenizer):
        return {"tokenizer.model": tokenizer.model}
    files = {"tokenizer.json": tokenizer_json(tokenizer).encode()}
    if isinstance(tokenizer, BPETokenizer):
        by_rank = sorted(tokenizer.ranks.items(), key=lambda item: item[1])
        files["ranks.tiktoken"] = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in by_rank)
        about = {"name": tokenizer.name, "pat_str": GPT2_SPLIT, "special_tokens": tokenizer.special}
        files["encoding.json"] = json.dumps(about, indent=1).encode()
    return files
