"""Values as browsers send them: anyone who reaches the port may send anything."""

from typing import Any

from gpt.config import Field
from gpt.errors import UserError


def text_of(value: Any, what: str) -> str:
    """`value`, which the page sends as text; nothing is empty text. Raises UserError: anyone may send anything else."""
    if value is not None and not isinstance(value, str):
        raise UserError(f"{what} is {str(value)[:40]!r}: it must be text")
    return value or ""


def typed(fields: tuple[Field, ...], values: list[Any]) -> dict[str, Any]:
    """The page's values by field name, whole numbers as int where the field wants them: browsers send 4 as 4.0 or 4.
    Raises UserError if there are too few or too many."""
    if len(values) != len(fields):
        raise UserError(f"{len(values)} settings came, and there are {len(fields)}: send all, from {fields[0].name} to {fields[-1].name}")

    def right(field: Field, value: Any) -> Any:
        if isinstance(value, float) and field.kind is int and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and field.kind is float and abs(value) < 2**1000:
            return float(value)  # a larger one has no place among floats, and no field allows it
        return value

    return {field.name: right(field, value) for field, value in zip(fields, values, strict=True)}
