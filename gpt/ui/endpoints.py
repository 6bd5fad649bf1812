"""What the page offers to other programs: eight named, typed endpoints, and with `--mcp` the same as tools of an agent.

Everything is checked as on the page, and by the same code. The docstrings are what a stranger's program or agent is shown, so they
have the form that Gradio reads: "Args:" with a line for each parameter.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import FIELDS, validate
from gpt.data.tokenizers.text import token_label
from gpt.errors import UserError
from gpt.interpret import ablation, inspect
from gpt.model.sampling import SAMPLING_FIELDS, Sampling
from gpt.model.writing import write
from gpt.runs.run import FINAL_STATES, Run, find_run, list_runs
from gpt.training.device import enough_memory
from gpt.ui.inspector import effects, heads, roles
from gpt.ui.inspector.inspections import MOST_TOKENS, Inspector
from gpt.ui.inspector.request import InspectionRequest
from gpt.ui.server import model_cache, texts
from gpt.ui.server.bases import Base, base_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.training_status import current_run
from gpt.ui.server.values import text_of, typed
from gpt.ui.tabs.train import begin, request, save_text

Json = dict[str, Any]
MOST_RUNS = 200
MOST_WARNINGS = 20
WRITING = tuple(field for field in SAMPLING_FIELDS if field.name in ("max_new_tokens", "temperature", "top_k", "top_p", "seed"))
STATUS = ("state", "step", "steps", "progress", "seconds", "eta_seconds", "loss", "val_loss", "bits_per_byte", "tokens_per_second")


def build(jobs: Jobs, inspector: Inspector) -> None:
    """Add the endpoints to the page that is being built."""
    for functions in (training(jobs), reading(jobs), inspecting(inspector), measuring(inspector)):
        for function in functions:
            gr.api(function, api_name=function.__name__, concurrency_limit=4)


@contextlib.contextmanager
def errors_for_programs() -> Iterator[None]:
    """A UserError inside becomes the error of the call, in the same words."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def training(jobs: Jobs) -> list[Callable]:
    def start(corpus: str = "", text: str = "", preset: str = "quick", settings: dict[str, Any] | None = None, run: str = "",
              key: str = "") -> Json:
        """Start to train a small GPT. It trains in the background, one run at a time: ask `status` how far it is. Returns its name.

        Args:
            corpus: what to train on: stories, repeats, python or a task such as copy, which the project makes itself; without it, the
                preset's own.
            text: your own text to train on instead, a few thousand characters or more.
            preset: which settings to begin with: quick (about a minute on two CPU cores), gpt2-classic, shakespeare-char or induction;
                or "run " and the name of a run, to go on from its weights.
            settings: changes of single settings by name, such as {"n_layers": 2, "emb_dim": 64, "max_steps": 300}.
            run: a name for the run; without it one is made up.
            key: on a public page only: your own random text of 16 characters or more, which shows later that the run is yours.
        """
        with errors_for_programs():
            base, own = base_of(jobs.root, text_of(preset, "the preset") or "quick"), text_of(text, "the text")
            config = validate(config_of(base, text_of(corpus, "corpus"), settings))
            processes = jobs.usual_processes(config)
            jobs.check_idle()
            if not own:
                return {"run": begin(jobs, config, base, run, processes, key)}
            with kept_if_used(jobs, own, key) as path:
                return {"run": begin(jobs, {**config, "corpus": str(path)}, base, run, processes, key)}

    def stop(key: str = "") -> Json:
        """Stop the run that trains now, after the step in progress. What it has learned is saved, and it can go on later. Returns its name.

        Args:
            key: on a public page only: the key with which the run was started.
        """
        with errors_for_programs():
            return {"run": request(jobs, "stop", key)}

    return [start, stop]


def config_of(base: Base, corpus: str, settings: Any) -> Json:
    """CONFIG from what a program has sent, whole numbers as the page takes them. Raises UserError if `settings` are none."""
    if settings is not None and not isinstance(settings, dict):
        raise UserError(f"settings is {str(settings)[:40]!r}: give an object such as {{\"n_layers\": 2}}, or leave it out")
    config = {**base.config, **({"corpus": corpus} if corpus else {}), **(settings or {})}
    return {**config, **typed(FIELDS, [config[field.name] for field in FIELDS])}


@contextlib.contextmanager
def kept_if_used(jobs: Jobs, text: str, key: str) -> Iterator[Path]:
    """A text that a program sent, saved. It is removed again if no run begins with it, unless it was there before."""
    before = {source for _, source in texts.choices(jobs.access.home(key))}
    path = save_text(jobs, "text.txt", text.encode("utf-8", errors="replace"), key)
    try:
        yield path
    except UserError:
        if str(path) not in before:
            path.unlink(missing_ok=True)
        raise


def reading(jobs: Jobs) -> list[Callable]:
    def runs() -> list[Json]:
        """List the trained models, the newest first: name, state, step, validation loss in nats per token, bits per byte, and the steps of
        the snapshots that can be inspected."""
        return [about(run) for run in list_runs(jobs.root)[:MOST_RUNS]]

    def status(run: str = "") -> Json:
        """Say how far a training is: state, step, losses, seconds left, the last warnings, and what the model wrote last.

        Args:
            run: name of a run; without it, the one that trains now, or that trained last.
        """
        with errors_for_programs():
            name = text_of(run, "the name of the run")
            if (failure := jobs.failure()) and name in ("", failure[0]):
                return {"run": failure[0], "state": "failed", "problem": failure[1]}
            if (starting := jobs.starting()) and name in ("", starting):
                return {"run": starting, "state": "starting"}
            chosen = find_run(jobs.root, name) if name else current_run(jobs)
            if chosen is None:
                raise UserError("there is no run yet: start one")
            rows = chosen.rows()[0]
            samples = [row["prompt"] + row["text"] for row in rows if row.get("kind") == "sample"]
            warnings = [row["text"] for row in rows if row.get("kind") == "warning"]
            return {**about(chosen), "sample": samples[-1] if samples else "", "warnings": warnings[-MOST_WARNINGS:]}

    def generate(run: str, prompt: str, max_new_tokens: int = 100, temperature: float = 0.8, top_k: int = 0, top_p: float = 1.0,
                 seed: int = 1, step: int | None = None) -> Iterator[str]:
        """Let a trained model go on with a prompt. The text grows while it is written; the last answer is all of it, prompt included.

        Args:
            run: name of the run whose model writes.
            prompt: the text to continue.
            max_new_tokens: most tokens to write, 1 to 2000.
            temperature: below 1 likely tokens become likelier; 0 always takes the likeliest.
            top_k: choose among this many likeliest tokens; 0 among all.
            top_p: choose among the likeliest tokens that together have this probability.
            seed: the same seed, prompt and settings write the same text.
            step: a snapshot of the training; without it the best weights.
        """
        with errors_for_programs():
            settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
            sampling = Sampling(**typed(WRITING, list(settings.values())))
            model, tokenizer, _ = model_cache.load_for_writing(jobs.root, run, InspectionRequest({"step": step}).step("step"))
            written = text_of(prompt, "the prompt")
            for piece in write(model, tokenizer, written, sampling):
                written += piece.text
                yield written

    return [runs, status, generate]


def loaded(inspector: Inspector, run: Any, step: Any) -> tuple[Run, Any, Any]:
    """(run, model, tokenizer). Raises UserError if there is no such run or snapshot."""
    model, tokenizer, _ = inspector.load(run, InspectionRequest({"step": step}).step("step"))
    return find_run(inspector.jobs.root, run), model, tokenizer


def inspecting(inspector: Inspector) -> list[Callable]:
    def attention(run: str, prompt: str, layer: int | None = None, head: int | None = None, step: int | None = None) -> Json:
        """Show what the attention heads of a model read in a prompt: its tokens, what the model expects next, and a sentence for each head.
        With layer and head also that head's weights: a row for each token, how much it reads of itself and of each token before it.

        Args:
            run: name of the run.
            prompt: the text to read; of a longer one than the model's context the last tokens are read.
            layer: of the head to show in full, from 0.
            head: its number in its layer, from 0.
            step: a snapshot of the training; without it the best weights.
        """
        with errors_for_programs(), inspector.exclusive():
            _, model, tokenizer = loaded(inspector, run, step)
            inspection = inspect(model, tokenizer, text_of(prompt, "the prompt"), MOST_TOKENS)
            L, H, T = inspection.shape
            chosen = InspectionRequest({"layer": layer, "head": head})
            layer, head = chosen.index_or_none("layer", L), chosen.index_or_none("head", H)
            if (layer is None) != (head is None):
                raise UserError("one of layer and head is missing: give both for one head, neither for all")
            answer = {"tokens": [token_label(token) for token in inspection.tokens],
                      "next": [{"token": token_label(token), "probability": round(p, 4)} for token, p in inspection.next_tokens],
                      "heads": [{"layer": i, "head": j, "sentence": f"Layer {i} head {j} {heads.habit_of(weights, inspection.tokens)}"}
                                for i in range(L) for j, weights in enumerate(inspection.weights(i))]}
            if layer is None:
                return answer
            weights = inspection.head(layer, head)
            return {**answer, "weights": [[round(float(weight), 4) for weight in weights[q, :q + 1]] for q in range(T)]}

    return [attention]


def measuring(inspector: Inspector) -> list[Callable]:
    def scores(run: str, step: int | None = None) -> Json:
        """Tell the role of every attention head, measured on text and on random tokens written twice: previous token, induction and so on,
        each score from 0 to 1 with the chance level of a head that reads everything alike.

        Args:
            run: name of the run.
            step: a snapshot of the training; without it the best weights.
        """
        with errors_for_programs(), inspector.exclusive():
            where, model, _ = loaded(inspector, run, step)
            found = roles.roles_in(model, where)
            return {name: found[name] for name in ("chance", "about", "heads", "note")}

    def ablate(run: str, heads: list[list[int]], replace: str = "mean", step: int | None = None) -> Json:
        """Take attention heads out of a model and measure what it loses: the loss on validation text with and without them, in nats per
        token, the standard error of the change, the tokens that become harder to predict, and, on a generated text, the change for each
        kind of token.

        Args:
            run: name of the run.
            heads: the heads to take out, each as [layer, head], both from 0: [[1, 0], [2, 3]].
            replace: what stands in place of a head's output: mean, its average, or zero.
            step: a snapshot of the training; without it the best weights.
        """
        with errors_for_programs(), inspector.exclusive(), enough_memory(effects.REMEDY):
            where, model, tokenizer = loaded(inspector, run, step)
            L, H = len(model.blocks), where.config()["config"]["n_heads"]
            sent = InspectionRequest({"heads": heads, "replace": replace})
            chosen, by = sent.heads("heads", L, H), sent.choice("replace", effects.REPLACED_BY)
            if not chosen:
                raise UserError("no head is chosen: give at least one as [layer, head]")
            probes = where.probes()
            windows, means = effects.windows_and_means(model, probes, by)
            effect = ablation.measure(model, ablation.ablated(model, chosen, means), windows)
            harder = [{"token": token_label(tokenizer.token_bytes(token)), "change": change, "count": count}
                      for token, count, change in effect.harder_tokens[:effects.MOST_HARDER_TOKENS]]
            return {"sentence": effects.sentence_about(chosen, H, by, effect), "before": float(effect.before.mean()),
                    "after": float(effect.after.mean()), "change": effect.change, "standard_error": effects.or_none(effect.error),
                    "harder_tokens": harder, "kinds": [effect._asdict() for effect in effects.kinds_of(model, probes, effect)]}

    return [scores, ablate]


def about(run: Run) -> Json:
    """One run in a few values."""
    status = run.status()
    return {"run": run.name, **{name: status.get(name) for name in STATUS}, "problem": status.get("error") or "",
            "active": status["state"] not in FINAL_STATES, "snapshots": run.snapshots()}
