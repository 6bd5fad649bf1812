"""Logs as their own programs read them."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from gpt.runs.run import Run

Points = dict[str, list[tuple[int, object]]]  # by name: (step, value)


class TensorBoardReader:
    """What TensorBoard's EventAccumulator has of a run."""

    def __init__(self, run: Path):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        kinds = ("scalars", "tensors", "images")
        self._events = EventAccumulator(str(run / "tensorboard"), size_guidance=dict.fromkeys(kinds, 0))
        self._events.Reload()
        self._tags = self._events.Tags()

    def numbers(self) -> Points:
        return {tag: [(event.step, event.value) for event in self._events.Scalars(tag)] for tag in self._tags["scalars"]}

    def texts(self) -> Points:
        return {tag.removesuffix("/text_summary"): [(event.step, event.tensor_proto.string_val[0].decode())
                                                    for event in self._events.Tensors(tag)] for tag in self._tags["tensors"]}

    def pictures(self) -> dict[int, np.ndarray]:
        return {event.step: np.asarray(Image.open(io.BytesIO(event.encoded_image_string))) for event in self._events.Images("attention")}

    def config(self) -> dict:
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        data = HParamsPluginData.FromString(self._events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
        return {name: getattr(value, value.WhichOneof("kind")) for name, value in data.session_start_info.hparams.items()}


class TrackioReader:
    """What trackio's Api and storage have of a run."""

    def __init__(self, run: Path):
        import trackio
        from trackio.sqlite_storage import SQLiteStorage
        from trackio.utils import MEDIA_DIR

        created = datetime.fromtimestamp(Run(run).config()["created"], UTC)
        name = f"{run.name}-{created:%Y%m%d-%H%M%S-%f}"
        [self.run] = [other for other in trackio.Api().runs("gpt") if other.name == name]
        self._entries, self._media = SQLiteStorage.get_logs("gpt", self.run.name, run_id=self.run.id), Path(MEDIA_DIR)

    def _of(self, of_kind) -> Points:
        points: Points = {}
        for entry in self._entries:
            for name, value in entry.items():
                if name not in ("step", "timestamp", "attention") and of_kind(value):
                    points.setdefault(name, []).append((entry["step"], value))
        return points

    def numbers(self) -> Points:
        return self._of(lambda value: isinstance(value, (int, float)))

    def texts(self) -> Points:
        return {name: [(step, value["_value"]) for step, value in values]
                for name, values in self._of(lambda value: isinstance(value, dict)).items()}

    def pictures(self) -> dict[int, np.ndarray]:
        return {entry["step"]: np.asarray(Image.open(self._media / entry["attention"]["file_path"]).convert("RGB"))
                for entry in self._entries if "attention" in entry}

    def config(self) -> dict:
        return {name: value for name, value in self.run.config.items() if not name.startswith("_")}


READERS = {"tensorboard": TensorBoardReader, "trackio": TrackioReader}
