"""Taking an inspection home: the maps of every head as numbers, and a report of the run."""

import base64
import io
from typing import Any

import numpy as np

from gpt.errors import UserError
from gpt.ui.inspector.inspections import Inspected
from gpt.ui.inspector.report import report_of
from gpt.ui.inspector.request import InspectionRequest

MOST_BYTES = 64_000_000  # of all maps together: they are made in memory and sent in one piece


def arrays(inspected: Inspected, _request: InspectionRequest) -> dict[str, Any]:
    """All maps as a compressed NPZ, base64: `weights` (L, H, T, T) float32, `ids` (T,), and `tokens`, T strings of bytes in hexadecimal.
    Raises UserError if that would be too large."""
    inspection = inspected.inspection
    L, H, T = inspection.shape
    if 4 * L * H * T * T > MOST_BYTES:
        longest = int((MOST_BYTES / (4 * L * H)) ** 0.5)
        raise UserError(f"the maps of {L * H} heads on {T} tokens are {4 * L * H * T * T / 1e6:.0f} MB: shorten the prompt to {longest} "
                        "tokens")
    file = io.BytesIO()
    np.savez_compressed(file, weights=np.stack([inspection.weights(layer) for layer in range(L)]),
                        ids=inspection.trace.ids[0].cpu().numpy(), tokens=np.array([token.hex() for token in inspection.tokens]))
    return {"npz": base64.b64encode(file.getvalue()).decode()}


def report(inspected: Inspected, _request: InspectionRequest) -> dict[str, Any]:
    """The report of the run as one HTML page."""
    return {"html": report_of(inspected.run)}
