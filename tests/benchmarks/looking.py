"""What looking inside costs: the maps and scores of every head, what of them travels to the page, and a click until it is drawn."""

import functools
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from gpt.config import CONFIG, PRESETS
from gpt.interpret import trace
from gpt.interpret.heads import score_heads
from gpt.interpret.mosaic import tile_size, tiles
from gpt.interpret.probes import Probes
from gpt.model.gpt2 import GPT2
from gpt.runs.session import Session
from gpt.training.device import choose_device
from gpt.ui.charts import maps
from tests.benchmarks.row import NO_TARGET, Result, Row, Setup, yes_no
from tests.benchmarks.timing import seconds_of
from tests.browser.conftest import CHROMIUM, QUIET
from tests.serving import served

LARGE, QUICK = PRESETS["gpt2-124m"].config, PRESETS["quick"].config
MEDIUM = {**LARGE, "n_layers": 24, "n_heads": 16, "emb_dim": 1024}
MOST_MEGABYTES, MOST_MILLISECONDS = 0.5, 150


def model_of(setup: Setup, base: dict) -> GPT2:
    config = {**base, "device": setup.device.type, "seed": setup.seeds[0]}
    return GPT2(config).to(choose_device(config["device"])).eval()


def tokens(model: GPT2, T: int, seed: int) -> torch.Tensor:
    """(1, T) random ids: what they say costs nothing."""
    device = next(model.parameters()).device
    return torch.randint(model.vocab_size, (1, T), generator=torch.Generator().manual_seed(seed)).to(device)


def all_heads(model: GPT2, ids: torch.Tensor) -> np.ndarray:
    """(L, H, size, size): every head as the mosaic shows it, layer by layer."""
    seen, (L, H, T) = trace(model, ids), (len(model.blocks), model.config["n_heads"], ids.shape[1])
    size = tile_size(L, H, T)
    return np.stack([tiles(seen.attend(layer).weights[0].cpu().numpy(), size) for layer in range(L)])


def measure_looking(setup: Setup, base: dict, T: int, most: float, rounds: int, scored: bool = True) -> Result:
    """Seconds for the mosaic of one text of `T` tokens and, if `scored`, every score of every head on one window and one repeat of
    as many tokens."""
    model = model_of(setup, base)
    ids = tokens(model, T, setup.seeds[0])
    half = ids[:, :T // 2]
    probes = Probes(torch.cat((half, half), dim=1), torch.cat((ids, ids[:, :1]), dim=1))

    def look() -> None:
        all_heads(model, ids)
        if scored:
            score_heads(model, probes)

    look()
    found = [seconds_of(look, setup.device) for _ in range(rounds)]
    reached = yes_no(statistics.median(found) <= most) if most else NO_TARGET
    return Result(reached, found, raw={"config": model.config, "tokens": T, "parameters": sum(p.numel() for p in model.parameters())})


def measure_payload(setup: Setup, L: int = 12, H: int = 12, T: int = 256) -> Result:
    """Megabytes of JSON: the mosaic and one head in full, as the page gets them when a prompt is looked at."""
    weights = torch.rand(H, T, T, generator=torch.Generator().manual_seed(setup.seeds[0])).tril().numpy()
    cells = np.stack([tiles(weights, tile_size(L, H, T))] * L)
    parts = [maps.mosaic(cells, T), maps.head_map(weights[0], ["·parliament"] * T, "square root")]
    sizes = [len(json.dumps(part)) / 1e6 for part in parts]
    return Result(yes_no(sum(sizes) <= MOST_MEGABYTES), [sum(sizes)], raw={"mosaic": sizes[0], "head": sizes[1]})


def measure_click(setup: Setup, rounds: int = 20) -> Result:
    """Milliseconds from a key that selects another of 4 x 4 heads on 128 tokens until it is drawn, in a real browser on the real page."""
    config = {**CONFIG, "corpus": setup.source, "tokenizer": "char", "n_layers": 4, "n_heads": 4, "context_length": 128, "batch": 2,
              "max_steps": 1, "snapshots": 0, "device": "cpu", "seed": setup.seeds[0]}
    with tempfile.TemporaryDirectory() as root:
        for _ in Session(root, "clicked", config).events():
            pass
        with served(Path(root)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            found = clicks(page, url, setup.corpus.fingerprint.opening[:128], rounds)
            browser.close()
    return Result(yes_no(statistics.median(found) <= MOST_MILLISECONDS), found, raw={"config": config})


def clicks(page: Page, url: str, prompt: str, rounds: int) -> list[float]:
    page.goto(url)
    page.get_by_role("tab", name="Attention").click()
    page.locator("#explorer [data-shown]").wait_for()
    page.locator("#attention-prompt textarea").fill(prompt)
    page.locator("#look").click()
    page.locator(".gpt-word").nth(len(prompt) - 1).wait_for()
    time.sleep(1)  # let the first drawing of everything come to rest
    page.locator(".gpt-mosaic").focus()
    return [page.evaluate("""async (key) => {
        const view = document.querySelector("#explorer .gpt-view"), begin = performance.now();
        const drawn = new Promise((done) => {
            const look = new MutationObserver(() => { look.disconnect(); requestAnimationFrame(() => requestAnimationFrame(done)); });
            look.observe(view, { attributes: true, attributeFilter: ["data-shown"] });
        });
        document.querySelector(".gpt-mosaic").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        await drawn;
        return performance.now() - begin;
    }""", "ArrowRight" if i % 2 == 0 else "ArrowLeft") for i in range(rounds)]


ROWS = (
    Row("looking_124m", "124 M parameters, 12 x 12 heads on 64 tokens: every map and score, s", "<= 0.5",
        functools.partial(measure_looking, base=LARGE, T=64, most=0.5, rounds=7)),
    Row("looking_quick", "quick's sizes, 3 x 4 heads on 64 tokens: every map and score, s", "<= 0.05",
        functools.partial(measure_looking, base=QUICK, T=64, most=0.05, rounds=20)),
    Row("looking_1024", "124 M parameters, 12 x 12 heads on 1,024 tokens: every map, s", "-",
        functools.partial(measure_looking, base=LARGE, T=1024, most=0, rounds=3, scored=False)),
    Row("looking_355m", "GPT-2 medium's sizes, 24 x 16 heads on 64 tokens: every map, s", "<= 3",
        functools.partial(measure_looking, base=MEDIUM, T=64, most=3, rounds=3, scored=False)),
    Row("payload", "mosaic of 12 x 12 heads on 256 tokens and one head in full, MB of JSON", f"<= {MOST_MEGABYTES}", measure_payload),
    Row("click", "another of 4 x 4 heads on 128 tokens, from key to drawn in the browser, ms", f"<= {MOST_MILLISECONDS}", measure_click),
)
