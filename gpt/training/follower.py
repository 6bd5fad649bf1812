"""What a process does that trains together with others and does not lead: the same steps as rank 0, without a run folder."""

import contextlib

from gpt.errors import UserError
from gpt.model.gpt2 import GPT2
from gpt.training.device import choose_device, ran_out_of_memory
from gpt.training.distributed import ManyProcesses, RunIsOver, lost_contact
from gpt.training.limits import use_allowed_cores
from gpt.training.placement import placed
from gpt.training.trainer import Trainer


def follow(processes: ManyProcesses) -> None:
    """Train with rank 0 until it says that the run is over. If an error ends this process, its reason is left to rank 0. Raises UserError,
    and lost contact as `lost_contact` describes it."""
    config, text, sharded = processes.begin()
    try:
        use_allowed_cores(processes.local_count)
        device = choose_device(config["device"])
        processes.use_own_gpu(device)
        model = placed(GPT2(config), device, processes.count, sharded)
        processes.meet()
        trainer = Trainer(config, model, text, processes=processes)
        with contextlib.suppress(RunIsOver):
            for _ in trainer.events():
                pass
            trainer.obey()  # the last steps are done, but rank 0 may want to extend the run, and has to save it
    except Exception as error:
        if not lost_contact(error):
            name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            processes.give_reason("its memory ran out (a lower batch needs less)" if ran_out_of_memory(error) else f"{name}{error}")
        raise
