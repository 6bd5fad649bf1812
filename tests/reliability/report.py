"""What was found, as one table: what was done, how often, how often all went as promised, and what was lost."""

from typing import Any

HEADER = ("what was done", "tried", "as promised", "what was lost, and what else there is to say")
NEVER = {"accepted": "accepted", "tracebacks": "tracebacks leaked", "without_a_sentence": "errors without a sentence",
         "faults": "faults of the page", "server_deaths": "server deaths", "touched_outside": "files touched outside"}  # of bad inputs
Row = tuple[str, int, int, str]


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [HEADER, ("---",) * 4, *rows(found)]
    return "\n".join("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in line) + " |" for line in lines)


def rows(found: dict[str, Any]) -> list[Row]:
    """A row for each fault, of the parts that were tried."""
    lines = [kills_row(found["kills"])] if "kills" in found else []
    lines += [fault_row(name, one) for name, one in found.get("faults", {}).items()]
    lines += [inputs_row(found["inputs"])] if "inputs" in found else []
    return lines + (watching_rows(found["watching"]) if "watching" in found else [])


def kills_row(killed: dict[str, Any]) -> Row:
    kinds = ", ".join(f"{n} at {kind}" for kind, n in killed["kinds"].items())
    same = killed["runs"] - len(killed["differences"])
    return (f"SIGKILL while training ({kinds})", killed["tried"], killed["survived"],
            f"at most {killed['most_seconds_lost']:.2f} s of work, with a save every {killed['save_seconds']:g} s; "
            f"{same} of {killed['runs']} runs ended bit for bit as one never killed")


def fault_row(name: str, fault: dict[str, Any]) -> Row:
    problems = "; ".join(problem.strip().splitlines()[-1] for problem in fault["problems"])
    return name, fault["tried"], fault["survived"], problems or "nothing"


def inputs_row(bad: dict[str, Any]) -> Row:
    amiss = ", ".join(f"{bad[what]} {words}" for what, words in NEVER.items())
    return (f"bad inputs of {len(bad['kinds'])} kinds", bad["tried"], bad["tried"] - sum(bad[what] for what in NEVER),
            f"{amiss}; of {bad['good_tried']} good requests in between {bad['good_failed']} failed")


def watching_rows(watched: dict[str, Any]) -> list[Row]:
    memory = watched["memory"]
    return [
        (f"looks of {watched['pages']} pages at a run", watched["looks"], watched["looks"] - len(watched["faults"]),
         f"training is {100 * watched['slowdown']:.1f} % slower, {100 * watched['slowdown_own']:.1f} % by its own processor time; "
         f"the server takes {100 * watched['server_share']:.1f} % of the cores, without pages {100 * watched['server_share_alone']:.1f} %"),
        ("looks of a page for an hour", memory["looks"], memory["looks"] - len(memory["faults"]),
         f"the server's memory: {memory['before'] / 1e6:.1f} MB before, {memory['after'] / 1e6:.1f} MB after"),
    ]
