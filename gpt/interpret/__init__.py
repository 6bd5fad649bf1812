"""Looking inside a model.

Read `trace.py` first (a forward pass, kept), then `inspection.py` (a prompt as the model reads it), then `scores.py` and
`heads.py` (what a head reads, and the role it has), then what interests you.
"""

from gpt.interpret.heads import HeadScores, Role, score_heads
from gpt.interpret.inspection import Inspection, inspect, inspect_ids
from gpt.interpret.trace import Trace, attention_maps, trace

__all__ = ["HeadScores", "Inspection", "Role", "Trace", "attention_maps", "inspect", "inspect_ids", "score_heads", "trace"]
