"""A run as a GGUF file and as an ONNX file: read back with the readers of these formats."""

import gguf
import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from gpt.data.tokenizers.bpe import printable_bytes
from gpt.errors import UserError
from gpt.exchange import formats
from gpt.exchange.gguf_file import write_gguf
from gpt.exchange.onnx_file import write_onnx
from gpt.export import main
from gpt.runs.run import Run, load_run
from gpt.runs.session import Session
from tests.conftest import TEXT
from tests.exchange.test_export import CLASSIC
from tests.says import says
from tests.sessions import finish

pytestmark = pytest.mark.usefixtures("short_samples")
BPE = {**CLASSIC, "tokenizer": "bpe", "vocab_size": 300, "max_steps": 2}


@pytest.fixture(scope="module", params=[{"qkv_bias": False}, {"tie_weights": False, "vocab_multiple": 16}], ids=["tied", "untied"])
def run(request, tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("runs")
    (root / "bottles.txt").write_text(TEXT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gpt.runs.recorder.SAMPLE_TOKENS", 8)
        return finish(Session(root, "bottles", {**BPE, **request.param, "corpus": str(root / "bottles.txt")}))


def words(*flags: str, run: Run) -> list[str]:
    return ["--run", run.name, "--checkpoints", str(run.path.parent), *flags]


class TestGGUF:
    @pytest.fixture
    def read(self, run, tmp_path):
        """What the package's own reader finds in the one file of the folder."""
        write_gguf(run, tmp_path / "out")
        [path] = (tmp_path / "out").iterdir()
        assert path.name == "bottles.gguf"
        return gguf.GGUFReader(path)

    def test_it_has_the_tensors_that_llama_cpp_asks_for(self, run, read):
        """Names and shapes as in its reader, src/models/gpt2.cpp. GGUF names the innermost size first."""
        model = load_run(run.path)[0]
        C, V, T = 16, 300, 8
        block = {"attn_norm.weight": [C], "attn_norm.bias": [C], "attn_qkv.weight": [C, 3 * C], "attn_qkv.bias": [3 * C],
                 "attn_output.weight": [C, C], "attn_output.bias": [C], "ffn_norm.weight": [C], "ffn_norm.bias": [C],
                 "ffn_up.weight": [C, 4 * C], "ffn_up.bias": [4 * C], "ffn_down.weight": [4 * C, C], "ffn_down.bias": [C]}
        wanted = {"token_embd.weight": [C, V], "position_embd.weight": [C, T], "output_norm.weight": [C], "output_norm.bias": [C],
                  **({} if model.head is None else {"output.weight": [C, V]}),
                  **{f"blk.{i}.{name}": shape for i in range(len(model.blocks)) for name, shape in block.items()}}
        assert {tensor.name: tensor.shape.tolist() for tensor in read.tensors} == wanted

    def test_its_weights_are_those_of_the_run(self, run, read):
        model, tensors = load_run(run.path)[0], {tensor.name: tensor.data for tensor in read.tensors}
        for name, ours in {
            "token_embd.weight": model.token_embedding.weight[:300], "output_norm.bias": model.final_norm.bias,
            "blk.1.attn_qkv.weight": model.blocks[1].attention.qkv.weight,
            "blk.0.ffn_down.weight": model.blocks[0].feed_forward.projection.weight,
            **({"output.weight": model.head.weight[:300]} if model.head else {}),
        }.items():
            np.testing.assert_array_equal(tensors[name], ours.detach().numpy(), err_msg=name)

    def test_it_says_what_llama_cpp_asks_for(self, run, read):
        def value(name: str):
            return read.fields[name].contents()

        assert [value(f"gpt2.{name}") for name in ("block_count", "context_length", "embedding_length", "feed_forward_length",
                                                   "attention.head_count")] == [2, 8, 16, 64, 2]
        assert value("gpt2.attention.layer_norm_epsilon") == pytest.approx(1e-5)
        assert [value(name) for name in ("general.architecture", "general.file_type", "tokenizer.ggml.model", "tokenizer.ggml.pre")] == [
            "gpt2", 0, "gpt2", "gpt-2"]

    def test_its_tokens_are_those_of_the_run(self, run, read):
        tokenizer, byte_of = load_run(run.path)[1], printable_bytes()
        tokens = read.fields["tokenizer.ggml.tokens"].contents()
        assert [bytes(byte_of[sign] for sign in token) for token in tokens] == [tokenizer.token_bytes(i) for i in range(300)]
        assert len(read.fields["tokenizer.ggml.merges"].contents()) == 44
        end = read.fields["tokenizer.ggml.eos_token_id"].contents()
        assert tokenizer.token_bytes(end) == b"\0"


def test_gguf_refuses_what_gpt2_cannot_hold(trained, tmp_path):
    with pytest.raises(UserError, match=says("position is rope", "gpt2-classic")):
        write_gguf(Run(trained), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_gguf_refuses_tokens_that_are_not_merged(tokenizer, tmp_path):
    (tmp_path / "bottles.txt").write_text(TEXT, encoding="utf-8")
    run = finish(Session(tmp_path, "a", {**CLASSIC, "tokenizer": tokenizer, "max_steps": 1, "corpus": str(tmp_path / "bottles.txt")}))
    with pytest.raises(UserError, match=says(f"its tokens are single {tokenizer}", "tokenizer bpe or gpt2")):
        write_gguf(run, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_onnx_gives_the_same_logits_and_tokens(trained, tmp_path, capfd):
    """The default model: rotary positions, normalised queries and keys, which no other format holds."""
    run = Run(trained)
    assert run.config()["config"]["position"] == "rope"
    write_onnx(run, tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    (model, tokenizer), theirs = load_run(run.path), onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    for shape in ((1, 1), (2, 5), (3, model.context_length)):
        ids = torch.randint(model.vocab_size, shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            np.testing.assert_allclose(theirs.run(["logits"], {"ids": ids.numpy()})[0], model(ids).numpy(), rtol=0, atol=1e-5)
    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).encode("7 green").ids == tokenizer.encode("7 green")


def test_the_command_writes_each_format(run, tmp_path, capsys, monkeypatch):
    main(words("--to", str(tmp_path / "a"), "--format", "gguf", "--step", "0", run=run))
    assert f"llama-cli -m {tmp_path / 'a'}/bottles.gguf" in capsys.readouterr().out
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda package: None)
    for name, packages in (("gguf", "gguf"), ("onnx", "onnx onnxscript")):
        with pytest.raises(SystemExit):
            main(words("--to", str(tmp_path / "b"), "--format", name, run=run))
        error = capsys.readouterr().err
        assert f"pip install {packages}" in error
        assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
