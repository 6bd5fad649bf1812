"""A run as a row of the table of all runs, and its curve."""

import functools
from datetime import datetime
from pathlib import Path
from typing import Any

from gpt.escape import escaped
from gpt.runs.cleanup import size_of
from gpt.runs.run import Run, RunError
from gpt.ui.server.training_status import STATES, best_of, duration, evaluations_of
from gpt.words import size

COLUMNS = [{"key": key, "label": label} for key, label in (
    ("name", "run"), ("state", "state"), ("text", "text"), ("tokenizer", "tokens"), ("parameters", "parameters"), ("step", "steps"),
    ("val_loss", "best validation loss"), ("bits_per_byte", "bits per byte"), ("seconds", "time"), ("size", "size"), ("created", "begun"))]


def table_row(run: Run) -> dict[str, Any] | None:
    """A run as text for each column, under "sort" the numbers behind it, and under "note" what keeps it from being used.

    None for a run that has not begun. One that cannot be read says that it is damaged, one of another format that another
    version of this project wrote it; both can still be selected, and deleted.
    """
    try:
        row = _readable_row(run)
    except (RunError, LookupError, TypeError, ValueError, OverflowError, OSError):
        if run.is_alive():
            return None
        row = {"name": run.name, "state": "Damaged", "sort": {},
               "note": f"run {run.name} cannot be read: files of it are damaged or missing"}
    if other := of_another_version(run):
        row |= {"state": "Other version", "note": other}
    n_bytes = size_of(run.path)
    row["size"] = "elsewhere" if run.path.is_symlink() else size(n_bytes)
    row["sort"]["size"] = n_bytes
    return row


def of_another_version(run: Run) -> str:
    """Why this version cannot use a run, in a sentence; "" if it can, or if nobody can read it."""
    try:
        version = run.config().get("format")
    except (RunError, OSError):
        return ""
    try:
        if isinstance(version, int):
            run.check_format()
    except RunError as error:
        return str(error)
    return ""


def _readable_row(run: Run) -> dict[str, Any]:
    saved, status = run.config(), run.status()
    tokenizer, parameters = saved["tokenizer"], saved["parameters"]
    evaluation = best_evaluation(run)
    best, bits = evaluation.get("val_loss"), evaluation.get("bits_per_byte")
    seconds, created = status.get("seconds") or 0, saved["created"]
    text, origin = saved["corpus"]["name"], saved.get("went_on_from")
    text = f"measured on {text}" if "imported_from" in saved else f"{text}, after {origin}" if origin else text
    return {
        "name": run.name, "state": STATES[status["state"]],
        "text": escaped(text),
        "tokenizer": escaped(f"{tokenizer['name']}, {tokenizer['n_vocab']:,}"),
        "parameters": f"{parameters / 1e6:.2f} M", "step": f"{status['step']:,}", "seconds": duration(seconds),
        "val_loss": f"{best:.4f}" if best is not None else "", "bits_per_byte": f"{bits:.4f}" if bits is not None else "",
        "created": f"{datetime.fromtimestamp(created):%Y-%m-%d %H:%M}",
        "sort": {"parameters": parameters, "step": status["step"], "seconds": seconds, "created": created,
                 "val_loss": best if best is not None else float(10**9), "bits_per_byte": bits if bits is not None else float(10**9)},
    }


def best_evaluation(run: Run) -> dict[str, Any]:
    """The evaluation with the lowest loss; {} if there is none."""
    return best_of(evaluations(run))


def evaluations(run: Run) -> list[dict[str, Any]]:
    """Every evaluation of a run, as evaluations_of describes it."""
    try:
        about = (run.path / "metrics.jsonl").stat()
    except FileNotFoundError:
        return []
    return list(_read_evaluations(run.path, about.st_mtime_ns, about.st_size))


@functools.lru_cache(maxsize=1024)
def _read_evaluations(path: Path, _modified: int, _size: int) -> tuple[dict[str, Any], ...]:
    """A run's rows are read again only when there are other ones: a thousand rows take ten milliseconds."""
    return tuple(evaluations_of(Run(path).rows()[0]))
