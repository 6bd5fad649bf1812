"""CONFIG: the one table of fields, its checks, its flags and its presets."""

import math
from pathlib import Path

import pytest

from gpt.cli import Parser
from gpt.config import CONFIG, FIELDS, PRESETS, ConfigError, add_flags, as_flags, fields_table, presets_table, validate
from tests.says import says

HUGE = pytest.param(10**400, id="huge")  # too large for a float


def problems(config: dict) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        validate(config)
    return caught.value.problems


def test_the_defaults_are_valid_and_come_back_unchanged():
    assert validate(CONFIG) is CONFIG


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_says_what_it_is(name):
    assert validate(PRESETS[name].config)
    assert PRESETS[name].sentence.endswith(".")
    assert set(PRESETS[name].changes) <= set(CONFIG)


def test_all_problems_are_told_together():
    found = problems({**CONFIG, "emb_dim": 3, "batch": 0, "tokenizer": "words", "tie_weights": 1, "speed": 9})
    assert set(found) == {"emb_dim", "batch", "tokenizer", "tie_weights", "speed"}


def test_the_error_joins_its_sentences():
    with pytest.raises(ConfigError, match=says("batch is 0", "1 to 1024", "seed is -1")):
        validate({**CONFIG, "batch": 0, "seed": -1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.1", None, [0.1], -1, 2, HUGE])
def test_what_is_no_number_in_the_limits_is_a_problem(value):
    assert list(problems({**CONFIG, "learning_rate": value})) == ["learning_rate"]


@pytest.mark.parametrize("value", [4.0, True, "4", None, math.nan, 0, 49, HUGE])
def test_what_is_no_whole_number_in_the_limits_is_a_problem(value):
    assert list(problems({**CONFIG, "n_layers": value})) == ["n_layers"]


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_what_is_no_bool_is_a_problem(value):
    assert problems({**CONFIG, "qk_norm": value})["qk_norm"].endswith("set it to true or false")


def test_a_whole_number_will_do_for_a_fraction():
    assert validate({**CONFIG, "weight_decay": 0, "epoch": 2})


def test_a_rate_at_which_nothing_is_learned_is_refused():
    assert "0.1" in problems({**CONFIG, "learning_rate": 0})["learning_rate"]


@pytest.mark.parametrize("field", [field for field in FIELDS if field.stops], ids=lambda field: field.name)
def test_the_stops_of_a_slider_rise_are_allowed_and_hold_the_default(field):
    assert list(field.stops) == sorted(set(field.stops))
    assert all(field.problem(stop) is None for stop in field.stops)
    assert field.default in field.stops
    assert len(field.stops) <= 45, "more than a mouse can tell apart"


def test_sliders_reach_what_people_ask_for():
    stops = {field.name: field.stops for field in FIELDS}
    assert {3, 12} <= set(stops["n_layers"])
    assert {128, 384, 768} <= set(stops["emb_dim"])
    assert {3e-4, 6e-4, 1e-3} <= set(stops["learning_rate"])


def test_a_missing_field_is_named_with_what_to_set():
    config = {name: value for name, value in CONFIG.items() if name != "n_heads"}
    assert problems(config) == {"n_heads": "n_heads is missing: set it to a whole number from 1 to 32"}


def test_an_unknown_field_names_the_nearest():
    assert problems({**CONFIG, "emd_dim": 64}) == {"emd_dim": "emd_dim is not a setting: did you mean emb_dim?"}


def test_an_unknown_field_like_no_other_is_only_named():
    assert problems({**CONFIG, "zzzzzz": 64}) == {"zzzzzz": "zzzzzz is not a setting"}


@pytest.mark.parametrize(("name", "limits"), [
    ("seed", "a whole number from 0 to 2147483647"), ("learning_rate", "a number from 1e-09 to 0.1"), ("qk_norm", "true or false"),
    ("optimizer", "one of adamw, muon"), ("corpus", "text"), ("max_minutes", "a number from 0 to 100000"),
])
def test_limits_are_told_in_full(name, limits):
    assert next(field for field in FIELDS if field.name == name).limits() == limits


def test_a_long_value_is_shortened():
    assert len(problems({**CONFIG, "tokenizer": "x" * 1000})["tokenizer"]) < 150


@pytest.mark.parametrize(("emb_dim", "n_heads", "remedy"), [(130, 4, "use 128 or 132"), (4, 8, "use 8")])
def test_a_width_that_heads_cannot_share_names_those_next_to_it_that_they_can(emb_dim, n_heads, remedy):
    assert problems({**CONFIG, "emb_dim": emb_dim, "n_heads": n_heads})["emb_dim"].endswith(f": {remedy}")


def test_rope_needs_an_even_head_width():
    odd = {**CONFIG, "emb_dim": 12, "n_heads": 4}
    assert "= 3 is odd" in problems({**odd, "position": "rope"})["position"]
    assert validate({**odd, "position": "learned"})


@pytest.mark.parametrize("vocab_size", [255, 65537])
def test_bpe_needs_the_256_bytes_and_has_a_highest_size(vocab_size):
    assert list(problems({**CONFIG, "tokenizer": "bpe", "vocab_size": vocab_size})) == ["vocab_size"]
    assert validate({**CONFIG, "tokenizer": "char", "vocab_size": vocab_size})


def test_a_run_must_end():
    assert "never end" in problems({**CONFIG, "epoch": 0.0, "max_steps": 0, "max_minutes": 0.0})["epoch"]
    assert validate({**CONFIG, "epoch": 0.0, "max_steps": 0, "max_minutes": 1.0})


@pytest.mark.parametrize("config", [CONFIG, *(preset.config for preset in PRESETS.values())], ids=["defaults", *PRESETS])
def test_flags_round_trip(config):
    parser = Parser()
    add_flags(parser, FIELDS)
    assert vars(parser.parse_args(as_flags(config))) == config


def test_a_flag_that_is_not_given_stays_out():
    parser = Parser()
    add_flags(parser, FIELDS)
    assert vars(parser.parse_args(["--qk_norm", "FALSE", "--epoch", "1.5"])) == {"qk_norm": False, "epoch": 1.5}


def test_a_flag_with_a_wrong_value_is_left_for_the_check_to_name():
    parser = Parser()
    add_flags(parser, FIELDS)
    assert vars(parser.parse_args(["--batch", "many"])) == {"batch": "many"}


def test_what_a_run_may_change_when_it_is_resumed_changes_neither_its_model_nor_its_text():
    changeable = {field.name: field.group for field in FIELDS if field.changeable}
    assert {"max_steps", "learning_rate", "head_scores"} <= changeable.keys()
    assert set(changeable.values()) == {"training"}


def test_the_fields_table_has_a_row_for_each_field():
    rows = fields_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [field.name for field in FIELDS]
    assert all(row.count("|") == 4 for row in rows)


@pytest.mark.parametrize("table", [fields_table, presets_table])
def test_a_readme_shows_the_tables_of_fields_and_presets(table):
    readme = Path(__file__).resolve().parents[1] / "gpt" / "README.md"
    assert table() in readme.read_text(encoding="utf-8")
