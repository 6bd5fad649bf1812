"""Links to the page: the part of an address behind "#", which says where somebody is.

    v=1&tab=attention&run=stories&step=300&prompt=Once+there+was&head=2.1&view=weights&panel=scores
    v=1&tab=train&preset=quick&n_layers=2&batch=8

gpt/ui/assets/link.js writes them. Here a link is read: every value is checked like any other input, and what is not on this page is told
in a sentence. A link can show something; it never starts, changes or deletes a run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from gpt.config import FIELDS
from gpt.errors import UserError
from gpt.interpret.views import VIEWS
from gpt.runs.run import Run, RunError, damage_as_run_error, find_run
from gpt.ui.server import texts
from gpt.ui.server.bases import RUN, Base, base_of

VERSION = "1"
LONGEST = 8000  # characters
MOST_RUNS = 50  # on the tab of runs
PANELS = ("scores", "what-it-does", "logit-lens", "over-time", "compare", "export")  # as panels.js calls them
ABOUT_WEIGHTS = ("run", "step", "prompt")
NAMES = {  # what a link to each tab may say
    "train": ("preset", *(field.name for field in FIELDS)),
    "generate": ABOUT_WEIGHTS,
    "attention": (*ABOUT_WEIGHTS, "head", "token", "view", "panel"),
    "runs": ("run",),
}


@dataclass
class Link:
    """What a link says and this page has; what it does not have is told in `lacks`, a sentence each. `tab` is None if nothing can be shown.

    `base` is what the form starts from, `settings` are values by the name of their field, `runs` the names of runs: on Generate and
    Attention one at most. `step` None stands for the best weights, `selection` holds what Attention selects: layer, head, token, view,
    panel.
    """

    tab: str | None = None
    base: Base | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    step: int | None = None
    prompt: str | None = None
    selection: dict[str, Any] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)


def read(fragment: Any, root: Path, home: Path) -> Link:
    """Read a link over the runs below `root`, with the texts below `home`."""
    if not isinstance(fragment, str):
        return Link(lacks=["This is no link."])
    if len(fragment) > LONGEST:
        return Link(lacks=[f"This link has {len(fragment):,} characters, and up to {LONGEST:,} are read: nothing of it is shown."])
    pairs = parse_qsl(fragment, keep_blank_values=True)
    said = dict(pairs)
    if (version := said.pop("v", "")) != VERSION:
        return Link(lacks=[f"This link has version {version[:20] or 'none'}, and this page reads {VERSION}: nothing of it is shown."])
    tab = said.pop("tab", "")
    if tab not in NAMES:
        return Link(lacks=[f"This page has no tab {tab[:40]!r}: nothing of this link is shown."])
    link = Link(tab)
    if unknown := [name for name in said if name not in NAMES[tab]]:
        link.lacks.append(f"This page does not know {', '.join(map(repr, (name[:40] for name in unknown[:4])))} in a link to this tab.")
    if tab == "train":
        _read_settings(link, said, root, home)
    elif tab == "runs":
        names = list(dict.fromkeys(value for name, value in pairs if name == "run"))[:MOST_RUNS]
        link.runs = [run.name for name in names if (run := _run(link, root, name, find_run))]
    else:
        _read_weights(link, said, root)
    return link


def _read_settings(link: Link, said: dict[str, str], root: Path, home: Path) -> None:
    preset = said.get("preset")
    try:
        link.base = preset and base_of(root, preset)
    except UserError:
        lacking = f"Run {preset.removeprefix(RUN)[:80]!r}, to go on from," if preset.startswith(RUN) else f"The preset {preset[:40]!r}"
        link.lacks.append(f"{lacking} is not here.")
    for each in FIELDS:
        if each.name not in said:
            continue
        value = each.parse(said[each.name])
        if each.is_text and value != each.default:
            value = next((source for _, source in texts.choices(home) if value in (source, Path(source).name)), None)
            if value is None:
                link.lacks.append(f"The text {said[each.name][:80]!r} is not on this page.")
                continue
        if problem := each.problem(value):
            link.lacks.append(f"In this link {problem}.")
        else:
            link.settings[each.name] = value


def _read_weights(link: Link, said: dict[str, str], root: Path) -> None:
    link.prompt = said.get("prompt")
    run = _run(link, root, said["run"], with_weights) if "run" in said else None
    if run is None:
        return
    link.runs = [run.name]
    if "step" in said:
        step = _whole(said["step"])
        if step in run.snapshots():
            link.step = step
        else:
            link.lacks.append(f"Run {run.name} has no snapshot of step {said['step'][:20]} here: its best weights are shown.")
    _read_selection(link, said, run)


def _read_selection(link: Link, said: dict[str, str], run: Run) -> None:
    if "head" in said:
        (layer, _, head), (L, H) = said["head"].partition("."), shape_of(run)
        layer, head = _whole(layer), _whole(head)
        if layer is not None and head is not None and layer < L and head < H:
            link.selection |= {"layer": layer, "head": head}
        else:
            link.lacks.append(f"Run {run.name} has {L} layers of {H} heads, and no head {said['head'][:20]!r}.")
    if "token" in said:
        if (token := _whole(said["token"])) is None:
            link.lacks.append(f"There is no token {said['token'][:20]!r}.")
        else:
            link.selection["token"] = token
    for name, known in (("view", (*VIEWS, "lines")), ("panel", PANELS)):
        if said.get(name) in known:
            link.selection[name] = said[name]
        elif name in said:
            link.lacks.append(f"Attention has no {name} {said[name][:40]!r}.")


def _run(link: Link, root: Path, name: str, find: Callable[[Path, str], Run]) -> Run | None:
    """The run that `find` finds, or None if it raises RunError."""
    try:
        return find(root, name)
    except RunError:
        link.lacks.append(f"Run {name[:80]!r} cannot be shown here: it was deleted or renamed, it is damaged, or it is on another machine.")
        return None


def with_weights(root: Path, name: str) -> Run:
    """The run `name` below `root`. Raises RunError if it has no weights yet, or another shape than any run."""
    run = find_run(root, name)
    run.weights(None)
    shape_of(run)
    return run


def shape_of(run: Run) -> tuple[int, int]:
    """The numbers of its layers and of the heads in each. Raises RunError if nobody can tell them."""
    with damage_as_run_error(run.path / "config.json"):
        config = run.config()["config"]
        return int(config["n_layers"]), int(config["n_heads"])


def _whole(text: str) -> int | None:
    """A whole number that is no less than 0 and could be a step, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
