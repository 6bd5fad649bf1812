"""The dial "How long" of the Train tab: what a press puts into the form, and for whom."""

import gradio as gr
import pytest

from gpt.config import CONFIG, FIELDS, PRESETS, validate
from gpt.estimate.plan import MINUTES, Plan
from gpt.model.flops import count_parameters
from gpt.runs.run import find_run
from gpt.runs.writer import RunWriter
from gpt.ui.server import texts
from gpt.ui.server.access import Caps
from gpt.ui.server.bases import base_of, name_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import how_long
from gpt.ui.tabs.how_long import UNPLANNED, HowLong, take_plan
from tests.says import says


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """What a press says."""
    shown: list[str] = []
    monkeypatch.setattr(how_long, "show_message", shown.append)
    return shown


@pytest.fixture
def own_text(jobs, text) -> str:
    return str(texts.save_text(jobs.root, "My bottles.txt", 20 * text.encode()))


def pressed(jobs, config: dict, minutes: float = 0.02, preset: str = "quick") -> tuple[str, dict]:
    """The preset and the form after a press."""
    name, processes, *values = take_plan(jobs, minutes, preset, "", *config.values())
    assert processes == 1
    return name, dict(zip([field.name for field in FIELDS], values, strict=True))


def test_a_press_fills_the_form_with_a_plan_for_this_text(jobs, own_text, shown):
    classic = {**PRESETS["gpt2-classic"].config, "corpus": own_text, "tokenizer": "char", "seed": 7}
    name, form = pressed(jobs, classic, preset="gpt2-classic")
    assert name == "quick"
    assert {field for field in form if form[field] == gr.skip()} == set(UNPLANNED)
    assert form["optimizer"] == "muon"
    validate({**form, **{field: classic[field] for field in UNPLANNED}})
    assert [f"max_steps {form['max_steps']:,}" in sentence for sentence in shown] == [True]


def test_longer_is_more(jobs, own_text, shown, monkeypatch):
    def planned(minutes: float, n_tokens: int, config: dict, allowed: object) -> Plan:
        return Plan({**config, "max_steps": round(minutes * n_tokens)}, ("max_steps",), minutes, 1)

    monkeypatch.setattr(how_long, "plan", planned)
    steps = [pressed(jobs, {**CONFIG, "corpus": own_text}, minutes)[1]["max_steps"] for minutes in MINUTES]
    assert steps == [round(minutes * steps[0]) for minutes in MINUTES]


def test_a_run_to_go_on_from_keeps_its_sizes(library_jobs, root, shown):
    base = base_of(root, name_of(find_run(root, "bytes")))
    name, form = pressed(library_jobs, {**base.config, "corpus": "stories"}, preset=base.name)
    assert name == base.name
    assert {field for field in form if form[field] != gr.skip()} == {"max_steps", "eval_every"}


def test_sizes_that_fit_no_model_make_way(jobs, own_text, shown):
    _, form = pressed(jobs, {**CONFIG, "corpus": own_text, "emb_dim": 18, "n_heads": None, "context_length": "x"})
    planned = {**CONFIG, **{field: value for field, value in form.items() if field not in UNPLANNED}}
    assert validate(planned) == planned


def test_what_a_visitor_may_not_train_is_not_planned(tmp_path, own_text, shown):
    public = Jobs(tmp_path / "public", Caps(parameters=500_000), "word")
    found = how_long.planned(public, base_of(public.root, "quick"), {**CONFIG, "corpus": "stories", "tokenizer": "byte"}, 5, "a" * 32)
    assert sum(count_parameters(found.config).values()) <= 500_000


def test_beside_a_run_that_trains_nothing_is_timed(jobs, own_text, shown):
    with RunWriter(jobs.root / "a") as writer:
        writer.write_status(state="running", step=1, steps=9)
        with pytest.raises(gr.Error, match=says("a is training")):
            pressed(jobs, {**CONFIG, "corpus": own_text})


@pytest.mark.parametrize(("changes", "fact"), [({"corpus": "/etc/passwd"}, "not on this page"), ({"tokenizer": "words"}, "tokenizer")])
def test_what_cannot_be_planned_is_told(jobs, own_text, shown, changes, fact):
    with pytest.raises(gr.Error, match=says(fact)):
        pressed(jobs, {**CONFIG, "corpus": own_text, **changes})
    assert shown == []


def test_visitors_are_offered_what_they_may_have(tmp_path):
    def offered(caps: Caps | None) -> list[float]:
        with gr.Blocks():
            return list(HowLong(Jobs(tmp_path, caps)).buttons)

    assert offered(None) == list(MINUTES)
    assert offered(Caps(minutes=10)) == [minutes for minutes in MINUTES if minutes <= 10]
