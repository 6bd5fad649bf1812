"""The table that is printed, and the JSON that keeps every raw value."""

import json
import statistics
from pathlib import Path
from typing import Any

from tests.benchmarks.row import Result, Row

HEADER = ("what", "target", "ours (median, min-max)", "peer (median, min-max)", "ratio", "reached")


def number(value: float) -> str:
    """25312.4 -> "25,312", 1.54321 -> "1.543"."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def spread(values: list[float]) -> str:
    """Median and range; one value stands alone, and none is a dash."""
    if len(values) < 2:
        return number(values[0]) if values else "-"
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"


def markdown(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *lines))


def table(rows: list[Row], results: dict[str, Result]) -> str:
    """The table, then the notes of its rows, then what a row prints beside it."""
    lines, notes = [], ["A ratio is the median of the ratios of the pairs, each taken in turn."]
    for row in rows:
        found = results[row.name]
        ratio = number(statistics.median(found.ratios)) if found.ratios else "-"
        lines.append((f"`{row.name}`: {row.what}", row.target, spread(found.ours), spread(found.peer), ratio, found.reached))
        notes += [f"`{row.name}`: {note}" for note in found.notes]
    parts = [markdown(HEADER, lines), "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts + [results[row.name].table for row in rows if results[row.name].table])


def as_json(rows: list[Row], results: dict[str, Result], conditions: dict[str, Any]) -> dict[str, Any]:
    """`conditions` (command, date, hardware, ...), and under `rows` what each row in `results` said and found."""
    measured = [row for row in rows if row.name in results]
    return {**conditions, "rows": {row.name: {"what": row.what, "target": row.target, **_found(results[row.name])} for row in measured}}


def _found(result: Result) -> dict[str, Any]:
    sides = {"ours": result.ours, "peer": result.peer, "ratio": result.ratios}
    medians = {name: statistics.median(values) if values else None for name, values in sides.items()}
    return {"reached": result.reached, "median": medians, "ours": result.ours, "peer": result.peer, "ratios": result.ratios,
            "notes": result.notes, "raw": result.raw}


def write_json(path: Path, report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
