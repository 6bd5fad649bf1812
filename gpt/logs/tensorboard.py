"""TensorBoard: event files in the run's own folder, so that they are renamed, zipped and deleted with it."""

import functools
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from gpt.logs.log import Log, Position, as_code

FOLDER = "tensorboard"
FLUSH_SECONDS = 2.0
ATTENTION, HPARAMS = "attention", "_hparams_"  # how tags begin
CONFIG_TAG = f"{HPARAMS}/session_start_info"


class TensorBoardLog(Log):
    """One event a row, at the time when the row was written. A log that is continued gets one more file, as TensorBoard expects it."""

    name, package = "tensorboard", "tensorboard"

    def __init__(self, run: Path, created: float):
        self.folder, self.created = run / FOLDER, created
        self._writer: Any = None
        self._anew = False

    @staticmethod
    def shown_by(root: Path) -> str:
        return shlex.join(["tensorboard", "--logdir", str(root)])

    def config(self) -> dict[str, Any]:
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        for event in self._events:
            if event.summary.value[0].tag == CONFIG_TAG:
                start = HParamsPluginData.FromString(event.summary.value[0].metadata.plugin_data.content).session_start_info
                return {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
        return {}

    def rows(self) -> list[Position]:
        return [(event.step, event.wall_time - self.created) for event in self._events
                if not event.summary.value[0].tag.startswith((ATTENTION, HPARAMS))]

    def pictures(self) -> set[int]:
        return {event.step for event in self._events if event.summary.value[0].tag == ATTENTION}

    @functools.cached_property
    def _events(self) -> list[Any]:
        """All events that were there before the first is written, but those about the file itself. A damaged file ends where the damage
        begins."""
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        return [event for path in self._files() for event in EventFileLoader(str(path)).Load() if event.summary.value]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("events.out.tfevents.*"))

    def clear(self) -> None:
        for path in self._files():
            path.unlink()
        self._anew = True

    def begin(self, config: dict[str, Any], anew: bool) -> None:
        from torch.utils.tensorboard.summary import hparams

        for summary in () if not anew else hparams(config, {"val_loss": 0.0, "bits_per_byte": 0.0}):
            self._add(summary, (0, 0.0))

    def write_row(self, at: Position, numbers: dict[str, float], texts: dict[str, str]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard.summary import scalar, text

        parts = [scalar(name, value) for name, value in numbers.items()] + [text(name, as_code(value)) for name, value in texts.items()]
        self._add(Summary(value=[value for part in parts for value in part.value]), at)

    def write_picture(self, at: Position, picture: np.ndarray) -> None:
        from torch.utils.tensorboard.summary import image

        self._add(image(ATTENTION, picture, dataformats="HWC"), at)

    def _add(self, summary: Any, at: Position) -> None:
        from torch.utils.tensorboard.writer import FileWriter

        if self._writer is None:
            self._writer = FileWriter(str(self.folder), flush_secs=FLUSH_SECONDS)
            if self._anew:
                self._forget_what_was_shown()
        step, seconds = at
        self._writer.add_summary(summary, step, self.created + seconds)

    def _forget_what_was_shown(self) -> None:
        """A TensorBoard that is open drops what it has read of this run, down to step 0."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), 0, self.created)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
