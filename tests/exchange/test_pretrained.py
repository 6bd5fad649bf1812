"""A GPT-2 of others becomes one of ours: the same logits, the same text, and one sentence for every folder that is none."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import gpt.exchange.importing
from gpt import load_pretrained
from gpt.data.tokenizers.base import TokenizerError
from gpt.data.tokenizers.bpe import gpt2_tokenizer, train_bpe
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.data.tokenizers.table import load_tokenizer
from gpt.errors import UserError
from gpt.exchange.huggingface import write_huggingface
from gpt.exchange.importing import import_run
from gpt.exchange.tokenizer_json import read_tokenizer_json, tokenizer_json
from gpt.interpret.heads import score_heads
from gpt.model.sampling import generate_text
from gpt.pretrained import main
from gpt.runs.run import list_runs, load_run
from tests.conftest import TEXT
from tests.exchange.hub import hub
from tests.forkserver import PROJECT
from tests.says import says
from tests.sessions import same_weights


def made(folder, tokenizer=None, **sizes):
    """A random GPT-2 of `transformers`, saved in `folder`; it has as many tokens as `tokenizer`, whose file lies beside it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    tokens = {"vocab_size": tokenizer.n_vocab} if tokenizer else {}
    theirs = GPT2LMHeadModel(GPT2Config(**{"n_positions": 64, "n_embd": 24, "n_layer": 3, "n_head": 4, **tokens, **sizes})).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    theirs.save_pretrained(folder)
    if tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer_json(tokenizer), encoding="utf-8")
    return theirs


def assert_same(theirs, model, n_tokens: int, tolerance: float) -> None:
    ids = torch.randint(model.vocab_size, (2, n_tokens), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=0, atol=tolerance)
    written = theirs.generate(ids[:1, :4], attention_mask=torch.ones(1, 4), max_new_tokens=8, do_sample=False, pad_token_id=0,
                              eos_token_id=None)
    assert torch.equal(written, generate_text(model, ids[:1, :4], max_new_tokens=8, temperature=0.0))


@pytest.fixture(scope="module")
def bpe():
    return train_bpe([TEXT], 300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bpe):
    """A folder with a small GPT-2 and a vocabulary of its own. For reading only."""
    folder = tmp_path_factory.mktemp("theirs") / "a-gpt2"
    made(folder, bpe)
    return folder


@pytest.fixture
def own(folder, tmp_path):
    """A copy of it to be damaged."""
    return shutil.copytree(folder, tmp_path / "own")


def test_a_small_gpt2_with_its_own_vocabulary(tmp_path, bpe):
    theirs = made(tmp_path, bpe)
    model, tokenizer = load_pretrained(tmp_path)
    assert_same(theirs, model, 64, 1e-4)
    assert tokenizer.encode(TEXT) == bpe.encode(TEXT)


def test_a_gpt2_of_full_size(tmp_path):
    """The sizes of OpenAI's smallest: 124 million parameters, here random ones."""
    theirs = made(tmp_path, n_positions=1024, n_embd=768, n_layer=12, n_head=12)
    model, tokenizer = load_pretrained(str(tmp_path))
    assert sum(parameter.numel() for parameter in model.parameters()) == 124_439_808
    assert_same(theirs, model, 32, 1e-4)
    assert tokenizer is gpt2_tokenizer()  # there is no tokenizer.json, and 50,257 tokens are GPT-2's


@pytest.mark.parametrize("changes", [{"tie_word_embeddings": False}, {"vocab_size": 320}, {"activation_function": "gelu_pytorch_tanh"}])
def test_other_gpt2s(tmp_path, bpe, changes):
    theirs = made(tmp_path, bpe, **changes)
    model, _ = load_pretrained(tmp_path)
    assert model.vocab_size == bpe.n_vocab  # rows that only pad the vocabulary are left out
    ids = torch.tensor([bpe.encode("7 green bottles")])
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits[..., :bpe.n_vocab], rtol=0, atol=1e-4)


def test_weights_in_several_files(folder, own):
    weights = load_file(own / "model.safetensors")
    names = sorted(weights)
    (own / "model.safetensors").unlink()
    halves = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, own / file)
    where = {name: file for file, part in halves.items() for name in part}
    (own / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(load_pretrained(own)[0](ids), load_pretrained(folder)[0](ids))
    (own / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=says("lacks model-00002-of-00002.safetensors", "not complete", "download it again")):
        load_pretrained(own)


def test_out_and_in_again(folder, tmp_path):
    run = import_run(folder, tmp_path, "theirs")
    write_huggingface(run, tmp_path / "again")
    (model, tokenizer), (before, tokens) = load_pretrained(tmp_path / "again"), load_pretrained(folder)
    ids = torch.tensor([tokens.encode("7 green bottles")])
    assert tokenizer.encode("7 green bottles") == ids[0].tolist()
    with torch.no_grad():
        assert torch.equal(model(ids), before(ids))


@pytest.mark.parametrize("tokenizer", [CharTokenizer(TEXT), ByteTokenizer(), train_bpe([TEXT], 280), gpt2_tokenizer()],
                         ids=lambda tokenizer: tokenizer.name)
def test_a_tokenizer_comes_back_as_it_was(tokenizer, tmp_path):
    back = read_tokenizer_json(tokenizer_json(tokenizer))
    assert type(back) is type(tokenizer)
    assert back.n_vocab == tokenizer.n_vocab
    assert back.encode(TEXT) == tokenizer.encode(TEXT)
    back.save(tmp_path / "tokenizer.json")
    assert load_tokenizer(tmp_path / "tokenizer.json").encode(TEXT) == tokenizer.encode(TEXT)


def test_special_tokens_of_a_learned_vocabulary_are_kept(bpe, tmp_path):
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_str(tokenizer_json(bpe))
    theirs.add_special_tokens(["<|endoftext|>", "<pad>"])
    ours = read_tokenizer_json(theirs.to_str())
    assert ours.special == {"<|endoftext|>": bpe.n_vocab, "<pad>": bpe.n_vocab + 1}
    assert ours.token_bytes(bpe.n_vocab + 1) == b"<pad>"
    ours.save(tmp_path / "tokenizer.json")
    assert load_tokenizer(tmp_path / "tokenizer.json").n_vocab == bpe.n_vocab + 2
    assert Tokenizer.from_str(tokenizer_json(ours)).token_to_id("<pad>") == bpe.n_vocab + 1


def changed(tokenizer, **changes) -> str:
    """A tokenizer.json with changes at its top, or, of names that begin so, of its model."""
    saved = json.loads(tokenizer_json(tokenizer))
    for name, value in changes.items():
        (saved["model"] if name.startswith("model_") else saved)[name.removeprefix("model_")] = value
    return json.dumps(saved)


@pytest.mark.parametrize(("changes", "facts"), [
    ({"normalizer": {"type": "Lowercase"}}, "has normalizer"), ({"model_byte_fallback": True}, "has byte_fallback"),
    ({"model_end_of_word_suffix": "</w>"}, "has end_of_word_suffix"), ({"post_processor": {"type": "TemplateProcessing"}}, "adds tokens"),
    ({"pre_tokenizer": {"type": "Whitespace"}}, "another kind | Whitespace"), ({"model_merges": []}, "another order"),
    ({"added_tokens": [{"content": "<s>", "id": 0}]}, "special tokens do not stand after all others"),
    ({"added_tokens": [{"content": "<s>", "id": 400}]}, "special tokens do not stand after all others"),
    ({"model_vocab": {"a": 0}, "model_merges": []}, "lacks some of the 256 bytes")])
def test_a_tokenizer_of_another_kind_is_refused(bpe, changes, facts):
    with pytest.raises(TokenizerError, match=says(facts)):
        read_tokenizer_json(changed(bpe, **changes))


def test_words_are_no_characters():
    with pytest.raises(TokenizerError, match=says("another kind", "WordLevel")):
        read_tokenizer_json(changed(CharTokenizer("ab"), pre_tokenizer={"type": "Whitespace"}))


class TestRun:
    @pytest.fixture(scope="class")
    def run(self, folder, tmp_path_factory):
        return import_run(folder, tmp_path_factory.mktemp("imported"), "theirs")

    def test_it_is_a_run_like_any_other(self, run, folder):
        assert [other.name for other in list_runs(run.path.parent)] == ["theirs"]
        assert (run.status()["state"], run.status()["step"]) == ("done", 0)
        model, tokenizer = load_run(run.path)
        with torch.no_grad():
            assert torch.equal(model(torch.tensor([[1, 2]])), load_pretrained(folder)[0](torch.tensor([[1, 2]])))
        assert tokenizer.decode(tokenizer.encode("7 green")) == "7 green"
        assert run.config()["imported_from"] == "a-gpt2"
        assert score_heads(model, run.probes()).shape == (3, 4)
        assert run.status()["bits_per_byte"] == run.rows()[0][0]["bits_per_byte"] > 0

    def test_the_command_says_what_it_has_read(self, folder, tmp_path, capsys):
        main(["--source", str(folder), "--checkpoints", str(tmp_path)])
        assert "parameters from a-gpt2; on stories: " in capsys.readouterr().out
        assert [run.name for run in list_runs(tmp_path)] == ["a-gpt2-1"]

    def test_a_name_that_is_taken_stays_as_it_is(self, run, folder, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["--source", str(folder), "--checkpoints", str(run.path.parent), "--run", "theirs"])
        assert caught.value.code == 2
        assert "there is a run theirs already" in capsys.readouterr().err

    def test_a_run_that_was_made_meanwhile_stays_as_it_is(self, run, folder, tmp_path, monkeypatch):
        root, read = tmp_path / "runs", gpt.exchange.importing.read_pretrained

        def slow(source, progress):
            shutil.copytree(run.path, root / "theirs")
            return read(source, progress)

        monkeypatch.setattr(gpt.exchange.importing, "read_pretrained", slow)
        with pytest.raises(UserError, match=says("there is a run theirs already")):
            import_run(folder, root, "theirs")
        assert same_weights(root / "theirs" / "best.safetensors", run.path / "best.safetensors")

    def test_a_failure_in_the_middle_leaves_nothing(self, folder, tmp_path, monkeypatch):
        def fail(*_, **__):
            raise UserError("no room")

        monkeypatch.setattr(gpt.exchange.importing, "make_probes", fail)
        with pytest.raises(UserError, match="no room"):
            import_run(folder, tmp_path, "half")
        assert list(tmp_path.iterdir()) == []


def change(own, name: str, **changes) -> None:
    path = own / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(own) -> None:
    path = own / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def reshaped(own) -> None:
    weights = load_file(own / "model.safetensors")
    weights["transformer.wpe.weight"] = weights["transformer.wpe.weight"][:5].clone()
    del weights["transformer.h.1.mlp.c_fc.bias"]
    save_file(weights, own / "model.safetensors")


@pytest.mark.parametrize(("damage", "facts"), [
    (lambda own: (own / "config.json").unlink(), "has no config.json"),
    (lambda own: (own / "config.json").write_text("{"), "config.json cannot be read"),
    (lambda own: (own / "config.json").write_text("[]"), "kind 'None'"),
    (lambda own: change(own, "config.json", model_type="llama"), "of the kind 'llama' | only gpt2"),
    (lambda own: change(own, "config.json", n_embd="x", n_head=None), "no whole number for n_embd, n_head"),
    (lambda own: change(own, "config.json", activation_function="relu", n_inner=7, scale_attn_by_inverse_layer_idx=True),
     "activation_function is relu | gelu_new | n_inner is 7 | 96 | scale_attn_by_inverse_layer_idx is True"),
    (lambda own: change(own, "config.json", n_positions=10**6), "can be built here | context_length is 1000000"),
    (lambda own: change(own, "config.json", vocab_size=99), "the tokenizer | 300 tokens | its model 99"),
    (lambda own: change(own, "config.json", n_layer=4), "h.3.ln_1.weight is missing"),
    (lambda own: (own / "model.safetensors").unlink(), "lacks model.safetensors"),
    (lambda own: (own / "model.safetensors").rename(own / "pytorch_model.bin"), "pickled | model.safetensors"),
    (cut, "damaged or half downloaded"), (reshaped, "wpe.weight is 5 x 24 | 64 x 24 | h.1.mlp.c_fc.bias is missing"),
    (lambda own: (own / "tokenizer.json").unlink(), "no tokenizer.json | 50,257"),
    (lambda own: (own / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read as a tokenizer"),
    (lambda own: change(own, "tokenizer.json", pre_tokenizer={"type": "Whitespace"}), "another kind | Whitespace"),
])
def test_what_does_not_fit_is_one_sentence(own, tmp_path, damage, facts):
    damage(own)
    with pytest.raises(UserError, match=says(facts)) as caught:
        import_run(own, tmp_path / "runs", "x")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists() or list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("source", ["gpt3", "../none", "", "x" * 5000, "\0"])
def test_an_unknown_source_is_one_sentence(source):
    with pytest.raises(UserError, match=says("no folder here", "gpt2-medium")):
        load_pretrained(source)


def test_without_a_network_it_says_how_to_put_the_folder_there(tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-m", "gpt.pretrained", "--source", "gpt2", "--checkpoints", str(tmp_path / "runs")],
                          env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 2
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("python -m gpt.pretrained: gpt2 (548 MB) cannot be downloaded")
    assert "put config.json, model.safetensors and tokenizer.json of openai-community/gpt2 into a folder" in error
    assert error.endswith("run python -m gpt.pretrained --source FOLDER")
    assert "Traceback" not in done.stderr


def test_any_error_of_the_download_is_one_sentence(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("403 Forbidden\nCheck your token")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(UserError, match=says("gpt2-xl (6431 MB) cannot be downloaded (403 Forbidden)", "--source FOLDER")):
        load_pretrained("gpt2-xl")


def test_a_published_one_is_downloaded_by_its_repository(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repository, **_: asked.append(repository) or str(folder))
    model, _ = load_pretrained("distilgpt2")
    assert asked == ["distilbert/distilgpt2"]
    assert model.config["n_layers"] == 3


def test_a_download_that_breaks_off_goes_on_where_it_was_and_is_kept(folder, tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    theirs = shutil.copytree(folder, tmp_path / "theirs")
    masks = {"transformer.h.0.attn.bias": torch.ones(1, 1, 6000, 4000, dtype=torch.uint8)}  # 24 MB, of which 10 are written at a time
    save_file(load_file(folder / "model.safetensors") | masks, theirs / "model.safetensors", {"format": "pt"})
    with hub(theirs, "openai-community/gpt2", {"model.safetensors": 15_000_000}) as (address, asked):
        for name in ("first", "second"):
            done = subprocess.run([sys.executable, "-m", "gpt.pretrained", "--source", "gpt2", "--checkpoints", str(tmp_path / "runs"),
                                   "--run", name], env={**environment, "HF_ENDPOINT": address}, text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
    first, second = (begin for name, begin in asked if name == "model.safetensors")  # once, in two parts, for both runs
    assert first == 0 < second <= 15_000_000
    assert same_weights(tmp_path / "runs" / "first" / "best.safetensors", tmp_path / "runs" / "second" / "best.safetensors")
