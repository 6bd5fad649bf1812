"""The Train tab: choose a text and a CONFIG, see the price, train, watch."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import FIELDS, PRESETS, validate
from gpt.data.files.listing import natural
from gpt.errors import UserError
from gpt.runs.run import find_run, new_name
from gpt.ui.charts.component import component
from gpt.ui.server import texts, training_status
from gpt.ui.server.access import process_identity
from gpt.ui.server.bases import Base, base_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.polling import PollingInterval
from gpt.ui.server.values import text_of, typed
from gpt.ui.tabs import form_memory, head_formation, loss_reading, token_panel
from gpt.ui.tabs.controls import NO_PROGRESS, QUEUED, errors_as_messages, show_message
from gpt.ui.tabs.how_long import HowLong
from gpt.ui.tabs.pricing import known_processes, long_enough, priced, show_price
from gpt.ui.tabs.settings import Settings, filled, text_choices
from gpt.ui.tabs.visitor import Visitor
from gpt.words import size

EXPERIMENT = "induction"  # the preset that a button of its own begins
MOST_STEPS = 10_000_000  # that can be added to a run at a time

def build(jobs: Jobs, page: gr.Blocks, visitor: Visitor) -> list[gr.components.Component]:
    """Lay the tab out and connect it; the price is told when the page loads and whenever a control changes. Returns what another tab may
    fill in: the preset, and the control of each setting in the order of FIELDS."""
    with gr.Row(elem_id="train-columns"):
        with gr.Column(scale=1, min_width=320, elem_classes="gpt-form"):
            with gr.Row(elem_classes="gpt-pair"):
                preset = gr.Dropdown([(preset.name, preset.name) for preset in PRESETS.values()], value="quick", label="Start from",
                                     elem_id="preset", min_width=120)
                source = gr.Dropdown(texts.choices(jobs.access.home("")), value="stories", label="Text", elem_id="source", min_width=120)
            preview = component("preview", elem_id="preview")
            how_long = HowLong(jobs)
            settings = Settings(source, jobs)
            settings.lay_out_sliders()
            price = component("price", elem_id="price")
            train, pause, stop, stop_now = run_buttons()
            with gr.Accordion("Your own text", open=False):
                pasted = gr.Textbox(label="Paste", lines=4, max_lines=8, placeholder="A few thousand characters or more", elem_id="pasted")
                use_pasted = gr.Button("Use this text", size="sm", elem_id="keep")
                gr.Markdown(f"Text, code, .csv, .json, .jsonl, .html, .gz or .zip, up to {size(jobs.access.largest_text())}. "
                            "Longer ones are read where they lie: `python -m gpt.pretrain --corpus PATH`.")
                with gr.Row(elem_classes="gpt-buttons"):
                    uploads = [gr.UploadButton("Upload files", size="sm", file_count="multiple", elem_id="upload", min_width=60),
                               gr.UploadButton("Upload a folder", size="sm", file_count="directory", elem_id="upload-folder", min_width=60)]
            with gr.Accordion("All settings", open=False, elem_id="settings-box"):
                settings.lay_out_all()
            with gr.Accordion("More steps, snapshots", open=False, elem_id="more"):
                gr.Markdown("A run that has ended goes on at a higher learning rate: its loss rises at first, and falls further later.")
                with gr.Row(elem_classes="gpt-buttons"):
                    more = gr.Number(500, label="steps", show_label=False, container=False, precision=0, minimum=1, step=100, min_width=60,
                                     elem_id="more-steps")
                    extend = gr.Button("Add steps", size="sm", elem_id="extend", min_width=60)
                    snapshot = gr.Button("Save a snapshot", size="sm", elem_id="snapshot", min_width=60)
            grow = gr.Button("Grow an induction head", size="sm", elem_id="grow")
        with gr.Column(scale=2, min_width=320):
            component("monitor", elem_id="monitor", choices={"scores": head_formation.CHOICES}, server_functions={
                "poll": _poll(jobs), "read_loss": partial(loss_reading.read_loss, jobs), "forming": partial(head_formation.forming, jobs),
                "take_out": partial(head_formation.take_out, jobs)})

    token_panel.build(jobs, settings, preset, visitor)
    name, form = settings.run, settings.form
    # Values come as they were typed (preprocess=False): our own checks tell all their problems together.
    sent = [preset, name, *form, settings.processes, visitor.key]
    price_event = connect_form(jobs, page, visitor, settings, [preset, price, preview])
    how_long.connect(settings, preset, visitor.key)
    begun = train.click(partial(start, jobs), sent, None, show_progress="hidden", preprocess=False, api_visibility="private")
    begun.then(**price_event)
    chosen = grow.click(partial(take_preset, jobs, EXPERIMENT), None, [preset, *form], **NO_PROGRESS)
    chosen.success(partial(start, jobs), sent, None, show_progress="hidden", preprocess=False, api_visibility="private").then(**price_event)
    pause.click(partial(toggle_pause, jobs), visitor.key, **QUEUED)
    stop.click(partial(ask, jobs, "stop"), visitor.key, **QUEUED)
    stop_now.click(partial(end_at_once, jobs), visitor.key, **QUEUED)
    snapshot.click(partial(save_snapshot, jobs), visitor.key, **QUEUED)
    extend.click(partial(add_steps, jobs), [more, visitor.key], preprocess=False, **QUEUED)
    chosen_text = [source, settings.controls["validation"]]
    use_pasted.click(partial(use_text, jobs), [pasted, visitor.key], [*chosen_text, pasted], preprocess=False, **QUEUED)
    for upload in uploads:
        upload.upload(partial(use_files, jobs), [upload, visitor.key], chosen_text, **QUEUED)
    return [preset, *form]


def run_buttons() -> tuple[gr.Button, ...]:
    """Train, Pause, Stop, Stop now."""
    with gr.Row(elem_classes="gpt-buttons"):
        return (gr.Button("Train", variant="primary", elem_id="train", min_width=60), gr.Button("Pause", elem_id="pause", min_width=60),
                gr.Button("Stop", elem_id="stop", min_width=60),
                gr.Button("Stop now", elem_id="stop-now", elem_classes="gpt-hidden", min_width=60))  # the page shows this or Stop


def connect_form(jobs: Jobs, page: gr.Blocks, visitor: Visitor, settings: Settings, views: list[gr.components.Component]) -> dict[str, Any]:
    """Let the form tell its price, follow the preset, and come back as it was left. Returns the event that tells the price."""
    preset, price, preview = views
    name, form, memory = settings.run, settings.form, form_memory.storage()
    # A preset changes many controls at once, and answers may overtake each other: each request has a number, and the views show
    # the answer with the highest.
    number = gr.Number(visible=False)
    price_event = {"fn": partial(show_price, jobs), "inputs": [number, preset, name, *form, settings.processes, visitor.key],
                   "outputs": [price, preview], "preprocess": False,
                   "js": "(_, ...form) => [window.questions = (window.questions ?? 0) + 1, ...form]", **NO_PROGRESS}
    changing = [preset, name, settings.processes, *form]
    gr.on([page.load, *(control.change for control in changing)], trigger_mode="always_last", **price_event)
    preset.input(partial(take_preset, jobs), [preset, visitor.key], [preset, *form], preprocess=False, **NO_PROGRESS)
    settings.connect(page, preset, memory)
    for loaded in [known.success for known in visitor.known] or [page.load]:
        settings.allow_input_after(loaded(partial(restore, jobs), [memory, visitor.key], [preset, name, *form], **NO_PROGRESS))
    return price_event


def take_preset(jobs: Jobs, preset: str, visitor: str = "") -> list[Any]:
    """Put the preset's values into the form."""
    with errors_as_messages():
        chosen = base_of(jobs.root, text_of(preset, "the preset") or "quick")
        values = chosen.form(jobs.access.home(visitor))
    return [chosen.name, *filled(chosen, values)[1:]]  # the list keeps the run it had, so that one can go back to it


def restore(jobs: Jobs, memory: Any, visitor: str = "") -> list[Any]:
    """Fill the form with what the browser saved of it, and the list of texts with those that are here now."""
    home = jobs.access.home(visitor)
    base, name, values = form_memory.restored(jobs.root, home, memory)
    values |= {name: gr.update(choices=choices, value=values[name]) for name, choices in text_choices(home).items()}
    start_from, *settings = filled(base, values)
    return [start_from, name, *settings]


def start(jobs: Jobs, preset: str, name: str, *values: Any) -> None:
    with errors_as_messages():
        *settings, processes, visitor = values
        processes = 1 if jobs.access.caps else known_processes(processes)  # visitors' runs are told by their only process
        begin(jobs, typed(FIELDS, settings), base_of(jobs.root, text_of(preset, "the preset")), name, processes, visitor)


def begin(jobs: Jobs, config: dict[str, Any], base: Base, name: Any, processes: int, visitor: str) -> str:
    """Start a run with `config`, within what this visitor may do. Returns its name. Raises UserError, and starts nothing, if anything is
    wrong with it."""
    config = jobs.access.with_time_limit(visitor, validate(config))
    base.check(config)
    text = long_enough(jobs, base, config, visitor)
    jobs.access.check_cost(visitor, priced(config, text), text["train_tokens"])
    run = text_of(name, "the name of the run").strip() or new_name(jobs.root, str(config["corpus"]))
    with jobs.access.lock:  # nobody may rename a run to this name in between
        jobs.start(config, base.name, run, processes)
        process = process_identity(jobs.process() or 0)  # none if it has failed already
        jobs.access.register(visitor, run, process, base.run.name if base.run else None)
    return run


def ask(jobs: Jobs, command: str, visitor: str = "") -> None:
    """Ask the run that trains now to pause, resume or stop."""
    with errors_as_messages():
        request(jobs, command, visitor)


def request(jobs: Jobs, command: str, visitor: str) -> str:
    """The same for a program. Returns the name of the run. Raises UserError if nothing trains, or this visitor may not do so."""
    running = jobs.running()
    if running is None:
        raise UserError(f"nothing is training, so there is nothing to {command}")
    jobs.access.check(visitor, running)
    if command == "pause":
        jobs.access.check_pause(visitor)
    if not jobs.starting():
        find_run(jobs.root, running).request(command)
    elif command == "stop":
        jobs.end_child()
    else:
        raise UserError(f"run {running} is still starting: {command} it in a moment")
    return running


def toggle_pause(jobs: Jobs, visitor: str = "") -> None:
    with errors_as_messages():
        running = jobs.running()
        paused = running is not None and find_run(jobs.root, running).status()["state"] == "paused"
    ask(jobs, "resume" if paused else "pause", visitor)


def end_at_once(jobs: Jobs, visitor: str = "") -> None:
    """End the run that trains now without waiting for the step in progress; the page then tells from which step it can go on."""
    with errors_as_messages():
        running = jobs.running()
        if running is None:
            raise UserError("nothing is training, so there is nothing to stop")
        jobs.access.check(visitor, running)
        if jobs.starting():
            jobs.end_child()
        else:
            find_run(jobs.root, running).stop_now()


def save_snapshot(jobs: Jobs, visitor: str = "") -> None:
    with errors_as_messages():
        if (running := jobs.running()) and not jobs.starting():
            jobs.access.check(visitor, running)
            jobs.access.check_growth(visitor, find_run(jobs.root, running))
    ask(jobs, "snapshot", visitor)
    show_message("The weights of this step are saved: Generate and Attention can go back to them.")


def add_steps(jobs: Jobs, steps: Any, visitor: str = "") -> None:
    """Train the run that the page shows for `steps` more, whether it still trains or has ended."""
    with errors_as_messages():
        if isinstance(steps, bool) or not isinstance(steps, int | float) or not 1 <= steps <= MOST_STEPS or steps != int(steps):
            raise UserError(f"{str(steps)[:40]} steps cannot be added: give a whole number from 1 to {MOST_STEPS:,}")
        run = training_status.current_run(jobs)
        if run is None or jobs.starting():
            raise UserError("there is no run to add steps to yet: wait until one has begun")
        jobs.access.check(visitor, run.name)
        jobs.access.check_growth(visitor, run)
        jobs.extend(run.name, int(steps))


def use_text(jobs: Jobs, pasted: str | None, visitor: str = "") -> tuple[Any, Any, str]:
    """Save what was pasted and choose it."""
    with errors_as_messages():
        data = text_of(pasted, "the text").encode("utf-8", errors="replace")
        path = save_text(jobs, "pasted.txt", data, visitor)
    return *_chosen(jobs, path, visitor), ""


def use_files(jobs: Jobs, files: list[str] | str | None, visitor: str = "") -> tuple[Any, Any]:
    """Save uploaded files as one text and choose it. Gradio's copies are no longer needed."""
    paths = [Path(file) for file in (files if isinstance(files, list) else [files]) if file]
    try:
        with errors_as_messages():
            if not paths:
                raise UserError("no file came with this upload: choose one or more")
            jobs.access.check_text(visitor, sum(path.stat().st_size for path in paths))
            saved = texts.save_files(jobs.access.home(visitor), named(paths), jobs.access.largest_text_of(visitor))
            jobs.access.make_room_for(saved)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    return _chosen(jobs, saved, visitor)


def named(paths: list[Path]) -> dict[str, Path]:
    """Files by name, in natural order; of two with the same name, from different folders, the second has a number."""
    files: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: natural(path.name)):
        numbers, name = itertools.count(2), path.name
        while name in files:
            name = f"{path.stem}-{next(numbers)}{path.suffix}"
        files[name] = path
    return files


def _chosen(jobs: Jobs, path: Path, visitor: str) -> tuple[Any, Any]:
    """The lists of texts with a new one, which is chosen to learn from."""
    show_message(f"Your text is chosen: {size(texts.size_of(path))}.")
    choices = text_choices(jobs.access.home(visitor))
    return gr.update(choices=choices["corpus"], value=str(path)), gr.update(choices=choices["validation"])


def save_text(jobs: Jobs, name: str, data: bytes, visitor: str) -> Path:
    """Save a text of a visitor; the oldest of others make way if there is no room. Raises UserError if it cannot be saved."""
    jobs.access.check_text(visitor, len(data))
    path = texts.save_text(jobs.access.home(visitor), name, data, jobs.access.largest_text_of(visitor))
    jobs.access.make_room_for(path)
    return path


def _poll(jobs: Jobs):
    """What the page calls: {page, run, cursor}, of which anything may be missing or nonsense, -> what is new, and when to ask again."""
    interval = PollingInterval()

    def poll(sent: dict[str, Any]) -> dict[str, Any]:
        sent = sent if isinstance(sent, dict) else {}
        page, run, cursor = sent.get("page"), sent.get("run"), sent.get("cursor")
        run, cursor = run if isinstance(run, str) else None, cursor if isinstance(cursor, int) and 0 <= cursor < 2**40 else 0
        return {**training_status.poll(jobs, run, cursor), "wait": interval.wait(str(page)[:40])}

    return poll
