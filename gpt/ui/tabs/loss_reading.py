"""What the loss of a run says, for the Train tab: lines to compare it with, a sentence, and advice where something goes wrong."""

from typing import Any

from gpt.data.baselines import PERFECT
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.interpret.diagnosis import Losses, diagnosis, distinct, meaning
from gpt.runs.run import RunError, find_run
from gpt.ui.charts.figures import GREEN, MUTED
from gpt.ui.inspector.request import InspectionRequest
from gpt.ui.server.jobs import Jobs


def read_loss(jobs: Jobs, sent: Any) -> dict[str, Any]:
    """{"run"} -> {"lines": [[loss, name, colour]] of the baselines and of perfect prediction, "meaning": the last validation loss among
    them, "advice": what is going wrong and what to change, or "", "unlearned": [[kind of token, nats above perfect]], largest first}."""
    try:
        run = find_run(jobs.root, InspectionRequest(sent).text("run", 64))
    except UserError as error:
        return {"error": escaped(str(error))}
    losses = Losses.read(run.rows()[0])
    try:
        about = run.config()
        advice = diagnosis(losses, about["config"], about["tokenizer"]["train_tokens"])
    except (RunError, LookupError, TypeError):  # its text is still being read, or its config.json is damaged: nothing to advise
        advice = ""
    unlearned = [[escaped(kind), nats] for kind, nats in sorted(losses.above_perfect.items(), key=lambda pair: -pair[1])]
    return {"lines": lines(losses.baselines, losses.perfect), "meaning": meaning(losses), "advice": advice, "unlearned": unlearned}


def lines(baselines: dict[str, float], perfect: float | None = None) -> list[list[Any]]:
    """A line [loss, text, colour] for each baseline that can be told apart, the highest first, and for perfect prediction, if known."""
    return [*([loss, f"{name} {loss:.2f}", MUTED] for name, loss in distinct(baselines)),
            *([] if perfect is None else [[perfect, f"{PERFECT} {perfect:.2f}", GREEN]])]
