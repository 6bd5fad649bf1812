"""The CONFIGs of runs: what several differ in, and one of them as settings for the next run."""

import contextlib
from pathlib import Path
from typing import Any

from gpt.config import CONFIG, FIELDS, PRESETS, TOKENIZERS, Preset, without_folders
from gpt.escape import escaped
from gpt.runs.run import Run, RunError
from gpt.ui.server.bases import base_of, name_of, saved_config, without_unlisted_text

MOST_COMPARED = 6  # runs beside each other


def config_of(run: Run) -> dict[str, Any]:
    """The same as somebody would set it: where the tokenizer sets the vocabulary size itself, it is that of CONFIG."""
    config = saved_config(run)
    return config if TOKENIZERS[config["tokenizer"]].learns_vocab_size else {**config, "vocab_size": CONFIG["vocab_size"]}


def differing(config: dict[str, Any], preset: Preset) -> dict[str, Any]:
    """The settings, apart from the text, in which `config` differs from `preset`."""
    return {name: value for name, value in config.items() if name != "corpus" and value != preset.config[name]}


def as_form(run: Run, root: Path, home: Path) -> tuple[str, dict[str, Any], str]:
    """The nearest preset, the values for the form of the Train tab, and a sentence about both. A preset for one text is near to runs on it
    only. A text that is not on the list of this page is left out of the values. Raises RunError if the run's CONFIG cannot be read."""
    config = config_of(run)
    fitting = [preset for preset in PRESETS.values() if preset.changes.get("corpus", config["corpus"]) == config["corpus"]]
    preset = min(fitting, key=lambda preset: len(differing(config, preset)))
    changes = ", ".join(f"{name} {value}" for name, value in differing(config, preset).items())
    sentence = f"Train has the settings of run {run.name}: those of the preset {preset.name}" + (f", but {changes}." if changes else ".")
    config = without_unlisted_text(config, home)
    return preset.name, config, escaped(sentence + about_text(config))


def as_start(run: Run, root: Path, home: Path) -> tuple[str, dict[str, Any], str]:
    """The same for a run below `root` that the next one is to go on from. Raises UserError if it has no weights, or cannot be read."""
    base = base_of(root, name_of(run))
    sentence = f"The next run goes on from the weights of run {run.name}, with its tokens: choose a text and press Train."
    config = base.form(home)
    return base.name, config, escaped(sentence + about_text(config))


def about_text(config: dict[str, Any]) -> str:
    """What to say of the text of a run, if it is not among the values for the form."""
    return "" if "corpus" in config else " Its text is not on the list here, so the text stays."


def differences(runs: list[Run]) -> dict[str, Any] | None:
    """{"names": of the runs, "rows": [[setting, its value in each]]} of the settings that are not the same in all; None for fewer than two
    runs, or more than MOST_COMPARED. A run whose CONFIG cannot be read is left out."""
    configs = []
    for run in runs[:MOST_COMPARED + 1]:  # of a thousand selected ones, no more need be read
        with contextlib.suppress(RunError):
            configs.append((run.name, saved_config(run)))
    if not 2 <= len(configs) <= MOST_COMPARED:
        return None
    rows = []
    for field in FIELDS:
        values = [str(without_folders(config)[field.name]) for _, config in configs]
        if any(value != values[0] for value in values):
            rows.append([field.name, *map(escaped, values)])
    return {"names": [escaped(name) for name, _ in configs], "rows": rows}
