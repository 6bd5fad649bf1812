"""The tokens of a run in the files of other libraries, which read them to the same ids."""

import json

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from gpt.data.tokenizers.base import TextToLearn, TokenizerError
from gpt.data.tokenizers.table import TOKENIZERS, load_tokenizer, make_tokenizer
from gpt.exchange.tokenizer_files import tokenizer_files
from gpt.exchange.tokenizer_json import read_tokenizer_json, tokenizer_json
from gpt.export import main

SAMPLE = "The cat sat on the mat. Das Mädchen saß im Café – 日本語 😀 don't we'll 123\n\n\tcat sat\n" * 20
TEXTS = st.lists(st.sampled_from(["cat", " sat", "Mädchen", "日本語", "😀", "\n", "\n\n", "\t", "  ", "123", "'t", "é"])).map("".join)
MADE = {(name, has_end): make_tokenizer(name, TextToLearn.of(SAMPLE), 400, has_end) for name in TOKENIZERS for has_end in (False, True)}
IN_JSON = [pytest.param(tokenizer, id=f"{name}-{'end' if has_end else 'plain'}") for (name, has_end), tokenizer in MADE.items()
           if name != "sentencepiece"]


@pytest.mark.parametrize("tokenizer", IN_JSON)
@given(text=TEXTS)
def test_tokenizers_reads_tokenizer_json_to_the_same_ids(tokenizer, text):
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_str(tokenizer_json(tokenizer))
    known = "".join(character for character in text if not tokenizer.unknown(character))
    assert theirs.encode(known).ids == tokenizer.encode(known)
    assert theirs.get_vocab_size() == tokenizer.n_vocab
    if tokenizer.end is not None:
        assert theirs.encode("<|endoftext|>").ids == [tokenizer.end]


@pytest.mark.parametrize("tokenizer", IN_JSON)
def test_what_was_exported_can_be_read_back(tokenizer):
    again = read_tokenizer_json(tokenizer_json(tokenizer))
    assert (again.name, again.n_vocab, again.end) == (tokenizer.name, tokenizer.n_vocab, tokenizer.end)
    assert again.encode("cat sat") == tokenizer.encode("cat sat")


@pytest.mark.parametrize("name", ["bpe", "gpt2"])
@pytest.mark.parametrize("has_end", [False, True])
def test_tiktoken_reads_its_file_to_the_same_ids(tmp_path, name, has_end):
    tokenizer = MADE[name, has_end]
    files = tokenizer_files(tokenizer)
    (tmp_path / "ranks.tiktoken").write_bytes(files["ranks.tiktoken"])
    theirs = tiktoken.Encoding(mergeable_ranks=load_tiktoken_bpe(str(tmp_path / "ranks.tiktoken")), **json.loads(files["encoding.json"]))
    assert theirs.encode_ordinary(SAMPLE) == tokenizer.encode(SAMPLE)
    assert theirs.n_vocab == tokenizer.n_vocab


def test_sentencepiece_reads_its_model_to_the_same_ids():
    from sentencepiece import SentencePieceProcessor

    tokenizer = MADE["sentencepiece", True]
    theirs = SentencePieceProcessor(model_proto=tokenizer_files(tokenizer)["tokenizer.model"])
    assert theirs.encode(SAMPLE) == tokenizer.encode(SAMPLE)
    with pytest.raises(TokenizerError, match="--format tokenizer"):
        tokenizer_json(tokenizer)


def test_the_command_exports_the_tokens_of_a_run(trained, tmp_path, capsys):
    main(["--checkpoints", str(trained.parent), "--run", "bottles", "--to", str(tmp_path / "tokens"), "--format", "tokenizer"])
    assert "tokenizer.json" in capsys.readouterr().out
    read = read_tokenizer_json((tmp_path / "tokens" / "tokenizer.json").read_text(encoding="utf-8"))
    assert read.encode("green") == load_tokenizer(trained / "tokenizer.json").encode("green")
