"""The page comes back: after a reload, a night's sleep, and a server that was killed in the middle of a run."""

import json
import os
import re
import signal

import pytest
from playwright.sync_api import Page, expect

from gpt.config import CONFIG
from gpt.runs.run import find_run, list_runs
from tests.browser.conftest import HOSTILE, new_page, wait_until_ready
from tests.browser.test_page import PATIENT, open_box, points, set_number, state, wait_for_points
from tests.reliability.pressing import press_train
from tests.serving import free_port, serve
from tests.sessions import until

LONG = {"n_layers": 1, "emb_dim": 32, "context_length": 32, "max_steps": 50_000, "batch": 2}  # small steps, and many of them


class Server:
    """`python demo.py` over a folder of its own, always on the same port."""

    def __init__(self, root):
        self.root, self.port, self.demo = root, free_port(), None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.demo = serve(self.root, self.port)

    def kill(self) -> None:
        """End it without a word, as a power cut or a full memory does. What it trains lives on."""
        self.demo.kill()
        self.demo.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("returning") / "runs")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def page(context, server) -> Page:
    """A page whose server may go away: what the browser says of failed requests is no fault. Afterwards the folder is empty again."""
    page = new_page(context, server.url)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(server.url)
    wait_until_ready(page)
    yield page
    page.close()
    for run in list_runs(server.root):
        if run.is_alive():
            run.stop_now()
        run.delete()


def price(page: Page):
    return page.locator("#price .gpt-command")


def fill(page: Page, settings: dict) -> None:
    """Open the box of all settings and type these in."""
    open_box(page, "All settings")
    for name, value in settings.items():
        set_number(page, name, value)
        expect(price(page)).to_contain_text(f"--{name} {value} ", timeout=PATIENT)


def train(page: Page, server: Server, **settings: int) -> None:
    """Let the server begin a training, as if another page had asked for it, and wait until this page shows it."""
    assert press_train(server.url, "", {**CONFIG, **LONG, "precision": "float32", **settings}) is None
    expect(state(page)).to_have_text("Running", timeout=PATIENT)
    wait_for_points(page, 3)


def hide(page: Page, hidden: bool) -> None:
    """What a browser does when a page goes out of sight, or comes back."""
    page.evaluate("""(hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange"));
    }""", hidden)


def test_a_reload_keeps_the_form(page):
    page.locator("#preset input").click()
    page.get_by_role("option", name="gpt2-classic").click()
    expect(price(page)).to_contain_text("--preset gpt2-classic --run", timeout=PATIENT)
    fill(page, {"emb_dim": 64, "seed": 7, "max_steps": 90})
    page.locator("#setting-qkv_bias input").uncheck()
    page.get_by_label("position", exact=True).first.click()
    page.get_by_role("option", name="rope").click()
    open_box(page, "Your own text")
    page.locator("#pasted textarea").fill(HOSTILE * 40)
    page.locator("#keep").click()
    expect(price(page)).to_contain_text("pasted", timeout=PATIENT)
    page.locator("#run-name").locator("input, textarea").fill("my-run")
    expect(price(page)).to_contain_text("--run my-run", timeout=PATIENT)
    page.wait_for_function("/corpus=pasted/.test(location.hash)")  # a reload opens what the address says
    before = price(page).inner_text()
    for part in ("--preset gpt2-classic", "--emb_dim 64", "--seed 7", "--max_steps 90", "--qkv_bias false", "--position rope"):
        assert part in before
    page.reload()
    expect(price(page)).to_have_text(before, timeout=PATIENT)
    assert page.locator("#preset input").input_value() == "gpt2-classic"
    assert page.locator("#source input").input_value() == "pasted"
    expect(page.locator("#preview .gpt-opening")).to_contain_text(HOSTILE.strip(), timeout=PATIENT)


def test_the_price_is_that_of_the_whole_preset_and_a_form_that_cannot_be_read_is_the_default(page, server):
    """A preset changes many controls at once, and the answers to all of these changes arrive in any order."""
    before = price(page).inner_text()
    for preset in ("induction", "shakespeare-char", "quick", "induction"):
        page.locator("#preset input").click()
        page.get_by_role("option", name=preset).click()
        expect(price(page)).to_contain_text(re.compile(rf"--preset {preset} --run"), timeout=PATIENT)
    page.evaluate("localStorage.setItem('gpt2-from-scratch-form', 'of another program'); "
                  "Storage.prototype.setItem = () => {};")  # the page may be about to keep the last choice
    page.goto(server.url)  # without what the address says of the form
    wait_until_ready(page)
    expect(price(page)).to_have_text(before, timeout=PATIENT)


def test_a_server_killed_in_the_middle_of_a_run_is_picked_up_where_it_was(page, server):
    fill(page, LONG)
    page.locator("#train").click()
    wait_for_points(page, 3)
    run = next(run for run in list_runs(server.root) if run.is_alive())
    page.evaluate("window.sameDocument = true")
    before = price(page).inner_text().replace(run.name, "RUN")
    server.kill()
    expect(page.locator("#monitor .gpt-error")).to_contain_text("lost its server", timeout=PATIENT)
    seen, step = points(page), run.status()["step"]
    until(lambda: run.status()["step"] > step + 50)  # the training is a process of its own
    server.start()
    expect(page.locator(".gpt-offline")).to_have_count(0, timeout=PATIENT)
    wait_for_points(page, seen)
    expect(state(page)).to_have_text("Running")
    steps = page.evaluate("document.querySelector('#monitor .js-plotly-plot').data[0].x")
    assert steps == sorted(set(steps))
    set_number(page, "batch", 8)
    expect(price(page)).to_contain_text("--batch 8 ", timeout=PATIENT)
    set_number(page, "batch", 2)
    expect(price(page)).to_contain_text("--batch 2 ", timeout=PATIENT)
    now = price(page).inner_text()
    assert re.sub(r"--run \S+", "", now) == re.sub(r"--run \S+", "", before)
    page.locator("#stop").click()
    expect(state(page)).to_have_text("Stopped", timeout=PATIENT)
    assert run.status()["state"] == "stopped"
    expect(page.locator("#train")).to_be_enabled(timeout=PATIENT)
    page.locator("#train").click()
    expect(state(page)).to_have_text("Running", timeout=PATIENT)
    assert [run.name for run in list_runs(server.root) if run.is_alive()] != [run.name]
    assert page.evaluate("window.sameDocument") is True  # all that without a reload
    assert page.get_by_test_id("toast-body").count() == 0


def test_what_was_set_while_the_server_was_away_is_there_when_it_comes_back(page, server):
    fill(page, {"n_layers": 5})
    server.kill()
    expect(page.locator("#monitor .gpt-error")).to_contain_text("lost its server", timeout=PATIENT)
    set_number(page, "n_layers", 6)
    expect(page.get_by_test_id("toast-body")).to_contain_text("Attempting reconnection", timeout=PATIENT)
    server.start()
    expect(price(page)).to_contain_text("--n_layers 6", timeout=PATIENT)
    expect(page.get_by_test_id("toast-body")).to_have_count(0, timeout=PATIENT)


def test_a_hidden_page_does_not_look_and_fills_in_everything_when_it_is_shown(page, server):
    train(page, server)
    run = next(run for run in list_runs(server.root) if run.is_alive())
    hide(page, True)
    page.evaluate("window.setTimeout = () => 0")  # its timers sleep, and do not wake up again
    seen, step = points(page), run.status()["step"]
    until(lambda: run.status()["step"] > step + 300)
    assert points(page) <= seen + 10  # of a look that was under way
    hide(page, False)
    page.wait_for_function(f"document.querySelector('#monitor .js-plotly-plot').calcdata[0].at(-1).x > {step + 250}", timeout=PATIENT)


def test_an_answer_that_never_comes_is_not_waited_for(page, server):
    train(page, server)
    page.evaluate("gpt.PATIENCE = 1000")
    page.route("**/component_server**", lambda route: None)
    expect(page.locator("#monitor .gpt-error")).to_contain_text("lost its server", timeout=PATIENT)
    page.evaluate("gpt.PATIENCE = 15000")
    page.unroute("**/component_server**")
    wait_for_points(page, points(page) + 3)
    expect(page.locator("#monitor .gpt-error")).to_have_text("")


def test_a_page_that_watches_for_days_keeps_a_bounded_part(page, server):
    train(page, server, max_steps=1000, eval_every=20)  # a row for every step
    page.evaluate("gpt.MOST_POINTS = 40, gpt.MOST_SAMPLES = 2")
    run = next(run for run in list_runs(server.root) if run.is_alive())
    step = run.status()["step"]
    page.wait_for_function(f"document.querySelector('#monitor .js-plotly-plot').calcdata[0].at(-1).x > {step + 400}", timeout=PATIENT)
    steps = page.evaluate("[...gpt.plots].find((plot) => plot.area.closest('#monitor')).figure.data[0].x")
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    assert step < steps[-1]
    assert 20 <= len(steps) <= 40
    assert page.locator("#monitor .gpt-sample").count() == 2


def test_a_run_is_extended_looked_at_and_ended_at_once(page, server):
    page.locator("button.label-wrap", has_text="More steps, snapshots").click()
    expect(page.locator("#extend")).to_be_disabled()
    expect(page.locator("#snapshot")).to_be_disabled()
    train(page, server)
    run = next(run for run in list_runs(server.root) if run.is_alive())
    before = len(run.snapshots())
    page.locator("#snapshot").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("weights of this step are saved", timeout=PATIENT)
    until(lambda: len(run.snapshots()) > before)
    steps = page.locator("#monitor .gpt-fact span").first
    page.locator("#extend").click()
    expect(steps).to_contain_text("of 50,500", timeout=PATIENT)
    until(run.saves)
    pid = json.loads((run.path / "status.json").read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)  # a step that takes for ever
    expect(page.locator("#stop-now")).to_be_hidden()
    page.locator("#stop").click()
    expect(page.locator("#stop-now")).to_be_visible(timeout=PATIENT)
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#pause")).to_be_disabled()
    assert "Stop now ends it at once: what it has learned since step" in page.locator("#monitor .gpt-view > .gpt-small").inner_text()
    page.locator("#stop-now").click()
    expect(state(page)).to_have_text("Stopped", timeout=PATIENT)
    expect(page.locator("#monitor .gpt-error")).to_contain_text("it goes on from step", timeout=PATIENT)
    page.locator("#more-steps input").fill("1000")
    page.locator("#more-steps input").press("Tab")
    page.locator("#extend").click()
    expect(state(page)).to_have_text("Running", timeout=PATIENT)
    expect(steps).to_contain_text("of 51,500", timeout=PATIENT)
    assert find_run(server.root, run.name).is_alive()
