"""The Runs tab: all runs in a table, the selected ones' curves in one chart; resume, rename, report, download and delete."""

import contextlib
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.escape import escaped
from gpt.runs import cleanup
from gpt.runs.run import Run, RunError, find_run, list_runs
from gpt.ui.charts import figures
from gpt.ui.charts.component import component
from gpt.ui.server.bases import base_of
from gpt.ui.server.disk_quota import DiskQuota
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import downloads, run_settings
from gpt.ui.tabs.controls import NO_PROGRESS, QUEUED, errors_as_messages, show_message
from gpt.ui.tabs.run_table import COLUMNS, best_evaluation, evaluations, table_row
from gpt.ui.tabs.settings import filled
from gpt.ui.tabs.visitor import Visitor

MOST_SELECTED = 1000
SHOWN, HIDDEN = gr.update(visible=True), gr.update(visible=False)
# Events read the ticked names from the page when they run: Gradio 6.31 gives a waiting event the data of the event before it, and the
# answer to the last tick may still be on its way when a button is pressed.
TICKED, TICKED_WITH_KEY = "() => gpt.ticked.join('\\n')", "(_, key) => [gpt.ticked.join('\\n'), key]"
# The row of actions, and no question about a selection that may have changed. The page does it alone: an answer of the server could come
# after the next question has been asked, and take that away.
ACTIONS_ONLY = {"fn": None, "js": "() => [true, false, false].map((visible) => ({ __type__: 'update', visible }))"}


def build(jobs: Jobs, tab: gr.Tab, quota: DiskQuota, visitor: Visitor) -> tuple[dict[gr.Button, Callable], gr.Textbox]:
    """Lay the tab out and connect it; the table is filled whenever the tab is shown. Returns the buttons that fill the
    form of Train with a run, which `offer_forms` connects, each with what it fills in, and the names that are ticked, one a line."""
    table = component("table", elem_id="runs-table")
    selected = gr.Textbox("", elem_id="runs-selected", elem_classes="gpt-hidden", container=False)
    question_names = gr.Textbox("", elem_classes="gpt-hidden", container=False)  # the runs that the open question is about
    with gr.Row(elem_classes="gpt-buttons") as actions:
        resume, rename, report, download, delete = (gr.Button(action, elem_id=action.lower(), min_width=50)
                                                    for action in ("Resume", "Rename", "Report", "Download", "Delete"))
    with gr.Row(elem_classes="gpt-buttons"):
        use = gr.Button("Use these settings", size="sm", elem_id="use-settings", min_width=60)
        go_on = gr.Button("Go on from this run", size="sm", elem_id="go-on", min_width=60)
        export = gr.Button("Export", size="sm", elem_id="export", min_width=60)
    with gr.Row(elem_classes="gpt-buttons", visible=False) as deleting:
        confirm = gr.Button("Yes, delete for ever", variant="stop", elem_id="confirm-delete", min_width=60)
        keep_runs = gr.Button("Keep", elem_id="keep-runs", min_width=60)
    with gr.Row(elem_classes="gpt-buttons gpt-renaming", visible=False) as renaming:
        name = gr.Textbox(label="New name", max_lines=1, elem_id="new-name", scale=3, min_width=120)
        accept = gr.Button("Rename", variant="primary", elem_id="accept-name", min_width=60)
        leave = gr.Button("Cancel", elem_id="leave-name", min_width=60)
    delivered = component("delivery", elem_id="delivered")
    chart = component("figure", elem_id="runs-chart")

    refilled = {"fn": partial(fill, jobs, quota), "inputs": selected, "outputs": [table, chart, selected], **NO_PROGRESS}
    closed_questions = {**ACTIONS_ONLY, "outputs": [actions, deleting, renaming], **NO_PROGRESS}
    tab.select(**refilled)
    tab.select(**closed_questions)
    table.select(**closed_questions)
    # the queue keeps the order, so that the later of two answers is the one shown
    table.select(partial(choose, jobs), selected, [selected, chart], js=TICKED, trigger_mode="always_last", **QUEUED)

    resume.click(partial(resume_run, jobs), [selected, visitor.key], js=TICKED_WITH_KEY, **QUEUED)

    question = delete.click(ask_to_delete, selected, [actions, deleting, confirm, question_names], js=TICKED, **QUEUED)
    question.success(None, js=to_focus("confirm-delete"))
    deleted = confirm.click(partial(delete_runs, jobs), [question_names, visitor.key], **QUEUED)
    for after in (deleted.success, deleted.failure):  # in Gradio 6.31 `then` is for success only; of several runs, some may be gone
        after(**refilled).then(**closed_questions).then(None, js=to_focus("delete"))
    keep_runs.click(**closed_questions).then(None, js=to_focus("delete"))

    named = rename.click(partial(ask_for_a_name, jobs), selected, [actions, renaming, name, question_names], js=TICKED, **QUEUED)
    named.success(None, js=to_focus("new-name"))
    done = gr.on([accept.click, name.submit], partial(rename_run, jobs), [question_names, name, visitor.key], selected, **QUEUED)
    done.success(**refilled).success(**closed_questions).then(None, js=to_focus("rename"))
    leave.click(**closed_questions).then(None, js=to_focus("rename"))

    for button, name, pack in ((download, "Download", downloads.zip_of), (report, "Report", downloads.report_of),
                               (export, "Export", downloads.export_of)):
        begun = button.click(lambda: gr.update(value="Packing", interactive=False), None, button, **NO_PROGRESS)
        act = partial(pack_one, jobs, name.lower(), pack, Path(delivered.GRADIO_CACHE))
        packed = begun.then(act, selected, delivered, js=TICKED, **QUEUED)
        for after in (packed.success, packed.failure):
            after(partial(gr.update, value=name, interactive=True), None, button, **NO_PROGRESS)
    return {use: run_settings.as_form, go_on: run_settings.as_start}, selected


def offer_forms(jobs: Jobs, buttons: dict[gr.Button, Callable], tabs: gr.Tabs, form: list[gr.components.Component],
                visitor: Visitor) -> None:
    """Let each button fill the `form` of the Train tab, the preset first, as its function says, and show that tab."""
    for button, filling in buttons.items():
        used = button.click(partial(fill_form, jobs, filling), [visitor.key, visitor.key], form, js=TICKED_WITH_KEY, **QUEUED)
        used.success(lambda: gr.Tabs(selected="train"), None, tabs, **NO_PROGRESS)


def fill_form(jobs: Jobs, filling: Callable, selected: str, visitor: str = "") -> list[Any]:
    """What the form starts from and its values: what `filling` makes of the one run that is selected."""
    with errors_as_messages():
        base, config, sentence = filling(one_of(jobs, selected, "take over"), jobs.root, jobs.access.home(visitor))
        base = base_of(jobs.root, base)
    show_message(sentence)
    return filled(base, config)


def to_focus(elem_id: str) -> str:
    """JavaScript that moves the keyboard to a control which has just appeared."""
    return f"() => gpt.focus('{elem_id}')"


def fill(jobs: Jobs, quota: DiskQuota, selected: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Enforce the disk quota, then refresh table, chart and selection. If nothing is selected, select the newest run."""
    quota.enforce()
    runs = list_runs(jobs.root)
    chosen = names_of(selected)
    names = [run.name for run in runs if run.name in chosen] or [run.name for run in runs[:1]]
    rows = [row for run in runs if (row := table_row(run))]
    value = {"columns": COLUMNS, "rows": rows, "selected": names, "room": quota.report(len(rows))}
    return value, curves_of(jobs, names), "\n".join(names)


def choose(jobs: Jobs, ticked: Any) -> tuple[str, dict[str, Any]]:
    """Take the names that were ticked in the table, one a line, and draw their runs."""
    names = names_of(ticked)
    return "\n".join(names), curves_of(jobs, names)


def curves_of(jobs: Jobs, names: list[str]) -> dict[str, Any]:
    """What the chart shows of the selected runs; one that is gone meanwhile has no curve."""
    runs = []
    for name in names:
        with contextlib.suppress(RunError):
            runs.append(find_run(jobs.root, name))
    if not runs:
        return {"empty": "Select runs above to see their curves."}
    return {"figure": figures.compare_runs([(run.name, evaluations(run)) for run in runs]),
            "context": figures.losses_by_context([(run.name, best_evaluation(run)) for run in runs]),
            "differences": run_settings.differences(runs)}


def names_of(selected: Any) -> list[str]:
    """The names in the hidden list of what is selected, one a line."""
    return list(dict.fromkeys(name for name in str(selected or "").split("\n") if name))[:MOST_SELECTED]


def one_of(jobs: Jobs, selected: Any, action: str) -> Run:
    """The one run that is selected. Raises RunError if it is none, several, or not there."""
    names = names_of(selected)
    if len(names) != 1:
        raise RunError(f"{len(names) or 'no'} runs are selected: select the one to {action}")
    return find_run(jobs.root, names[0])


def resume_run(jobs: Jobs, selected: str, visitor: str = "") -> None:
    with errors_as_messages():
        run = one_of(jobs, selected, "resume")
        jobs.access.check(visitor, run.name)
        run.check_format()
        jobs.resume(run.name)
    show_message(f"Run {run.name} goes on: see the Train tab.")


def ask_to_delete(selected: str) -> tuple[Any, Any, Any, str]:
    """Show the question instead of the actions, and remember the names it is about: exactly these are deleted."""
    names = names_of(selected)
    with errors_as_messages():
        if not names:
            raise RunError("no runs are selected: select those to delete")
    return HIDDEN, SHOWN, gr.update(
        value=escaped(f"Yes, delete {', '.join(names) if len(names) < 4 else f'{len(names)} runs'} for ever")), "\n".join(names)


def delete_runs(jobs: Jobs, names: str, visitor: str = "") -> None:
    """Delete the runs that the person was asked about."""
    with errors_as_messages():
        for name in names_of(names):
            with jobs.access.lock:
                run = find_run(jobs.root, name)
                jobs.access.check(visitor, name)
                cleanup.delete(run)
                jobs.access.forget(name)


def ask_for_a_name(jobs: Jobs, selected: str) -> tuple[Any, Any, Any, str]:
    """Show a box with the name to change instead of the actions, and remember whose name it is."""
    with errors_as_messages():
        run = one_of(jobs, selected, "rename")
    return HIDDEN, SHOWN, gr.update(value=run.name), run.name


def rename_run(jobs: Jobs, asked: str, name: str, visitor: str = "") -> str:
    """Rename the run that the open question names. Returns its new name."""
    with errors_as_messages():
        run, name = one_of(jobs, asked, "rename"), str(name or "").strip()
        if name == run.name:
            return name
        with jobs.access.lock:
            jobs.access.check(visitor, run.name)
            if run.name == jobs.child():
                raise RunError(f"run {run.name} is training: wait until it has ended, or stop it first")
            new = cleanup.rename(run, name).name
            jobs.access.rename(run.name, new)
            return new


def pack_one(jobs: Jobs, action: str, pack: Callable[[Run, Path], Path], folder: Path, selected: str) -> dict[str, Any]:
    """What `pack` makes of the selected run below `folder`, as the view "delivery" takes it; `action` says what is done with it."""
    with errors_as_messages():
        path = pack(one_of(jobs, selected, action), folder)
    return {"path": str(path), "name": path.name, "press": secrets.token_hex(4)}
