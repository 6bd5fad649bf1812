"""Looking inside a model.

Read `trace.py` first (a forward pass, kept), then `inspection.py` (a prompt as the model reads it), then what interests you.
"""

from gpt.interpret.inspection import Inspection, inspect, inspect_ids
from gpt.interpret.trace import Trace, attention_maps, trace

__all__ = ["Inspection", "Trace", "attention_maps", "inspect", "inspect_ids", "trace"]
