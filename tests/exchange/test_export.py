"""A run as a folder of Hugging Face's: `transformers` loads it, and finds the same tokens, logits and text."""

import json
import random
import re
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt.data.tokenizers.bpe import BPETokenizer, gpt2_tokenizer, merges, train_bpe
from gpt.errors import UserError
from gpt.exchange.folders import new_folder
from gpt.exchange.huggingface import write_huggingface
from gpt.exchange.model_card import model_card
from gpt.exchange.tokenizer_json import tokenizer_json
from gpt.export import main
from gpt.model.sampling import generate_text
from gpt.runs.run import Run, load_run
from gpt.runs.session import Session
from tests.conftest import TEXT, TINY
from tests.says import says
from tests.sessions import finish

pytestmark = pytest.mark.usefixtures("short_samples")
CLASSIC = {**TINY, "position": "learned", "activation": "gelu", "qk_norm": False, "max_steps": 4, "head_scores": 0}
KINDS = {
    "char": {}, "byte": {"tokenizer": "byte", "context_length": 32}, "bpe": {"tokenizer": "bpe", "vocab_size": 300, "qkv_bias": False},
    "gpt2": {"tokenizer": "gpt2", "emb_dim": 8, "vocab_multiple": 64}, "untied": {"tie_weights": False, "vocab_multiple": 16}}

only_bpe = pytest.mark.parametrize("exported", ["bpe"], indirect=True)  # where the kind of tokens makes no difference


@pytest.fixture(scope="module")
def text_path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("text") / "bottles.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module", params=KINDS)
def exported(request, text_path, tmp_path_factory):
    """(a run of each kind, the folder that it was exported to)."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gpt.runs.recorder.SAMPLE_TOKENS", 8)
        run = finish(Session(root, request.param, {**CLASSIC, "corpus": text_path, **KINDS[request.param]}))
    write_huggingface(run, root / "exported")
    return run, root / "exported"


def test_transformers_gives_the_same_tokens_logits_and_text(exported):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, folder = exported
    (model, tokenizer), theirs = load_run(run.path), AutoTokenizer.from_pretrained(folder)
    their_model = AutoModelForCausalLM.from_pretrained(folder).eval()
    text = "7 green bottles"
    ids = tokenizer.encode(text)
    assert theirs(text)["input_ids"] == ids
    assert theirs.decode(ids) == text
    ids = torch.tensor([ids[:4]])
    with torch.no_grad():
        torch.testing.assert_close(their_model(ids).logits, model(ids), rtol=0, atol=1e-5)
    written = their_model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False, pad_token_id=0,
                                   eos_token_id=None)
    assert torch.equal(written, generate_text(model, ids, max_new_tokens=4, temperature=0.0))


def test_the_folder_has_no_pickle_and_says_what_it_is(exported):
    run, folder = exported
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "generation_config.json", "tokenizer.json",
                                                        "tokenizer_config.json", "README.md"}
    card, config = (folder / "README.md").read_text(encoding="utf-8"), json.loads((folder / "config.json").read_text())
    assert config["vocab_size"] == run.config()["config"]["vocab_size"]
    evaluations = [row for row in run.rows()[0] if "val_loss" in row]
    assert f"| {evaluations[-1]['step']} |" in card
    assert f"{evaluations[-1]['val_loss']:.4f}" in card
    assert f"| `seed` | {run.config()['config']['seed']} |" in card
    assert "bottles.txt" in card
    assert str(run.path.parent) not in card  # a path of this machine is nobody's business


def test_everybody_may_read_all_files_as_they_may_the_first(exported):
    _, folder = exported
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


@only_bpe
def test_the_card_says_where_the_weights_come_from(exported):
    run, folder = exported
    assert "trained from scratch" in (folder / "README.md").read_text(encoding="utf-8")
    about = run.config()
    assert "which went on from gpt2" in model_card(run, {**about, "went_on_from": "gpt2"}, None)
    assert "the weights of gpt2" in model_card(run, {**about, "imported_from": "gpt2"}, None)


CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@only_bpe
def test_the_code_of_the_model_card_runs(exported, capsys):
    _, folder = exported
    code = CODE.search((folder / "README.md").read_text(encoding="utf-8"))[1].replace("PATH", str(folder)).replace("max_new_tokens=40",
                                                                                                                "max_new_tokens=2")
    exec(compile(code, "card", "exec"), {})
    assert "Once" in capsys.readouterr().out


@pytest.fixture(scope="module")
def pairs():
    """(ours, theirs) of two tokenizers: GPT-2's, and one that learned from a text with all kinds of characters."""
    from tokenizers import Tokenizer

    learned = train_bpe([(TEXT + " Ünïcödé 漢字 🙂 don't we'll  \n\n\t1234 ") * 20], 400)
    return [(ours, Tokenizer.from_str(tokenizer_json(ours))) for ours in (learned, gpt2_tokenizer())]


@given(st.text(max_size=200))
def test_ids_of_any_text_are_the_same(pairs, text):
    for ours, theirs in pairs:
        if "<|endoftext|>" not in text:
            assert theirs.encode(text).ids == ours.encode(text)


def test_merges_are_those_that_gpt2_was_published_with():
    published = merges(gpt2_tokenizer().ranks)
    assert published[:3] == [(b" ", b"t"), (b" ", b"a"), (b"h", b"e")]
    assert len(published) == 50_000


def test_a_token_that_is_not_made_of_two_others_is_an_error():
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"abc": 256}
    with pytest.raises(ValueError, match="is not made of two others"):
        merges(BPETokenizer(ranks).ranks)


def flags(run: Run, *more: str) -> list[str]:
    return ["--run", run.name, "--checkpoints", str(run.path.parent), *more]


@only_bpe
def test_the_command_exports_a_snapshot(exported, tmp_path, capsys):
    run, _ = exported
    main(flags(run, "--to", str(tmp_path / "new" / "folder"), "--step", "0"))
    assert "from_pretrained" in capsys.readouterr().out
    assert "its weights at step 0" in (tmp_path / "new" / "folder" / "README.md").read_text()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["folder"]


@only_bpe
def test_a_folder_that_is_not_empty_stays_as_it_is(exported, tmp_path, capsys):
    run, _ = exported
    (tmp_path / "mine.txt").write_text("mine")
    for to in (tmp_path, tmp_path / "mine.txt", Path("/"), Path(".")):
        with pytest.raises(SystemExit) as caught:
            main(flags(run, "--to", str(to)))
        assert caught.value.code == 2
        assert f"{to.absolute()} is there already and not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@only_bpe
def test_an_empty_folder_is_filled(exported, tmp_path):
    (tmp_path / "empty").mkdir()
    write_huggingface(exported[0], tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").exists()


@only_bpe
@pytest.mark.parametrize(("more", "told"), [(["--step", "3"], "no snapshot at step 3"), (["--run", "none"], "no run none")])
def test_a_mistake_is_one_sentence_and_leaves_nothing(exported, tmp_path, capsys, more, told):
    with pytest.raises(SystemExit):
        main([*flags(exported[0], "--to", str(tmp_path / "x")), *more])
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_the_format_cannot_hold_is_refused_with_the_reason(trained, tmp_path):
    with pytest.raises(UserError, match=says("run bottles cannot be exported", "position is rope", "activation is relu2", "gpt2-classic")):
        write_huggingface(Run(trained), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@only_bpe
def test_a_disk_without_room_keeps_nothing(exported, small_disk):
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/full", "bs=1k", "count=2040"], capture_output=True, check=True)
    with pytest.raises(UserError, match=says("No space left", "make room")):
        write_huggingface(exported[0], small_disk / "x")
    assert [path.name for path in small_disk.iterdir()] == ["full"]


def test_a_write_that_fails_keeps_nothing(tmp_path):
    with pytest.raises(UserError, match=says("cannot be written", "Permission denied")), new_folder(tmp_path / "x") as folder:
        (folder / "half").write_text("half")
        raise PermissionError(13, "Permission denied")
    assert list(tmp_path.iterdir()) == []


def test_random_bytes_are_tokens_too(pairs):
    text = random.Random(1).randbytes(2000).decode("latin-1")
    for ours, theirs in pairs:
        assert theirs.encode(text).ids == ours.encode(text)
