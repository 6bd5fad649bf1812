"""Access control: a private page allows everything; on a public page (`--public`) visitors may change only their own runs, within caps.

A visitor is identified by a random key that their browser stores and sends. The server stores only its SHA-256, next to the runs:

    checkpoints/.owners.json                 {run: {"who": digest of who began it, "created", "process"}}
    checkpoints/.visitors/<digest>/.texts/   the texts that a visitor gave

A name may be reused, so an entry is valid for one run only: the one whose config.json has the same `created`, or, until
config.json is written, the one that the process of the entry trains.

Runs without an entry (the one that comes with the project, and those started in a terminal) have no owner: only visitors who know
the page's password can stop, change or delete them here.
"""

import hashlib
import hmac
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt.config import TOKENIZERS
from gpt.data.files.listing import is_hidden
from gpt.errors import UserError
from gpt.estimate.price import Estimate, estimate
from gpt.runs import cleanup
from gpt.runs.locks import same_process, start_time
from gpt.runs.run import FINAL_STATES, Run, RunError, list_runs
from gpt.runs.storage import write_atomically
from gpt.runs.writer import N_SAVES
from gpt.ui.server import texts
from gpt.words import size

Process = tuple[int, float | None]  # its number and when it began: together they mean one process
OWNERS, HOMES = ".owners.json", ".visitors"
SHORTEST_SECRET = 8  # characters of a password: fewer could be guessed over the network
SHORTEST_KEY, LONGEST_KEY = 16, 100


class AccessError(UserError):
    """Something that this visitor may not do on this page."""


@dataclass(frozen=True)
class Caps:
    """The limits of a public page. The first three limit one training, and are checked against the estimate for its CONFIG.
    Training ends after `minutes`, and no single step or evaluation may take longer than that, since nothing interrupts
    it. `snapshots` limits one run; the others limit the whole page."""

    parameters: int = 10_000_000
    memory: float = 3e9  # bytes while it trains
    disk: float = 5e8  # bytes of the run's folder: the best weights, the last state, the snapshots
    minutes: float = 10.0
    snapshots: int = 40  # of one run: beyond them none can be asked for
    waiting: int = 32  # requests in Gradio's queue
    runs: int = 20  # begun by visitors and kept; beyond them the oldest finished one is deleted
    largest_text: int = 20_000_000  # bytes of a text that a visitor gives
    text_bytes: int = 100_000_000  # of all texts that visitors gave; beyond them the oldest text is deleted

    def in_words(self) -> str:
        """The caps in sentences, for visitors to read before they begin."""
        return (f"A model may have up to {self.parameters / 1e6:g} million parameters, take {self.memory / 1e9:g} GB of memory "
                f"and {self.disk / 1e6:g} MB of disk. After {self.minutes:g} minutes its training ends, also if max_minutes or max_steps "
                f"would let it go on; at {self.snapshots} snapshots no more can be asked for. The newest {self.runs} runs of visitors are "
                f"kept, and {self.text_bytes / 1e6:g} MB of their texts.")

    def problems(self, config: dict[str, Any], cost: Estimate) -> list[str]:
        """Every cap of one training that `config`, which costs `cost`, is over: the value, the limit and what to lower."""
        words = cost.parameters.get("embedding", 0) + cost.parameters.get("head", 0) > cost.n_parameters / 2
        learns = TOKENIZERS[config["tokenizer"]].learns_vocab_size
        vocabulary = "vocab_size" if learns else "the vocabulary (tokenizer bpe, with a vocab_size)"
        disk = run_bytes(config, cost)
        limits = [
            (cost.n_parameters > self.parameters, f"{cost.n_parameters / 1e6:.1f} million parameters", f"{self.parameters / 1e6:g} million",
             f"emb_dim or {vocabulary if words else 'n_layers'}"),
            (cost.training_bytes > self.memory, f"about {cost.training_bytes / 1e9:.1f} GB of memory", f"{self.memory / 1e9:g} GB",
             " or ".join(cost.settings_to_lower)),
            (disk > self.disk, f"{disk / 1e6:,.0f} MB of disk", f"{self.disk / 1e6:g} MB", "snapshots or emb_dim"),
            (cost.step_seconds > 60 * self.minutes, f"about {cost.step_seconds / 60:,.0f} minutes for a single step",
             f"{self.minutes:g} minutes", "grad_accum, batch or n_layers"),
            (cost.evaluation_seconds > 60 * self.minutes, f"about {cost.evaluation_seconds / 60:,.0f} minutes for a single evaluation",
             f"{self.minutes:g} minutes", "eval_tokens or n_layers"),
        ]
        return [f"this CONFIG takes {value}, and a visitor of this page may take {limit}: lower {remedy}"
                for over, value, limit, remedy in limits if over]


def run_bytes(config: dict[str, Any], cost: Estimate) -> float:
    """What the run's folder grows to: best weights, saves with the optimizer's state, snapshots in half precision."""
    return cost.weight_bytes + N_SAVES * (cost.weight_bytes + cost.optimizer_bytes) + config["snapshots"] * cost.weight_bytes / 2


class Access:
    """What visitors of the page over the folder `root` may do. Without `caps` it is one person's own page: anything."""

    def __init__(self, root: Path | str, caps: Caps | None = None, password: str | None = None):
        self.root, self.caps = Path(root), caps
        self._password = password
        self._unlocked: set[str] = set()  # digests of those who knew the password, until the page ends
        self.lock = threading.RLock()  # held while a run and what is known of it change together

    @property
    def has_password(self) -> bool:
        return self._password is not None

    def unlock(self, visitor: str, password: str) -> None:
        """Let `visitor` do anything until the page ends. Raises AccessError for a wrong password."""
        who = digest(visitor)
        if self._password is None or not hmac.compare_digest(str(password or "").encode(errors="replace"), self._password.encode()):
            raise AccessError("that is not the page's password")
        self._unlocked.add(who)

    def check(self, visitor: str, run: str) -> None:
        """Raise AccessError unless `visitor` began `run` or knows the password."""
        if self.caps is None:
            return
        owner = self._owner(run)
        if self.is_unrestricted(visitor) or owner == digest(visitor):
            return
        raise AccessError(f"run {run} is not yours: it can be changed by who began it" +
                          (", or with the page's password" if self.has_password else ""))

    def has_no_owner(self, run: str) -> bool:
        """Whether `run` has no owner. If the owners file is damaged, no owner is known, so this is true of every run."""
        try:
            return self.caps is None or self._owner(run) is None
        except AccessError:
            return True

    def check_pause(self, visitor: str) -> None:
        """Raise AccessError if `visitor` could hold up the others: only one run trains at a time, also while it is paused."""
        if not self.is_unrestricted(visitor):
            raise AccessError("on a public page others wait for the machine, so a run cannot be paused: stop it, and resume it later")

    def check_growth(self, visitor: str, run: Run) -> None:
        """Raise AccessError if `run` has grown so large that this visitor may have no more of it kept."""
        if self.is_unrestricted(visitor):
            return
        taken, snapshots = cleanup.size_of(run.path), len(run.snapshots())
        if taken > self.caps.disk:
            raise AccessError(f"run {run.name} takes {taken / 1e6:,.0f} MB of disk, and a visitor's may take {self.caps.disk / 1e6:g} MB: "
                              "begin another run")
        if snapshots >= self.caps.snapshots:
            raise AccessError(f"run {run.name} holds {snapshots} snapshots, and a visitor's may hold {self.caps.snapshots}: "
                              "begin another run")

    # Beginning a run

    def with_time_limit(self, visitor: str, config: dict[str, Any]) -> dict[str, Any]:
        """`config` with max_minutes within the cap, so that training on a public page ends even if the estimate is wrong."""
        if self.is_unrestricted(visitor) or 0 < config["max_minutes"] <= self.caps.minutes:
            return config
        return config | {"max_minutes": self.caps.minutes}

    def problems(self, visitor: str, config: dict[str, Any], cost: Estimate) -> list[str]:
        """Sentences about the caps that `config`, which costs `cost`, is over for this visitor."""
        return [] if self.is_unrestricted(visitor) else self.caps.problems(config, cost)

    def check_cost(self, visitor: str, config: dict[str, Any], n_train_tokens: int) -> None:
        """Raise AccessError if `config` is over a cap, or the visitor has no key by which to know the run again."""
        if self.is_unrestricted(visitor):
            return
        digest(visitor)
        self._owners()
        if problems := self.problems(visitor, config, estimate(config, n_train_tokens, config["device"])):
            raise AccessError("; ".join(problems))

    def register(self, visitor: str, run: str, process: Process, source: str | None = None) -> None:
        """Register `visitor` as owner of `run`, which `process` trains, and delete the oldest finished runs of visitors beyond the cap, but
        not `source`, from which the new one goes on. A run started with the page's password has no owner, even if an earlier run of that
        name had one."""
        if self.is_unrestricted(visitor):
            self.forget(run)
            return
        with self.lock:
            owned = [other for other in list_runs(self.root) if other.name != run and self._owner(other.name)]  # newest first
            finished = [other for other in owned if other.status()["state"] in FINAL_STATES and not other.is_alive()]
            spared = [other for other in finished if other.name != source]
            oldest = spared[::-1][:max(0, len(owned) - (self.caps.runs - 1))]
            for other in oldest:
                cleanup.delete(other)
            owners, names = self._owners(), {other.name for other in owned} - {other.name for other in oldest}
            begun = {"who": digest(visitor), "created": None, "process": process}
            self._write({name: entry for name, entry in owners.items() if name in names} | {run: begun})

    def forget(self, run: str) -> None:
        """Forget whose `run` was: another run may have its name later."""
        self.rename(run, None)

    def rename(self, run: str, name: str | None) -> None:
        """Move the owner entry of `run` to `name`; with None, remove it."""
        if self.caps is None:
            return
        with self.lock:
            owners = self._owners()
            others = {other: entry for other, entry in owners.items() if other not in (run, name)}
            known = others | ({name: owners[run]} if name and run in owners else {})
            if known != owners:
                self._write(known)

    # Texts

    def home(self, visitor: str) -> Path:
        """The folder below which the texts lie that `visitor` is offered: on a public page nobody sees those of others."""
        if self.is_unrestricted(visitor):
            return self.root
        return self.root / HOMES / (digest(visitor)[:32] if _is_key(visitor) else "nobody")

    def largest_text(self) -> int:
        """Bytes of the longest text that the page takes."""
        return min(self.caps.largest_text, self.caps.text_bytes) if self.caps else texts.LARGEST

    def largest_text_of(self, visitor: str) -> int:
        """Bytes of the longest text that this visitor may give, unpacked."""
        return texts.LARGEST if self.is_unrestricted(visitor) else self.caps.largest_text

    def check_text(self, visitor: str, n_bytes: int) -> None:
        """Raise AccessError if the text is longer than a visitor's may be, or if there would be no room for it even after all others of
        visitors were deleted."""
        if not self.is_unrestricted(visitor):
            digest(visitor)
            if n_bytes > self.caps.largest_text:
                raise AccessError(f"the text has {size(n_bytes)}, and this page takes up to {size(self.caps.largest_text)}: give a "
                                  "shorter one")
            if n_bytes > self.caps.text_bytes:
                raise AccessError(f"the text has {n_bytes / 1e6:.1f} MB, and this page keeps {self.caps.text_bytes / 1e6:g} MB of its "
                                  "visitors' texts: give a shorter one")

    def make_room_for(self, text: Path) -> None:
        """Delete the oldest texts of visitors for which there is no room beside `text`."""
        if self.caps is None:
            return
        with self.lock:
            others = [path for path in self.root.glob(f"{HOMES}/*/*/*") if path != text and not is_hidden(path.name)]
            room = self.caps.text_bytes - texts.size_of(text)
            for _, path in sorted(((texts.changed_at(path), path) for path in others), reverse=True):
                room -= texts.size_of(path)
                if room < 0:
                    texts.delete(path)

    def is_unrestricted(self, visitor: str) -> bool:
        """Whether nothing is forbidden to `visitor`."""
        return self.caps is None or (_is_key(visitor) and digest(visitor) in self._unlocked)

    def _owner(self, name: str) -> str | None:
        """The key digest of the owner of the run that has this name now, or None. Stores the run's `created` as soon as it is known."""
        with self.lock:
            owners, run = self._owners(), Run(self.root / name)
            if (entry := owners.get(name)) is None:
                return None
            try:
                created = run.config().get("created")
            except RunError:  # it only begins
                created = None
            if entry["created"] is not None:
                return entry["who"] if entry["created"] == created else None
            trained = same_process(_process_of(run), entry["process"])
            if trained and created is not None:
                self._write(owners | {name: entry | {"created": created}})
            starts = created is None and _is_alive(entry["process"])
            return entry["who"] if trained or starts else None

    def _owners(self) -> dict[str, dict[str, Any]]:
        """Run -> {"who", "created", "process"}. Raises AccessError if the file is damaged: guessing would give runs away."""
        try:
            owners = json.loads((self.root / OWNERS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise AccessError(f"{OWNERS} beside the runs is damaged, so nobody knows whose they are: mend or delete it") from None
        return {run: entry for run, entry in owners.items() if _is_entry(entry)} if isinstance(owners, dict) else {}

    def _write(self, owners: dict[str, dict[str, Any]]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        write_atomically(self.root / OWNERS, json.dumps(owners, indent=1).encode())


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not entry.keys() >= {"who", "created", "process"}:
        return False
    return isinstance(entry["process"], list) and len(entry["process"]) == 2


def process_identity(pid: int) -> Process:
    """A process of this machine, as status.json tells of it too; 0 is none."""
    return pid, start_time(pid)


def _is_alive(process: Process) -> bool:
    return same_process(process, process_identity(process[0]))


def _process_of(run: Run) -> Process | None:
    """The process that wrote the run's status.json last, or None."""
    try:
        status = json.loads((run.path / "status.json").read_text(encoding="utf-8"))
        return status["pid"], status["began"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _is_key(visitor: Any) -> bool:
    return isinstance(visitor, str) and SHORTEST_KEY <= len(visitor) <= LONGEST_KEY and visitor.isascii()


def digest(visitor: str) -> str:
    """What the server keeps of a visitor's key. Raises AccessError if it is no key."""
    if not _is_key(visitor):
        raise AccessError("this page knows its visitors by a key that their browser keeps, and there is none: reload the page")
    return hashlib.sha256(visitor.encode()).hexdigest()
