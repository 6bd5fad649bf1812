"""What the Train tab shows of a run, read from its folder: the state in big numbers, new rows, and what went wrong."""

from typing import Any

from gpt.escape import escaped
from gpt.runs.run import FINAL_STATES, Run, RunError, list_runs
from gpt.ui.charts import figures
from gpt.ui.server.jobs import PROJECT, Jobs

SHIPPED = "stories"  # the run that comes with the project, in the project's own folder of runs
MOST_ROWS = 1000  # training rows, and evaluations, in one answer: a run limited by minutes alone has a row for every step
MOST_SAMPLES = 20  # as many as the page keeps
HINTS = {  # one sentence each, shown on hover
    "loss": "How surprised the model is by each next token of its training text, in nats; the mean of the last steps.",
    "validation loss": "The same on text that it never trains on: what it has understood and not memorised.",
    "bits per byte": "Validation loss per byte of text, in bits: it compares models with different tokenizers.",
    "on the text before": "Validation loss on the text that the weights learned from before: what it rises by is forgotten.",
    "of the way to perfect": "From the loss of knowing only how frequent each token is to the least that any model can reach on this text.",
    "of answers right": "Validation questions of which the model gives every token of the answer more than half of the probability.",
    "tokens per second": "Tokens the training reads each second.",
}
STATES = {"starting": "Starting", "running": "Running", "pausing": "Pausing", "paused": "Paused", "stopping": "Stopping",
          "done": "Done", "stopped": "Stopped", "failed": "Failed"}


def poll(jobs: Jobs, name: str | None, cursor: int) -> dict[str, Any]:
    """What is new after byte `cursor` of the run that the page should show. If that is not run `name`, if the page has no rows yet,
    or if rows were removed meanwhile, the answer starts at the first row, and `chart` is the empty chart to fill."""
    if failure := jobs.failure():
        return {"run": failure[0], **_message("Failed", escaped(failure[1]))}
    if starting := jobs.starting():
        return {"run": starting, **_message("Starting", "Getting Python and PyTorch ready.")}
    run = current_run(jobs)
    if run is None:
        return {"run": None, **_message("Nothing yet", "Press Train: the loss will appear here.")}
    status, (rows, end) = run.status(), run.rows(cursor if run.name == name else 0)
    begins = run.name != name or not 0 < cursor <= end
    active = status["state"] not in FINAL_STATES
    if active and stop_pending(run):
        status["state"] = "stopping"
    trains = active and status["state"] not in ("starting", "stopping")
    return {
        "run": run.name, "state": status["state"], "active": active,
        "snapshot": trains, "extend": bool(run.saves()) if not active else trains,
        "facts": facts(status), "progress": status.get("progress") or 0, "sentence": escaped(sentence(jobs, run, status)),
        "chart": figures.loss_chart(status["steps"]) if begins else None, "steps": status["steps"],
        "rows": [escaped_row(row) for row in thinned(rows)], "cursor": end,
        "error": escaped(str(status["error"])) if status.get("error") else None,
        "log": escaped(run.log()) if status["state"] == "failed" and jobs.access.caps is None else "",  # names files of this machine
    }


def escaped_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its text escaped: samples and warnings may contain anything from a model or a text. A row of head scores is reduced to
    kind and step: the page then requests the chart of heads separately. Losses by context are shown on Runs only, and what is above
    perfect by `read_loss`."""
    if row.get("kind") in ("heads", "formed"):
        return {"kind": row["kind"], "step": row["step"]}
    return {key: escaped(value) if isinstance(value, str) else value for key, value in row.items() if not isinstance(value, list | dict)}


def current_run(jobs: Jobs) -> Run | None:
    """The run that trains now, else the one that trained last."""
    runs = list_runs(jobs.root)
    return next((run for run in runs if jobs.trains(run)), next(iter(runs), None))


def is_shipped(jobs: Jobs, name: str) -> bool:
    """Whether `name` is the run that comes with the project, and not one that somebody has called the same."""
    return name == SHIPPED and jobs.root == PROJECT / "checkpoints" and jobs.access.has_no_owner(name)


def stop_pending(run: Run) -> bool:
    """Whether a stop was requested that the run has not read yet, since a step is in progress."""
    return (run.path / "stop").exists()


def evaluations_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Step, tokens, seconds, validation loss, bits per byte and, if they were measured, the losses by context of every evaluation among
    `rows`. One that a hand has damaged is left out."""
    names = ("step", "tokens", "seconds", "val_loss", "bits_per_byte")
    return [{**{name: row[name] for name in names}, "by_context": row.get("by_context")} for row in rows
            if all(isinstance(row.get(name), (int, float)) for name in names)]


def best_of(evaluations: list[dict[str, Any]]) -> dict[str, Any]:
    """The evaluation with the lowest loss; {} if there is none."""
    return min(evaluations, key=lambda row: row["val_loss"], default={})


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of `rows`, in order, as a page can draw: every n-th of many training rows or evaluations, with the last one, and the
    newest of many samples."""
    kinds: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        kinds.setdefault(row.get("kind") or ("loss" if "loss" in row else "evaluation"), []).append(i)
    stay = set(kinds.pop("sample", [])[-MOST_SAMPLES:])
    for places in kinds.values():
        every = -(-len(places) // MOST_ROWS)
        stay.update(places[::-every])
    return [row for i, row in enumerate(rows) if i in stay]


def facts(status: dict[str, Any]) -> list[dict[str, str]]:
    """The state line: a big word or number each, and small words that say what it is."""
    steps = f"step {status['step']:,}" + (f" of {status['steps']:,}" if status["steps"] else "")
    doing = status["state"] == "starting" and status.get("doing")
    shown = [(STATES[status["state"]], f"{doing}, {100 * (status.get('progress') or 0):.0f} %" if doing else steps)]
    if status.get("eta_seconds") is not None:
        shown.append((duration(status["eta_seconds"]), "left"))
    elif status.get("seconds"):
        shown.append((duration(status["seconds"]), "of work"))
    if status.get("loss") is not None:
        shown.append((f"{status['loss']:.2f}", "loss"))
    if status.get("val_loss") is not None:
        shown += [(f"{status['val_loss']:.2f}", "validation loss"), (f"{status['bits_per_byte']:.2f}", "bits per byte")]
    if (status.get("to_perfect") or 0) > 0:
        shown.append((f"{100 * status['to_perfect']:.0f} %", "of the way to perfect"))
    if status.get("accuracy") is not None:
        shown.append((f"{100 * status['accuracy']:.1f} %", "of answers right"))
    if status.get("earlier_val_loss") is not None:
        shown.append((f"{status['earlier_val_loss']:.2f}", "on the text before"))
    if status.get("tokens_per_second"):
        shown.append((f"{status['tokens_per_second'] / 1000:.1f} k", "tokens per second"))
    if status.get("mfu"):  # unknown on CPUs
        shown.append((f"{status['mfu']:.0%}", "of the GPU's peak"))
    return [{"value": value, "label": label, "hint": HINTS.get(label, "")} for value, label in shown]


def duration(seconds: float) -> str:
    """75 -> "1 min 15 s"."""
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds_left} s" if minutes else f"{seconds_left} s"


def sentence(jobs: Jobs, run: Run, status: dict[str, Any]) -> str:
    if is_shipped(jobs, run.name):
        return "This is the run that comes with the project. Press Train to make your own."
    if status["state"] == "stopping":
        saved = status.get("saved_step")
        lost = f"since step {saved:,}" if saved else "so far"
        return f"Run {run.name} stops, and saves, after the step in progress. Stop now ends it at once: what it has learned {lost} is lost."
    if status["state"] in ("stopped", "failed") and run.saves():
        return f"Run {run.name} can go on from where it stopped: select it under Runs."
    try:
        precision = run.config()["precision_reason"]
    except RunError:  # the text is still being read
        return f"Run {run.name}: reading the text and learning its tokens."
    origin = run.config().get("went_on_from")
    return f"Run {run.name}, on {run.config()['device']}, {precision}." + (f" It went on from {origin}." if origin else "")


def _message(state: str, text: str) -> dict[str, Any]:
    return {"state": state.lower(), "facts": [{"value": state, "label": text, "hint": ""}], "progress": 0, "rows": [], "cursor": 0,
            "chart": None, "steps": 0, "active": state == "Starting", "snapshot": False, "extend": False,
            "error": None, "log": "", "sentence": ""}
