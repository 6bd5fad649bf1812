"""A report of a run: one HTML page that opens with no network.

It carries everything it needs: the figures' data, Plotly's own script, and the scripts and the style of the page.
"""

import html
import math
from pathlib import Path
from typing import Any

from gpt.config import CONFIG, FIELDS
from gpt.data.tokenizers.text import token_label
from gpt.escape import escaped
from gpt.exchange.pretrained import PUBLISHED
from gpt.interpret import inspect
from gpt.interpret.heads import score_heads
from gpt.interpret.mosaic import all_tiles
from gpt.interpret.scores import SCORES
from gpt.runs.run import DEFAULT_ROOT, Run, RunError, load_run
from gpt.ui.charts import figures, maps
from gpt.ui.charts.component import ASSETS, CSS, PLOTLY_JS, as_script
from gpt.ui.inspector import roles
from gpt.ui.server.jobs import command_line, training_arguments
from gpt.ui.server.training_status import best_of, duration, evaluations_of, thinned

MOST_SAMPLES = 6
MOST_TOKENS = 96  # of the text on which the heads are shown


def report_of(run: Run) -> str:
    """The page. Raises RunError if the run has no weights yet, or damaged ones."""
    scripts = "\n".join(f"<script>{path.read_text(encoding='utf-8').replace('</script', '<' + chr(92) + '/script')}</script>"
                        for path in (PLOTLY_JS, *(ASSETS / f"{name}.js" for name in ("dom", "plot", "train/curves", "report"))))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(run.name)}, a GPT trained from scratch</title>
<style>{CSS}</style>
<style>{(ASSETS / "report.css").read_text(encoding="utf-8")}</style>
<main class="gpt-view gpt-report" id="report"></main>
<script type="application/json" id="contents">{as_script(contents(run))}</script>
{scripts}
</html>
"""


def contents(run: Run) -> dict[str, Any]:
    """What the report says, as JSON; every text in it may be shown as it is."""
    about, status, (rows, _) = run.config(), run.status(), run.rows()
    config = {**CONFIG, **about["config"]}
    return {
        "name": run.name, "summary": summary(about, status), "facts": facts(about, status, config),
        "loss": {"chart": figures.loss_chart(status["steps"]),
                 "rows": [{name: value for name, value in row.items() if not isinstance(value, list | dict)} for row in thinned(rows)
                          if row.keys() & {"loss", "val_loss"}]},
        "context": figures.losses_by_context([(run.name, best_of(evaluations_of(rows)))]),
        "samples": [{"step": row["step"], "prompt": escaped(row["prompt"]), "text": escaped(row["text"])} for row in samples(rows)],
        "formed": [{"step": row["step"], "text": escaped(row["text"])} for row in rows if row.get("kind") == "formed"],
        "heads": heads(run, rows), "questions": questions(about["config"], rows),
        "command": command_line(words_for(run.name, about)),
        "config": [[field.name, str(config[field.name]), field.help, config[field.name] != field.default] for field in FIELDS],
    }


def words_for(name: str, about: dict[str, Any]) -> list[str]:
    """The words after `python` that make the same run: what it went on from need not be there any more to be named."""
    if origin := about.get("imported_from"):
        source = next((source for source, (repository, _) in PUBLISHED.items() if repository == origin), origin)
        return ["-m", "gpt.pretrained", "--source", source, "--run", name]
    module, program, *words = training_arguments(about["config"], "", name, Path(DEFAULT_ROOT))
    return [module, program, *(("--init_from", about["went_on_from"]) if "went_on_from" in about else ()), *words]


def summary(about: dict[str, Any], status: dict[str, Any]) -> str:
    """The run in one sentence."""
    config, text = about["config"], Path(str(about["config"]["corpus"])).name
    result = (f": {status['val_loss']:.3f} nats per token on text it never trained on, {status['bits_per_byte']:.3f} bits per byte"
              if status.get("val_loss") is not None else "")
    return escaped(f"A GPT of {about['parameters'] / 1e6:.2f} million parameters ({config['n_layers']} layers of {config['n_heads']} "
                   f"heads), trained on {text} for {status['step']:,} steps in {duration(status.get('seconds') or 0)}{result}.")


def facts(about: dict[str, Any], status: dict[str, Any], config: dict[str, Any]) -> list[list[str]]:
    """What somebody needs to make the same run again, or to judge it."""
    text, tokens = about["corpus"], about["tokenizer"]
    return [[name, escaped(str(value))] for name, value in (
        ("text", f"{Path(str(text['name'])).name}, {text['bytes']:,} bytes, SHA-256 {text['sha256']}"),
        ("tokens", f"{tokens['name']}, {tokens['n_vocab']:,} different ones; {tokens['train_tokens']:,} to train on, "
                   f"{tokens['validation_tokens']:,} for validation"),
        ("seed", config["seed"]), ("state", f"{status['state']} at step {status['step']:,}"), ("device", about["device"]),
        ("precision", about["precision_reason"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())),
    )]


def questions(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Questions about this run that a teacher could give to a class."""
    texts = []
    validation = [row for row in rows if row.get("val_loss") is not None]
    if len(validation) > 1:
        first, last = validation[0]["val_loss"], validation[-1]["val_loss"]
        texts.append(f"At the end the model is as unsure of the next token as if it chose among {math.exp(last):,.1f} equally likely ones; "
                     f"before the first step it was among {math.exp(first):,.0f}, of {config['vocab_size']:,} in all. Why about that many?")
    training = [row["loss"] for row in rows if row.get("loss") is not None]
    if validation and training:
        last = sum(training[-10:]) / len(training[-10:])
        texts.append(f"The training loss ends near {last:.2f}, the validation loss at {validation[-1]['val_loss']:.2f}. What would it mean "
                     "if the first went on falling and the second began to rise?")
    formed = [row for row in rows if row.get("kind") == "formed"]
    if formed:
        texts.append(escaped(f"{formed[-1]['text'].capitalize()}. What can the samples do after this step that they could not before? "
                             "Could it have formed first, before the others?"))
    texts.append("Take one head out on the page (Attention, What it does). Does the loss change as much as the share of its attention "
                 "suggests? Why may a head with a clear role be of no use, and one without a role of great use?")
    return texts


def samples(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MOST_SAMPLES samples, from the first to the last; closer together at the start, where they change most."""
    written = [row for row in rows if row.get("kind") == "sample"]
    last = len(written) - 1
    places = sorted({round(last * (i / (MOST_SAMPLES - 1)) ** 2) for i in range(MOST_SAMPLES)}) if written else []
    return [written[place] for place in places]


def heads(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Every head of the best weights on the last sample, and what each is for."""
    model, tokenizer = load_run(run.path)
    last = next((row for row in reversed(rows) if row.get("kind") == "sample"), None)
    text = last["prompt"] + last["text"] if last else run.config()["corpus"]["prompt"]
    inspection = inspect(model, tokenizer, text, MOST_TOKENS)
    L, H, T = inspection.shape
    try:
        scores, note = score_heads(model, run.probes()), ""
    except RunError as error:
        scores, note = None, escaped(str(error))
    places = [(layer, head) for layer in range(L) for head in range(H)] if scores else []
    about = [roles.about_head(scores, roles.untrained_scores(run), *place) for place in places]
    marks = {place: {"letter": head["letter"], "text": f"{head['value']:.0%}" if head["role"] else ""}
             for place, head in zip(places, about, strict=True)}
    figure = maps.mosaic(all_tiles(inspection), T, marks=marks)
    names = [name for name in scores.values if SCORES[name].in_report] if scores else []
    return {"mosaic": figure, "text": [token_label(token) for token in inspection.tokens], "heads": about, "names": names,
            "note": note or (scores.note if scores else ""), "about": {name: SCORES[name].sentence for name in names},
            "decimals": {name: SCORES[name].decimals for name in names},
            "chance": {name: roles.rounded(scores.chance[name]) for name in names}}
