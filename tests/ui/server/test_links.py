"""What a link names, read over a folder of runs: what is here is shown, what is not is told in a sentence."""

import re

import gradio as gr
import pytest

from gpt.config import FIELDS, PRESETS
from gpt.runs.run import find_run
from gpt.ui.server import links, texts
from gpt.ui.tabs.links import form_of
from tests.says import says

BEGINNING = "v=1&tab="


@pytest.fixture
def read(own_root):
    """read(what follows the version) -> Link"""
    return lambda fragment: links.read(BEGINNING + fragment, own_root, own_root)


class TestWhatIsHereIsShown:
    def test_a_place_on_attention(self, read, own_root):
        step = find_run(own_root, "bottles").snapshots()[1]
        link = read(f"attention&run=bottles&step={step}&prompt=green+b%C3%B6&head=1.0&token=3&view=lines&panel=logit-lens")
        assert link.lacks == []
        assert (link.tab, link.runs, link.step, link.prompt) == ("attention", ["bottles"], step, "green bö")
        assert link.selection == {"layer": 1, "head": 0, "token": 3, "view": "lines", "panel": "logit-lens"}

    def test_a_place_on_generate(self, read):
        link = read("generate&run=bytes&prompt=")
        assert (link.tab, link.runs, link.step, link.prompt, link.lacks) == ("generate", ["bytes"], None, "", [])

    def test_several_runs(self, read):
        link = read("runs&run=bytes&run=bottles")
        assert (link.tab, link.runs, link.lacks) == ("runs", ["bytes", "bottles"], [])

    def test_settings_come_upon_those_of_their_preset(self, read, own_root):
        link = read("train&preset=induction&batch=8&learning_rate=0.003&qk_norm=false&activation=gelu")
        assert link.lacks == []
        preset, *values = form_of(link, own_root)
        config = dict(zip((field.name for field in FIELDS), values, strict=True))
        changed = {"batch": 8, "learning_rate": 0.003, "qk_norm": False, "activation": "gelu"}
        assert (preset["value"], config) == ("induction", {**PRESETS["induction"].config, **changed})

    def test_a_text_is_found_by_the_name_of_its_file(self, read, own_root):
        path = texts.save_text(own_root, "mine.txt", b"Once and again.")
        assert read(f"train&corpus={path.name}").settings == {"corpus": str(path)}
        assert read("train&corpus=repeats").settings == {"corpus": "repeats"}

    @pytest.mark.parametrize("tab", list(links.NAMES))
    def test_a_tab_alone_leaves_everything_as_it_is(self, read, own_root, tab):
        link = read(tab)
        assert (link.tab, link.lacks) == (tab, [])
        assert all(value == gr.skip() for value in form_of(link, own_root))


class TestWhatIsNotHereIsTold:
    @pytest.mark.parametrize(("fragment", "facts"), [
        ("", "version none"), ("top", "version none"), ("v=2&tab=train", "version 2 | 1"), ("v=1", "no tab ''"),
        ("v=1&tab=secrets", "no tab 'secrets'"), ("v=1&tab=train&prompt=" + "x" * 10_000, "10,021 | 8,000"),
        ("%00%FF=&;;&&==", "version none"), (None, "no link"), ({"v": 1}, "no link"), ([], "no link"),
    ])
    def test_nothing_of_such_a_link_is_shown(self, own_root, fragment, facts):
        link = links.read(fragment, own_root, own_root)
        assert link.tab is None
        assert len(link.lacks) == 1
        assert re.search(says(facts), link.lacks[0])

    @pytest.mark.parametrize(("fragment", "facts"), [
        ("attention&run=gone", "'gone' | deleted or renamed"), ("generate&run=..%2Fbottles", "'../bottles'"), ("runs&run=gone", "'gone'"),
        ("attention&run=%3Cb%3E", "'<b>'"), ("generate&run=", "''"), ("attention&run=bottles&step=7777", "step 7777 | best weights"),
        ("attention&run=bottles&step=x", "step x"), ("attention&run=bottles&head=9.0", "no head '9.0'"),
        ("attention&run=bottles&head=0.9", "2 layers of 2 heads"), ("attention&run=bottles&head=-1.0", "'-1.0'"),
        ("attention&run=bottles&head=1", "no head '1'"), ("attention&run=bottles&head=1.0.0", "'1.0.0'"),
        ("attention&run=bottles&token=x", "no token 'x'"), ("attention&run=bottles&view=x", "no view 'x'"),
        ("attention&run=bottles&panel=<b>", "no panel '<b>'"), ("generate&head=1.0", "'head'"), ("train&foo=1", "'foo'"),
        ("train&preset=x", "The preset 'x' is not here"),
        ("train&preset=run+x", "Run 'x', to go on from, is not here"),
        ("train&batch=0", "batch is 0 | from 1 to 1024"), ("train&batch=many", "'many'"),
        ("train&learning_rate=nan", "learning_rate is nan"), ("train&qk_norm=maybe", "true or false"),
        ("train&corpus=/etc/passwd", "'/etc/passwd' is not on this page"), ("train&tokenizer=x", "one of"),
    ])
    def test_the_rest_is_shown_and_one_sentence_says_what_is_missing(self, read, fragment, facts):
        link = read(fragment)
        assert link.tab == fragment.split("&")[0]
        assert len(link.lacks) == 1
        assert re.search(says(facts), link.lacks[0])
        assert not link.settings
        assert not link.selection

    def test_a_run_that_has_no_weights_yet_cannot_be_shown(self, read, own_root):
        (own_root / "bottles" / "best.safetensors").unlink()
        assert read("attention&run=bottles&head=1.0").runs == []
        assert read("runs&run=bottles").runs == ["bottles"]

    @pytest.mark.parametrize("config", ["{", '{"config": {"n_layers": "x", "n_heads": 2}}', '{"config": {}}', "[]"])
    def test_a_damaged_run_cannot_be_shown(self, read, own_root, config):
        (own_root / "bottles" / "config.json").write_text(config, encoding="utf-8")
        link = read("attention&run=bottles&head=1.0")
        assert (link.runs, len(link.lacks)) == ([], 1)


def test_names_of_settings_and_of_places_cannot_be_mixed_up():
    settings = {field.name for field in FIELDS}
    for tab, names in links.NAMES.items():
        assert len(set(names)) == len(names)
        assert tab == "train" or not settings & set(names)
