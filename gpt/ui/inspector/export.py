"""Taking home what was seen: the maps of every head as numbers, and a report of the run."""

import base64
import io
from typing import Any

import numpy as np

from gpt.errors import UserError
from gpt.ui.inspector.inspector import Seen
from gpt.ui.inspector.report import report_of
from gpt.ui.inspector.request import Question

MOST_BYTES = 64_000_000  # of all maps together: they are made in memory and sent in one piece


def arrays(seen: Seen, _question: Question) -> dict[str, Any]:
    """All maps as a compressed NPZ, base64: `weights` (L, H, T, T) float32, `ids` (T,), and `tokens`, T strings of bytes in hexadecimal.
    Raises UserError if that would be too large."""
    found = seen.inspection
    L, H, T = found.shape
    if 4 * L * H * T * T > MOST_BYTES:
        longest = int((MOST_BYTES / (4 * L * H)) ** 0.5)
        raise UserError(f"the maps of {L * H} heads on {T} tokens are {4 * L * H * T * T / 1e6:.0f} MB: shorten the prompt to {longest} "
                        "tokens")
    file = io.BytesIO()
    np.savez_compressed(file, weights=np.stack([found.weights(layer) for layer in range(L)]), ids=found.trace.ids[0].cpu().numpy(),
                        tokens=np.array([token.hex() for token in found.tokens]))
    return {"npz": base64.b64encode(file.getvalue()).decode()}


def report(seen: Seen, _question: Question) -> dict[str, Any]:
    """The report of the run as one HTML page."""
    return {"html": report_of(seen.run)}
