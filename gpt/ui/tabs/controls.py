"""Controls made from the tables of fields: a checkbox, a list, a slider or a number each. The page adds a slider to a field with stops."""

import contextlib
import html
import math
from collections.abc import Iterator
from typing import Any

import gradio as gr

from gpt.config import Field
from gpt.errors import UserError
from gpt.escape import escaped

NO_PROGRESS = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}  # for events that only tidy the page
QUEUED = {**NO_PROGRESS, "queue": True}  # for events that may raise UserError: the queue shows it as a message, not a failed request
FINEST = 2100  # positions of a slider; a wider range becomes a number to type


def control(field: Field, value: Any = None, **style: Any) -> gr.components.FormComponent:
    value = field.default if value is None else value
    common = {"label": field.name, "info": field.help, "value": value, "interactive": True, **style}
    if field.kind is bool:
        return gr.Checkbox(**common)
    if field.choices:
        return gr.Dropdown(list(field.choices), **common)
    if field.kind is str:
        return gr.Textbox(**common)
    if field.stops or (field.maximum - field.minimum) / field.step > FINEST:
        precision = 0 if field.kind is int else None
        return gr.Number(precision=precision, minimum=field.minimum, maximum=field.maximum, step=field.step, **common)
    lowest = math.ceil(field.minimum / field.step) * field.step  # a slider counts its steps from its lower end
    return gr.Slider(lowest, field.maximum, step=field.step, buttons=[], **common)


@contextlib.contextmanager
def errors_as_messages() -> Iterator[None]:
    """A UserError inside becomes a message on the page."""
    try:
        yield
    except UserError as error:
        raise gr.Error(in_a_toast(str(error)), print_exception=False) from error


def show_message(sentence: str) -> None:
    """A message on the page."""
    gr.Info(in_a_toast(sentence))


def in_a_toast(sentence: str) -> str:
    """Gradio shows messages as HTML: what a person or a file has put into a sentence must show as it stands."""
    return html.escape(escaped(sentence), quote=False)
