"""The form of the Train tab: what of a kept one can still be used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.config import CONFIG, FIELDS, PRESETS, validate
from gpt.runs.run import Run
from gpt.ui.server import texts
from gpt.ui.tabs import form_memory

FRESH = {"preset": "quick", "run": "", **CONFIG}
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def restored(root: Path, kept) -> dict:
    """What is restored over a folder of runs and texts, by name."""
    base, name, values = form_memory.restored(root, root, kept)
    return {"preset": base.name, "run": name, **values}


@pytest.mark.parametrize("kept", [None, {}, [], "garbage", 5, {"preset": None}, {"something": "else"}])
def test_where_nothing_is_stored_the_form_is_the_default(tmp_path, kept):
    assert restored(tmp_path, kept) == FRESH


def test_what_was_set_comes_back_and_the_rest_follows_the_preset(tmp_path):
    kept = {"preset": "shakespeare-char", "run": "my-run", "batch": 32.0, "learning_rate": 1e-3, "compile": True, "position": "rope"}
    form = restored(tmp_path, kept)
    assert form == {"preset": "shakespeare-char", **PRESETS["shakespeare-char"].config, "run": "my-run", "batch": 32, "learning_rate": 1e-3,
                    "compile": True, "position": "rope"}
    assert type(form["batch"]) is int


@pytest.mark.parametrize(("name", "value"), [
    ("preset", "of another version"), ("preset", ["quick"]), ("run", 5), ("run", "a" * 65), ("batch", 0), ("batch", "8"), ("batch", True),
    ("batch", float("nan")), ("emb_dim", 10**9), ("tokenizer", "words"), ("qk_norm", 1), ("seed", 1.5), ("corpus", "/etc/passwd"),
    ("corpus", "a deleted text"), ("corpus", {"value": "stories"}), ("learning_rate", None), ("learning_rate", 0),
])
def test_a_field_that_makes_no_sense_any_more_costs_only_itself(tmp_path, name, value):
    kept = {"n_layers": 7, "max_steps": 90, name: value}
    assert restored(tmp_path, kept) == {**FRESH, "n_layers": 7, "max_steps": 90}


def test_a_text_comes_back_while_it_is_there(tmp_path, text):
    path = texts.save_text(tmp_path, "bottles.txt", text.encode())
    kept = {"corpus": str(path), "batch": 4}
    assert restored(tmp_path, kept) == {**FRESH, **kept}
    path.unlink()
    assert restored(tmp_path, kept) == {**FRESH, "batch": 4}


@given(st.dictionaries(st.sampled_from(["preset", "run", *CONFIG]), JSON))
def test_whatever_is_stored_each_control_gets_a_value_that_it_can_show(tmp_path_factory, kept):
    form = restored(tmp_path_factory.getbasetemp(), kept)
    assert list(form) == list(FRESH)
    assert form["preset"] in PRESETS
    assert all(field.problem(form[field.name]) is None for field in FIELDS)


def test_the_form_of_every_preset_can_be_trained(tmp_path):
    for preset in PRESETS:
        form = restored(tmp_path, {"preset": preset})
        config = {name: form[name] for name in CONFIG}
        assert validate(config) == config


def test_a_run_to_go_on_from_comes_back_while_it_is_there(trained, tmp_path):
    (tmp_path / "bottles").symlink_to(trained)
    kept = {"preset": "run bottles", "batch": 4}
    form, learned = restored(tmp_path, kept), Run(trained).config()["config"]
    assert (form["preset"], form["batch"]) == ("run bottles", 4)
    assert all(form[name] == learned[name] for name in ("emb_dim", "tokenizer", "vocab_size"))
    assert form["corpus"] == "stories"  # its own is no text of this page
    (tmp_path / "bottles").unlink()
    assert restored(tmp_path, kept) == {**FRESH, "batch": 4}
