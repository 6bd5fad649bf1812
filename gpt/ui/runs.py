"""The Runs tab: all runs in a table, the selected ones' curves in one chart, resume and delete."""

from datetime import datetime
from typing import Any

import gradio as gr

from gpt.run import Run, RunError, find_run, list_runs
from gpt.ui import figures
from gpt.ui.controls import QUIETLY, told_to_the_person
from gpt.ui.jobs import Jobs
from gpt.ui.monitor import STATES, duration
from gpt.ui.view import component

COLUMNS = [{"key": key, "label": label} for key, label in (
    ("name", "run"), ("state", "state"), ("text", "text"), ("tokenizer", "tokens"), ("parameters", "parameters"), ("step", "steps"),
    ("val_loss", "best validation loss"), ("bits_per_byte", "bits per byte"), ("seconds", "time"), ("created", "begun"))]


def build(jobs: Jobs, tab: gr.Tab) -> None:
    """Lay the tab out and connect it; the table is filled whenever the tab is shown."""
    table = component("table", elem_id="runs-table")
    selected = gr.Textbox("", elem_id="runs-selected", elem_classes="gpt-hidden", container=False)
    with gr.Row(elem_classes="gpt-buttons"):
        resume = gr.Button("Resume", elem_id="resume", min_width=60)
        delete = gr.Button("Delete", elem_id="delete", min_width=60)
        confirm = gr.Button("Yes, delete for ever", variant="stop", visible=False, elem_id="confirm-delete", min_width=60)
        keep = gr.Button("Keep", visible=False, elem_id="keep-runs", min_width=60)
    chart = component("figure", elem_id="runs-chart")

    def show(selected: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        runs = list_runs(jobs.root)
        names = [run.name for run in runs if run.name in selected.split("\n")] or [run.name for run in runs[:1]]
        rows = [row for run in runs if (row := table_row(run))]
        curves = [(run.name, curve(run)) for run in runs if run.name in names]
        view = {"figure": figures.compare_runs(curves)} if curves else {"empty": "Select runs above to see their curves."}
        return {"columns": COLUMNS, "rows": rows, "selected": names}, view, "\n".join(names)

    def take_selection(event: gr.EventData) -> str:
        names = event.names if isinstance(event.names, list) else []
        return "\n".join(str(name) for name in names)

    def resume_run(selected: str) -> None:
        with told_to_the_person():
            names = selected.split("\n")
            if len(names) != 1 or not names[0]:
                raise RunError("select one run to resume")
            jobs.resume(names[0])
        gr.Info(f"Run {names[0]} goes on: see the Train tab.")

    def ask(selected: str) -> tuple[Any, Any, Any]:
        names = [name for name in selected.split("\n") if name]
        if not names:
            raise gr.Error("select the runs to delete first", print_exception=False)
        question = f"Yes, delete {', '.join(names)[:60]} for ever"
        return gr.update(visible=False), gr.update(visible=True, value=question), gr.update(visible=True)

    def delete_runs(selected: str) -> None:
        with told_to_the_person():
            for name in selected.split("\n"):
                find_run(jobs.root, name).delete()

    def calm() -> tuple[Any, Any, Any]:
        return gr.update(visible=True), gr.update(visible=False), gr.update(visible=False)

    filled = {"fn": show, "inputs": selected, "outputs": [table, chart, selected], **QUIETLY}
    buttons = [delete, confirm, keep]
    table.select(take_selection, None, selected, **QUIETLY).then(**filled)
    resume.click(resume_run, selected, **QUIETLY)
    delete.click(ask, selected, buttons, **QUIETLY)
    keep.click(calm, None, buttons, **QUIETLY)
    confirm.click(delete_runs, selected, **QUIETLY).then(calm, None, buttons, **QUIETLY).then(**filled)
    tab.select(**filled)


def table_row(run: Run) -> dict[str, Any] | None:
    """A run as text for each column, and under "sort" the numbers behind it. None for a run that has not begun; one that
    cannot be read says that it is damaged, and can still be selected and deleted."""
    try:
        return _readable_row(run)
    except (RunError, LookupError, TypeError, ValueError, OverflowError, OSError):
        return None if run.is_alive() else {"name": run.name, "state": "Damaged"}


def _readable_row(run: Run) -> dict[str, Any]:
    saved, status = run.config(), run.status()
    tokenizer, parameters = saved["tokenizer"], saved["parameters"]
    best, bits = best_evaluation(run)
    seconds, created = status.get("seconds") or 0, saved["created"]
    return {
        "name": run.name, "state": STATES[status["state"]], "text": saved["corpus"]["name"],
        "tokenizer": f"{tokenizer['name']}, {tokenizer['n_vocab']:,}",
        "parameters": f"{parameters / 1e6:.2f} M", "step": f"{status['step']:,}", "seconds": duration(seconds),
        "val_loss": f"{best:.4f}" if best is not None else "", "bits_per_byte": f"{bits:.4f}" if bits is not None else "",
        "created": f"{datetime.fromtimestamp(created):%Y-%m-%d %H:%M}",
        "sort": {"parameters": parameters, "step": status["step"], "seconds": seconds, "created": created,
                 "val_loss": best if best is not None else float(10**9), "bits_per_byte": bits if bits is not None else float(10**9)},
    }


def best_evaluation(run: Run) -> tuple[float | None, float | None]:
    """(validation loss, bits per byte) of the evaluation with the lowest loss."""
    return min(((row["val_loss"], row["bits_per_byte"]) for row in _evaluation_rows(run)), default=(None, None))


def curve(run: Run) -> list[tuple[float, float]]:
    """(seconds, bits per byte) of every evaluation."""
    return [(row["seconds"], row["bits_per_byte"]) for row in _evaluation_rows(run)]


def _evaluation_rows(run: Run) -> list[dict[str, Any]]:
    names = ("val_loss", "bits_per_byte", "seconds")
    return [row for row in run.rows()[0] if all(isinstance(row.get(name), (int, float)) for name in names)]
