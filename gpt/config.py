"""CONFIG: one table of fields feeds the defaults, the checks, the flags, the page's controls and a README."""

import argparse
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from gpt.errors import UserError


class Registry(Mapping):
    """A lazy view of the mapping `name` in another module, `module`, which is imported when the mapping is first read.

    Its keys are the choices of a field. A new tokenizer or optimizer is added in its own module only; nothing changes here. Because the
    import is lazy, CONFIG can be used without loading PyTorch.
    """

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return getattr(import_module(self._module), self._name)

    def __getitem__(self, key: str) -> Any:
        return self._mapping[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __hash__(self) -> int:
        return hash((self._module, self._name))


TOKENIZERS = Registry("gpt.data.tokenizers.table", "TOKENIZERS")
OPTIMIZERS = Registry("gpt.training.optimizer", "OPTIMIZERS")
SEPARATORS = Registry("gpt.data.files.formats", "SEPARATORS")


@dataclass(frozen=True)
class Field:
    """One setting: its name, its default (whose type is the setting's type), its limits and one sentence of help.

    `group` is its section on the page, `step` the step of its arrow keys and of its slider, `stops` instead the values on its slider, which cover the useful part of
    what is allowed, `prominent` whether it is in sight before all settings are opened, `changeable` whether it may be changed when a run
    is resumed, `exported` the only value that GPT-2's format can hold (None: it holds any), `since` the version of FIELDS that introduced it: for a run saved with an earlier version the default is used, `is_text` whether it names a text: where that lies is nobody else's business.
    """

    name: str
    default: Any
    help: str
    group: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | Registry = ()
    changeable: bool = False
    since: int = 1
    stops: tuple[float, ...] = ()
    prominent: bool = False
    exported: Any = None
    is_text: bool = False

    @property
    def kind(self) -> type:
        return type(self.default)

    def limits(self) -> str:
        """What is allowed, in words: "a whole number from 1 to 48"."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "text"
        return f"a whole number from {self.minimum} to {self.maximum}" if self.kind is int else f"a number from {self.minimum:g} to {self.maximum:g}"

    def problem(self, value: Any) -> str | None:
        """What is wrong with `value`, in one sentence, or None."""
        if self._allowed(value):
            return None
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:60] + "..."
        return f"{self.name} is {shown}: set it to {self.limits()}"

    def _allowed(self, value: Any) -> bool:
        if self.kind in (bool, str):
            return isinstance(value, self.kind) and (not self.choices or value in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else (int, float)):
            return False
        return self.minimum <= value <= self.maximum  # false for NaN and infinity too

    def parse(self, text: str) -> Any:
        """Convert the text of a flag to a value. Text that cannot be converted is returned unchanged; `problem` then reports it."""
        try:
            return {"true": True, "false": False}[text.lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            return text


def _decades(first: int, last: int) -> tuple[float, ...]:
    """Stops of a logarithmic slider: 1, 1.5, 2, 3 ... 9 times ten to each power from `first` up to, and without, `last`, then 10^last."""
    stops = [float(f"{digit}e{power}") for power in range(first, last) for digit in (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)]
    return (*stops, float(f"1e{last}"))


_DOUBLING = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # and half steps between


def _model(name, default, help, *limits, **more):
    return Field(name, default, help, "model", *limits, **more)


def _training(name, default, help, *limits, **more):
    return Field(name, default, help, "training", *limits, **more)


FIELDS = (
    Field("corpus", "stories", "The text to learn: stories, repeats, python, a task (copy, reverse, sort, addition, modular, brackets), shakespeare "
          "or tinystories, which are downloaded, or the path of a file, a folder or an archive: plain text, code, .csv, .json, .jsonl, .html, "
          ".gz, .zip.", "text", is_text=True),
    Field("validation", "", "A text of its own to evaluate on, named like the one to learn; without it, documents drawn at random, a tenth of the "
          "text, or the end of the only one.", "text", since=4, is_text=True),
    Field("documents", "files", "What a document is in plain text: a file, or what blank lines or end-of-text marks part. A row of .csv or .json "
          "is one in any case. An end-of-text token follows each.", "text", choices=SEPARATORS, since=4),
    Field("text_field", "", "The column of .csv or field of .json that holds the text; left empty, the most likely one.", "text", since=4),
    Field("pack", True, "Let a window go on with the next document after an end-of-text token. Without it each window has one document and stays "
          "empty after it: no token is read with another document before it, and short documents take longer.", "text", since=4),
    Field("tokenizer", "bpe", "How text becomes tokens: pieces learned from this text (bpe; sentencepiece, which needs that package), GPT-2's own, characters "
          "or bytes.", "text",
          choices=TOKENIZERS),
    Field("vocab_size", 512, "Number of different tokens; bpe learns this many, the other tokenizers set it themselves.", "text", 2, 131072, 64,
          stops=tuple(range(256, 4097, 256))),
    _model("n_layers", 3, "Transformer blocks, one after the other.", 1, 48, 1, stops=tuple(range(1, 13)), prominent=True),
    _model("n_heads", 4, "Attention heads in each block.", 1, 32, 1, stops=tuple(range(1, 17)), prominent=True),
    _model("emb_dim", 128, "Width of the residual stream: numbers that describe one token.", 4, 2048, 8, stops=tuple(range(32, 769, 32)), prominent=True),
    _model("context_length", 256, "Tokens the model can look back on.", 2, 4096, 8, stops=_DOUBLING[5:], prominent=True),
    _model("dropout_rate", 0.0, "Share of activations silenced at random while training; helps when a text is read many times.", 0, 0.9, 0.05,
           stops=tuple(step / 20 for step in range(11))),
    _model("position", "rope", "How the model knows the order: a learned vector per position, or queries and keys rotated by position. Runs with rope cannot be exported to GPT-2's format.", choices=("learned", "rope"), exported="learned"),
    _model("activation", "relu2", "Nonlinearity of the feed-forward layer: GPT-2's GELU, or ReLU squared. Runs with relu2 cannot be exported to GPT-2's format.", choices=("gelu", "relu2"), exported="gelu"),
    _model("qk_norm", True, "Scale each head's queries and keys to a root mean square of 1, which allows higher learning rates. Runs with it cannot be exported to GPT-2's format.", exported=False),
    _model("qkv_bias", True, "Add a bias to queries, keys and values, as GPT-2 does."),
    _model("tie_weights", True, "Use the token embedding as output head too, as GPT-2 does."),
    _model("vocab_multiple", 1, "Pad the embedding to a multiple of this many rows (64 is faster on GPUs); padding is never predicted.", 1, 1024, 1),
    _training("optimizer", "muon", "AdamW, or Muon, which moves all directions and all neurons of a matrix alike, with AdamW for what is no matrix.", choices=OPTIMIZERS),
    _training("learning_rate", 0.01, "Size of a step at its highest.", 1e-9, 0.1, 0.0001, changeable=True, stops=_decades(-4, -1), prominent=True),
    _training("batch", 4, "Windows of text per step.", 1, 1024, 1, stops=_DOUBLING[:14], prominent=True),
    _training("grad_accum", 1, "Batches whose gradients are averaged for one step.", 1, 256, 1, stops=_DOUBLING[:10]),
    _training("epoch", 0.0, "Passes over the training text; fractions are fine, 0 is no limit.", 0, 10000, 0.5, changeable=True),
    _training("max_steps", 1000, "Stop after this many steps; 0 is no limit.", 0, 100_000_000, 100, changeable=True,
              stops=tuple(map(int, _decades(1, 5))), prominent=True),
    _training("max_minutes", 0.0, "Stop after this many minutes of work; 0 is no limit.", 0, 100_000, 0.5, changeable=True),
    _training("warmup", 20, "Steps over which the learning rate rises from zero.", 0, 1_000_000, 10, changeable=True),
    _training("weight_decay", 0.3, "Pull of all matrices towards zero, times the learning rate; it slows down learning by heart.", 0, 10, 0.01, stops=tuple(step / 20 for step in range(11))),
    _training("grad_clip", 1.0, "Gradients longer than this are shortened to it; 0 turns it off.", 0, 100, 0.1, changeable=True,
              stops=tuple(step / 4 for step in range(13))),
    _training("precision", "auto", "Number format of the matrix products; auto takes the fastest safe one and says why.", choices=("auto", "float32", "bfloat16", "float16")),
    _training("compile", False, "Let torch.compile fuse the step: half a minute at the start for steps that are a tenth faster on a CPU, so it pays "
              "in runs of several minutes; needs a C++ compiler."),
    _training("device", "auto", "Where to train; auto takes the GPU when there is one.", choices=("auto", "cpu", "cuda", "mps", "xpu")),
    _training("eval_every", 100, "Steps between two evaluations on the validation text, each with a sample.", 1, 1_000_000, 10, changeable=True),
    _training("eval_tokens", 16384, "Most tokens of the validation text to evaluate on, before the first step 4,096; 0 is all of it.", 0, 1_000_000_000, 1024),
    _training("snapshots", 12, "Snapshots of the weights kept for looking back, at steps spaced evenly on a log scale.", 0, 100, 1, changeable=True),
    _training("head_scores", 24, "Times that every attention head is scored while it trains, at steps spaced evenly on a log scale; 0 turns it off.", 0, 100, 1, changeable=True, since=2),
    _training("freeze", "", "Parts that stay as they are, for a run that goes on from another: embeddings, or layers by number, such as "
              "embeddings,0,1.", since=3),
    _training("seed", 1, "Start of every random choice: the same seed gives the same run.", 0, 2**31 - 1, 1),
)
CONFIG: dict[str, Any] = {field.name: field.default for field in FIELDS}


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """`config` with the bare names of its texts: where they lie on this machine is nobody's business."""
    return {**config, **{field.name: Path(str(config[field.name])).name for field in FIELDS if field.is_text}}


def table_version() -> int:
    """The version of FIELDS, saved in each run folder: the highest `since` of all fields."""
    return max(field.since for field in FIELDS)


def with_missing_defaults(config: dict[str, Any], version: int) -> dict[str, Any]:
    """`config`, saved with version `version` of FIELDS, plus the defaults of all fields added later."""
    return {**{field.name: field.default for field in FIELDS if field.since > version}, **config}


@dataclass(frozen=True)
class Preset:
    """A named CONFIG with a one-sentence description, stored as its differences from the defaults."""

    name: str
    sentence: str
    changes: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return {**CONFIG, **self.changes}


_LETTERS = {"tokenizer": "char", "emb_dim": 64, "context_length": 64, "batch": 16, "weight_decay": 0.1}  # for lines of single characters
_TASK = {**_LETTERS, "max_steps": 800}
_CLASSIC = {"position": "learned", "activation": "gelu", "qk_norm": False, "optimizer": "adamw", "weight_decay": 0.1}
PRESETS = {preset.name: preset for preset in (
    Preset("quick", "A small GPT with today's best habits; about a minute on two CPU cores.", {}),
    Preset("gpt2-classic", "Four layers, built as GPT-2 was published: learned positions, GELU, AdamW.",
           {**_CLASSIC, "n_layers": 4, "learning_rate": 0.002}),
    Preset("shakespeare-char", "nanoGPT's character model for one GPU: 6 layers of width 384 and a context of 256 characters; give it your text.",
           {**_CLASSIC, "tokenizer": "char", "n_layers": 6, "n_heads": 6, "emb_dim": 384, "context_length": 256, "dropout_rate": 0.2,
            "batch": 64, "max_steps": 5000, "warmup": 100, "learning_rate": 0.001, "eval_every": 250}),
    Preset("induction", "Random letters written twice, which only looking back can predict: see the loss stay, then fall, as an induction head grows.",
           {"corpus": "repeats", **_LETTERS, "max_steps": 400, "head_scores": 18}),
    Preset("copy", "A task: letters, then the same again; the share of right answers is the score.", {"corpus": "copy", **_TASK}),
    Preset("reverse", "A task: letters, then the same backwards.", {"corpus": "reverse", **_TASK}),
    Preset("sort", "A task: letters, then the same in alphabetical order.", {"corpus": "sort", **_TASK}),
    Preset("addition", "A task: two numbers of three digits and their sum, with carries.", {"corpus": "addition", **_TASK}),
    Preset("modular", "A task: two numbers and the rest of their sum divided by 53.",
           {"corpus": "modular", **_TASK, "n_layers": 2, "emb_dim": 128}),
    Preset("brackets", "A task: brackets, and what closes those that are open.", {"corpus": "brackets", **_TASK}),
    Preset("gpt2-124m", "The sizes of OpenAI's smallest GPT-2, 124 million parameters; wants a GPU.",
           {**_CLASSIC, "tokenizer": "gpt2", "vocab_size": 50257, "vocab_multiple": 64, "n_layers": 12, "n_heads": 12, "emb_dim": 768,
            "context_length": 1024, "batch": 8, "grad_accum": 8, "epoch": 1.0, "max_steps": 0, "warmup": 200, "learning_rate": 0.0006}),
)}


class ConfigError(UserError):
    """All problems of a CONFIG together; `problems` maps a field's name to its error message."""

    def __init__(self, problems: dict[str, str]):
        self.problems = problems
        super().__init__("; ".join(problems.values()))


def problems_of(fields: tuple[Field, ...], values: dict[str, Any]) -> dict[str, str]:
    """Field name -> error message, for every value that is missing, unknown or outside its field's limits."""
    by_name = {field.name: field for field in fields}
    problems = {}
    for name in values:
        if name not in by_name:
            near = difflib.get_close_matches(str(name), by_name, n=1)
            problems[name] = f"{str(name)[:60]} is not a setting" + (f": did you mean {near[0]}?" if near else "")
    for name, field in by_name.items():
        if name not in values or values[name] is None:
            problems[name] = f"{name} is missing: set it to {field.limits()}"
        elif sentence := field.problem(values[name]):
            problems[name] = sentence
    return problems


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """Return `config` unchanged if it can be built and trained; raise ConfigError with all its problems if not."""
    problems = problems_of(FIELDS, config)

    def sound(*names: str) -> bool:
        return not any(name in problems for name in names)

    if sound("emb_dim", "n_heads"):
        emb_dim, n_heads = config["emb_dim"], config["n_heads"]
        if emb_dim % n_heads:
            below, above = emb_dim - emb_dim % n_heads, emb_dim + n_heads - emb_dim % n_heads
            remedy = f"{below} or {above}" if below >= 4 else str(above)
            problems["emb_dim"] = f"emb_dim {emb_dim} cannot be split into {n_heads} heads: use {remedy}"
        elif sound("position") and config["position"] == "rope" and emb_dim // n_heads % 2:
            problems["position"] = (f"rope turns pairs of numbers, and a head's width emb_dim / n_heads = {emb_dim // n_heads} is odd: "
                                    "change emb_dim or n_heads, or set position to learned")
    if sound("tokenizer", "vocab_size") and (problem := TOKENIZERS[config["tokenizer"]].problem(config["vocab_size"])):
        problems["vocab_size"] = problem
    if sound("freeze", "n_layers") and (wrong := set(frozen_parts(config)) - {"embeddings", *map(str, range(config["n_layers"]))}):
        problems["freeze"] = (f"freeze has {min(wrong)[:40]!r}, which is no part of this model: name embeddings, or layers from 0 to "
                              f"{config['n_layers'] - 1}, with commas between")
    limits = ("epoch", "max_steps", "max_minutes")
    if sound(*limits) and not any(config[name] for name in limits):
        problems["epoch"] = "epoch, max_steps and max_minutes are all 0, so the run would never end: set one of them"
    if problems:
        raise ConfigError(problems)
    return config


def frozen_parts(config: dict[str, Any]) -> list[str]:
    """What `freeze` names: "embeddings,0,1" -> ["embeddings", "0", "1"]."""
    return [part.strip() for part in config["freeze"].split(",") if part.strip()]


def add_flags(parser: argparse.ArgumentParser, fields: tuple[Field, ...]) -> None:
    """Add one flag per field, with the field's name. A flag that is not given does not appear in the parsed options."""
    for field in fields:
        parser.add_argument(f"--{field.name}", type=field.parse, default=argparse.SUPPRESS, metavar=field.kind.__name__.upper(),
                            help=f"{field.help} ({field.limits()}; default {field.default})".replace("%", "%%"))


def as_flags(changes: dict[str, Any]) -> list[str]:
    """The command-line arguments that set `changes`: {"emb_dim": 64} -> ["--emb_dim", "64"]."""
    words = []
    for name, value in changes.items():
        words += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return words


def fields_table() -> str:
    """The table of CONFIG in gpt/README.md, written from FIELDS."""
    rows = [f"| `{field.name}` | {field.default} | {field.help} ({field.limits()}) |" for field in FIELDS]
    return "\n".join(["| field | default | meaning |", "| --- | --- | --- |", *rows])


def presets_table() -> str:
    """The table of presets in gpt/README.md, written from PRESETS."""
    def changes(preset: Preset) -> str:
        return ", ".join(f"`{name}` {value}" for name, value in preset.changes.items()) or "nothing"

    rows = [f"| `{preset.name}` | {preset.sentence} | {changes(preset)} |" for preset in PRESETS.values()]
    return "\n".join(["| preset | what it is | differs from the defaults in |", "| --- | --- | --- |", *rows])
