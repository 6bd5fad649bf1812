"""The names that callers import from the package, used as the README shows them."""

import subprocess
import sys

import pytest

import gpt
from gpt import CONFIG, GPTDataset, Run, generate_text, load_run, text_to_token_ids, token_ids_to_text, trace
from gpt.interpret.ablation import ablated, head_means, measure
from gpt.interpret.attribution import attribute


@pytest.mark.parametrize("name", gpt.__all__)
def test_every_name_can_be_imported(name):
    assert getattr(gpt, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'GPT5'"):
        _ = gpt.GPT5


def test_the_table_of_settings_does_not_wait_for_pytorch():
    code = "import sys; from gpt import CONFIG, PRESETS, validate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_trained_run_writes_in_three_lines(trained):
    model, tokenizer = load_run(str(trained))
    ids = generate_text(model=model, idx=text_to_token_ids("green bo", tokenizer), max_new_tokens=50,
                        context_length=CONFIG["context_length"], temperature=0.8, top_k=40, top_p=0.95)
    assert token_ids_to_text(ids, tokenizer).startswith("green bo")
    assert ids.shape == (1, 58)


def test_a_snapshot_is_loaded_by_its_step_and_read_by_a_dataset(trained, text):
    model, tokenizer = load_run(trained, step=12)
    x, y = GPTDataset(text, tokenizer, context_length=model.context_length, stride=4)[3]
    assert model(x[None]).shape == (1, model.context_length, tokenizer.n_vocab)
    assert tokenizer.decode(x.tolist()) == text[12:20]
    assert tokenizer.decode(y.tolist()) == text[13:21]


def test_a_model_is_taken_apart_in_a_few_lines(trained):
    model, tokenizer = load_run(trained)
    windows = Run(trained).probes().windows
    other = ablated(model, [(1, 1)], head_means(model, windows[:, :-1]))
    effect = measure(model, other, windows)
    assert effect.change != 0
    assert effect.error > 0
    seen = trace(model, text_to_token_ids("green bo", tokenizer))
    parts = attribute(seen, position=7, token=5, against="mean").parts
    logits = seen.logits()[0, 7]
    assert sum(part.amount for part in parts) == pytest.approx((logits[5] - logits.mean()).item(), abs=1e-4)
