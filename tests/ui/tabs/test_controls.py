"""Controls made from the table of fields, and what browsers send back."""

import math

import gradio as gr
import pytest

from gpt.config import CONFIG, FIELDS, PRESETS, Field
from gpt.errors import UserError
from gpt.model.sampling import SAMPLING_FIELDS
from gpt.ui.server.values import text_of, typed
from gpt.ui.tabs.controls import FINEST, control, errors_as_messages, in_a_toast
from gpt.ui.tabs.settings import EVERYTHING, Settings, reset
from tests.says import says

ALL = [pytest.param(field, id=field.name) for field in (*FIELDS, *SAMPLING_FIELDS)]


@pytest.mark.parametrize("field", ALL)
def test_a_control_shows_the_default_and_says_what_it_is(field):
    made = control(field)
    assert (made.label, made.info, made.value) == (field.name, field.help, field.default)
    wanted = {bool: gr.Checkbox, str: gr.Dropdown if field.choices else gr.Textbox}.get(field.kind, (gr.Slider, gr.Number))
    assert isinstance(made, wanted)


@pytest.mark.parametrize("field", [param for param in ALL if param.values[0].kind in (int, float)])
def test_a_control_of_a_number_reaches_from_limit_to_limit(field):
    made = control(field)
    assert (made.step, made.maximum) == (field.step, field.maximum)
    assert isinstance(made, gr.Number) or not field.stops
    assert field.minimum <= made.minimum < field.minimum + field.step
    if isinstance(made, gr.Slider):  # the default is one of its positions
        steps = (field.default - made.minimum) / field.step
        assert steps == pytest.approx(round(steps), abs=1e-6)
        assert (made.maximum - made.minimum) / made.step <= FINEST


def test_a_range_too_wide_for_a_slider_is_a_number_to_type():
    made = {field.name: control(field) for field in FIELDS}
    assert isinstance(made["max_steps"], gr.Number)
    assert isinstance(made["seed"], gr.Number)
    assert isinstance(control(SAMPLING_FIELDS[1]), gr.Slider)


def test_a_control_takes_another_value_and_a_style():
    made = control(FIELDS[1], "char", min_width=250)
    assert (made.value, made.min_width) == ("char", 250)
    assert control(Field("x", True, ""), False).value is False


def test_every_setting_has_one_control_in_the_order_of_the_table(jobs, monkeypatch):
    monkeypatch.setattr(jobs, "usual_processes", lambda config: 3)
    with gr.Blocks():
        settings = Settings(gr.Dropdown(["stories"]), jobs)
        settings.lay_out_sliders()
        in_sight = set(settings.controls)
        settings.lay_out_all()
    assert (settings.processes.value, settings.processes.visible) == (3, True)
    assert list(settings.controls) == list(CONFIG)
    assert in_sight == {"corpus", "n_layers", "n_heads", "emb_dim", "context_length", "learning_rate", "batch", "max_steps"}


@pytest.mark.parametrize("name", ["batch", "tokenizer", "compile"])
def test_one_setting_is_reset_to_what_the_preset_has(jobs, name):
    values = dict(zip(CONFIG, reset(jobs, "shakespeare-char", name), strict=True))
    assert values.pop(name) == PRESETS["shakespeare-char"].config[name]
    assert all(value == gr.skip() for value in values.values())


def test_all_settings_but_the_text_are_reset(jobs):
    values = dict(zip(CONFIG, reset(jobs, "induction", EVERYTHING), strict=True))
    assert values.pop("corpus") == gr.skip()
    assert values == {name: value for name, value in PRESETS["induction"].config.items() if name != "corpus"}


@pytest.mark.parametrize(("preset", "told"), [("no preset", "there is no preset"), ("run gone", "no run gone"), (5, "must be text")])
def test_nothing_is_reset_to_what_is_not_there(jobs, preset, told):
    with pytest.raises(gr.Error, match=says(told)):
        reset(jobs, preset, "batch")


@pytest.mark.parametrize(("preset", "name"), [(None, "batch"), ("quick", "no setting"), ("quick", None)])
def test_nonsense_resets_nothing_or_to_the_default(jobs, preset, name):
    values = dict(zip(CONFIG, reset(jobs, preset, name), strict=True))
    assert all(value in (CONFIG[field], gr.skip()) for field, value in values.items())


@pytest.mark.parametrize(("default", "sent", "wanted"), [
    (1, 4.0, 4), (1, 4, 4), (1.0, 4, 4.0), (1.0, 4.0, 4.0), (1, -0.0, 0), (1, 1e20, 10**20),
    (1, 4.5, 4.5), (1, "4", "4"), (1, None, None), (1.0, None, None), (1.0, 10**400, 10**400),
    (1.0, True, True), (1, True, True), (True, 1, 1),
    (True, False, False), ("a", 5, 5), (1, math.inf, math.inf), (1, [4.0], [4.0]),
])
def test_whole_numbers_come_back_as_the_field_wants_them_and_the_rest_as_it_is(default, sent, wanted):
    got = typed((Field("x", default, ""),), [sent])["x"]
    assert (type(got), got) == (type(wanted), wanted)


def test_values_go_by_the_order_of_the_fields():
    assert typed(FIELDS, list(CONFIG.values())) == CONFIG
    with pytest.raises(UserError, match=says(2, len(FIELDS), "corpus", "seed")):
        typed(FIELDS, [1, 2])


def test_a_users_mistake_becomes_a_message_and_ours_does_not():
    with pytest.raises(gr.Error, match="lower it") as caught, errors_as_messages():
        raise UserError("lower it")
    assert caught.value.print_exception is False
    with pytest.raises(KeyError), errors_as_messages():
        raise KeyError("ours")


def test_a_message_shows_what_was_written_as_it_stands():
    with pytest.raises(gr.Error) as caught, errors_as_messages():
        raise UserError("'<img src=x>' & \x1b[2J")
    assert caught.value.message == "'&lt;img src=x&gt;' &amp; \u241b[2J"
    assert in_a_toast("Run a-1 goes on") == "Run a-1 goes on"


@pytest.mark.parametrize("value", [5, True, [], {}, b"x"])
def test_what_is_no_text_is_told(value):
    assert text_of("x", "the name") + text_of(None, "the name") == "x"
    with pytest.raises(UserError, match=says("name", "text")):
        text_of(value, "the name")
