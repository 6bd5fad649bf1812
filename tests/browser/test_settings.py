"""The form of the Train tab: what is in sight, sliders, what differs from the preset, the search."""

import re

import pytest
from playwright.sync_api import Page, expect

from gpt.config import CONFIG, FIELDS, PRESETS
from gpt.runs.run import Run
from tests.browser.conftest import PATIENT, wait_until_ready
from tests.browser.test_page import open_box
from tests.conftest import CORES
from tests.sessions import until, while_it_moves

PROMINENT = [field for field in FIELDS if field.prominent]


def block(page: Page, name: str):
    return page.locator(f"#setting-{name}")


def number(page: Page, name: str):
    return block(page, name).locator("input[type=number]")


def slider(page: Page, name: str):
    return block(page, name).locator("input[type=range]")


def command(page: Page):
    return page.locator("#price .gpt-command")


def choose_preset(page: Page, name: str) -> None:
    page.locator("#preset input").click()
    page.locator("[data-testid=dropdown-option]", has_text=name).click()
    expect(command(page)).to_contain_text(f"--preset {name} --run", timeout=PATIENT)


def test_all_that_matters_is_in_sight_without_scrolling(open_page):
    page = open_page()
    parts = ["#preset", "#source", "#price .gpt-price", "#train", "#pause", "#stop", "#monitor .gpt-facts", "#monitor .js-plotly-plot"]
    parts += [f"#setting-{field.name} input[type=range]" for field in PROMINENT]
    for part in parts:
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 800, part


def test_a_mouse_can_hit_every_stop_of_a_slider(open_page):
    page = open_page()
    for field in PROMINENT:
        box = slider(page, field.name).bounding_box()
        assert box["width"] / (len(field.stops) - 1) >= 5, field.name  # pixels from stop to stop
    for name, value in (("n_layers", 3), ("emb_dim", 128), ("learning_rate", 3e-4), ("learning_rate", 6e-4)):
        stops, box = next(field.stops for field in FIELDS if field.name == name), slider(page, name).bounding_box()
        thumb = 16
        at = thumb / 2 + (box["width"] - thumb) * stops.index(value) / (len(stops) - 1)
        slider(page, name).click(position={"x": at, "y": box["height"] / 2})
        expect(number(page, name)).to_have_value(str(value))
    expect(command(page)).to_contain_text("--learning_rate 0.0006 ", timeout=PATIENT)


def test_keys_move_a_slider_and_the_box_takes_what_it_does_not_reach(open_page):
    page = open_page()
    slider(page, "n_layers").focus()
    page.keyboard.press("ArrowRight")
    expect(number(page, "n_layers")).to_have_value("4")
    number(page, "n_layers").fill("20")
    number(page, "n_layers").press("Tab")
    expect(command(page)).to_contain_text("--n_layers 20 ", timeout=PATIENT)
    expect(slider(page, "n_layers")).to_have_value(str(len(PROMINENT[0].stops) - 1))  # at its end


def test_the_name_of_a_number_leads_to_its_box_and_arrows_step_from_zero(open_page):
    page = open_page()
    number(page, "batch").fill("24")
    block(page, "batch").locator("[data-testid=block-info]").click()
    expect(number(page, "batch")).to_be_focused()
    expect(number(page, "batch")).to_have_value("24")
    for name, stepped in (("emb_dim", "136"), ("context_length", "264"), ("learning_rate", "0.0101")):
        number(page, name).focus()
        page.keyboard.press("ArrowUp")
        expect(number(page, name)).to_have_value(stepped)


def test_what_differs_from_the_preset_is_marked_and_taken_back(open_page):
    page = open_page()
    open_box(page, "All settings")
    expect(page.locator(".gpt-changed-settings")).to_contain_text("All as in the preset", timeout=PATIENT)
    for name, value in (("batch", 24), ("seed", 5)):
        number(page, name).fill(str(value))
        number(page, name).press("Tab")
    block(page, "compile").locator("input").check()
    expect(command(page)).to_contain_text("--batch 24 --compile true --seed 5 ", timeout=PATIENT)
    expect(page.locator(".gpt-changed")).to_have_count(3)
    expect(page.locator(".gpt-changed-settings")).to_contain_text("3 changed: batch, compile, seed")
    page.get_by_label("reset compile").click()
    expect(block(page, "compile").locator("input")).not_to_be_checked()
    expect(page.locator(".gpt-changed")).to_have_count(2)
    page.get_by_role("button", name="Reset all").click()
    expect(page.locator(".gpt-changed")).to_have_count(0)
    expect(number(page, "batch")).to_have_value(str(CONFIG["batch"]))
    expect(command(page)).to_contain_text("--preset quick --run", timeout=PATIENT)


def test_settings_are_searched_by_name_and_by_sentence(open_page):
    page = open_page()
    open_box(page, "All settings")
    settings = page.locator("#all-settings .gpt-setting")
    count = len(FIELDS) - len(PROMINENT) + 1  # without the text, with the name of the run and the processes
    expect(settings).to_have_count(count)
    for words, wanted in (("warmup", "warmup"), ("ROTATED", "position"), ("shortened gradients", "grad_clip")):
        page.get_by_label("search the settings").fill(words)
        shown = settings.locator("visible=true")
        expect(shown).to_have_count(1)
        expect(shown.locator("[data-testid=block-info]")).to_contain_text(wanted)
    form, box = (page.locator(part).bounding_box() for part in (".gpt-form", "#settings-box"))
    assert form["x"] <= box["x"] < box["x"] + box["width"] <= form["x"] + form["width"]
    page.get_by_label("search the settings").fill("no such thing")
    expect(settings.locator("visible=true")).to_have_count(0)
    expect(page.locator("#search-settings")).to_contain_text("No setting")
    page.get_by_label("search the settings").fill("")
    expect(settings.locator("visible=true")).to_have_count(count)


@pytest.mark.parametrize("preset", ["gpt2-124m", "induction"])
def test_a_preset_is_still_that_preset_after_a_reload(open_page, preset):
    page = open_page()
    choose_preset(page, preset)
    before = command(page).inner_text()
    assert not any(f"--{name} " in before for name in PRESETS[preset].changes)
    expect(page).to_have_url(re.compile(f"preset={preset}$"), timeout=PATIENT)  # the address follows a moment later
    page.reload()
    wait_until_ready(page)
    expect(command(page)).to_have_text(before, timeout=PATIENT)


def test_a_preset_whose_values_have_not_come_yet_is_not_kept(open_page):
    page = open_page()
    kept = page.evaluate("""() => {
        const values = (name) => gpt.settings.presets[name].values, states = [];
        for (const [preset, of] of [["quick", "quick"], ["induction", "quick"], ["induction", "induction"]]) {
            states.push(gpt.settings.show("as before", preset, "", ...values(of)));
            if (gpt.link.address.timer) gpt.link.write();
            states.push(new URLSearchParams(location.hash.slice(1)).get("preset"));
        }
        return states;
    }""")
    assert kept == [{"preset": "quick", "run": ""}, "quick", "as before", "quick", {"preset": "induction", "run": ""}, "induction"]


def test_an_empty_box_is_told_and_starts_nothing(open_page):
    page = open_page()
    number(page, "learning_rate").fill("")
    number(page, "learning_rate").press("Tab")
    expect(page.locator("#price .gpt-error")).to_contain_text("learning_rate is missing", timeout=PATIENT)
    number(page, "learning_rate").fill("0")
    expect(page.locator("#price .gpt-error")).to_contain_text("learning_rate is 0", timeout=PATIENT)


def test_the_form_stays_in_sight_while_the_other_column_scrolls(open_page):
    page = open_page()
    page.mouse.move(900, 600)
    page.mouse.wheel(0, 500)
    page.wait_for_function("document.scrollingElement.scrollTop > 200")
    box = page.locator("#train").bounding_box()
    assert 0 <= box["y"] <= 800


@pytest.mark.skipif(CORES < 2, reason="two processes need two cores")
def test_several_processes_are_priced_shown_and_trained_with(open_page, root):
    page = open_page()
    choose_preset(page, "induction")
    open_box(page, "All settings")
    processes = page.locator("#processes input")
    expect(processes).to_have_value("1")
    processes.fill("1000")
    expect(page.locator("#price .gpt-error")).to_contain_text("1000 processes cannot train on", timeout=PATIENT)
    processes.fill("2")
    expect(command(page)).to_contain_text("torchrun --standalone --nproc_per_node 2 -m -- gpt.pretrain --preset induction", timeout=PATIENT)
    page.locator("#run-name").locator("input, textarea").fill("by-two")
    number(page, "max_steps").fill("40")
    expect(command(page)).to_contain_text("--max_steps 40 --run by-two", timeout=PATIENT)
    page.locator("#train").click()
    expect(page.locator("#monitor .gpt-facts")).to_contain_text("Starting", timeout=PATIENT)
    run = Run(root / "by-two")
    while_it_moves(lambda: run.path.exists() and run.status()["state"] == "done", lambda: run.path.exists() and run.status()["step"])
    assert "2 processes, each CPU" in run.log(1000)
    until(lambda: not run.is_alive())
    run.delete()


def test_how_long_moves_the_sliders_to_a_plan(open_page):
    page = open_page()
    choose_preset(page, "gpt2-classic")
    page.locator("#plan-1").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text("Planned for 1 minute,", timeout=PATIENT)
    expect(page.locator("#preset input")).to_have_value("quick")
    planned = number(page, "max_steps").input_value()
    expect(command(page)).to_contain_text(f"--max_steps {planned} ", timeout=PATIENT)
    assert planned != str(CONFIG["max_steps"])
    number(page, "n_layers").fill("1")  # and they can be changed
    number(page, "n_layers").press("Tab")
    expect(command(page)).to_contain_text("--n_layers 1 ", timeout=PATIENT)
