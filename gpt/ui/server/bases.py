"""What the form of the Train tab starts from: a preset, or a run, whose weights and tokens the next run takes over."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt.config import CONFIG, FIELDS, PRESETS, validate
from gpt.errors import UserError
from gpt.runs.run import Run, damage_as_run_error, find_run
from gpt.runs.start import going_on, rate_after
from gpt.ui.server import texts

TEXTS = [field.name for field in FIELDS if field.is_text]
RUN = "run "  # before the name of a run, which holds no blank


@dataclass(frozen=True)
class Base:
    """`name` is what the list "Start from" has, `config` what the form has as long as nobody changes it, `words` what the command line says
    of it. `run` is the one to go on from, if it is one."""

    name: str
    sentence: str
    config: dict[str, Any]
    words: tuple[str, ...] = ()
    run: Run | None = None

    def check(self, config: dict[str, Any]) -> None:
        """Raise UserError if the model of `config` is not that of the run."""
        if self.run:
            going_on(self.run.name, saved_config(self.run), config, config["learning_rate"])

    def form(self, home: Path) -> dict[str, Any]:
        """What the form is filled with: `config`, without a text that is not one of those below `home`, which the page offers."""
        return without_unlisted_text(self.config, home)

    def tokenizer(self) -> Path | None:
        """Where the tokens are, unless the next run has its own."""
        return self.run.path / "tokenizer.json" if self.run else None


def without_unlisted_text(config: dict[str, Any], home: Path) -> dict[str, Any]:
    """`config` without a text that is not one of those below `home`, which the page offers."""
    listed = {source for _, source in texts.choices(home)}
    return {name: value for name, value in config.items() if name not in TEXTS or value in listed or value == CONFIG[name]}


def base_of(root: Path, name: Any) -> Base:
    """What `name` stands for over the runs below `root`; "" for the defaults. Raises UserError."""
    if name == "":
        return Base("", "", CONFIG)
    if isinstance(name, str) and name in PRESETS:
        return Base(name, PRESETS[name].sentence, PRESETS[name].config, ("--preset", name))
    if not isinstance(name, str) or not name.startswith(RUN):
        raise UserError(f"there is no preset {str(name)[:40]!r}: choose one from the list")
    run = find_run(root, name.removeprefix(RUN))
    run.weights(None)
    sentence = f"Goes on from the weights and tokens of run {run.name}."
    config = going_on(run.name, saved_config(run), {}, rate_after(run.config()))
    return Base(name, sentence, config, ("--init_from", run.name), run)


def name_of(run: Run) -> str:
    """The name of the base that goes on from `run`."""
    return RUN + run.name


def offered(base: Base) -> list[str]:
    """What the list "Start from" holds when `base` is chosen."""
    return [*PRESETS, *([base.name] if base.run else [])]


def saved_config(run: Run) -> dict[str, Any]:
    """The CONFIG that a run has. Raises RunError if it cannot be read, or could not be trained with."""
    saved = run.config()["config"]
    with damage_as_run_error(run.path / "config.json"):
        return validate({field.name: saved[field.name] for field in FIELDS})
