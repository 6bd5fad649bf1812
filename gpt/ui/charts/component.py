"""Gradio components whose drawing is done by small JavaScript files of this project, served from this machine.

A component is a gr.HTML with an empty, static template: data never becomes part of a template, which Gradio would run as
code. It reaches the page as JSON, and JavaScript writes it with textContent.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import plotly

ASSETS = Path(__file__).resolve().parents[1] / "assets"
PLOTLY_JS = Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js"
SCRIPTS = (PLOTLY_JS, *(ASSETS / name for name in (
    "dom.js", "requests.js", "plot.js",  # what the others use
    "price.js", "loss_chart.js", "forming.js", "monitor.js",  # Train
    "generate.js", "replay.js",
    "cells.js", "mosaic.js", "head.js", "roles.js", "film.js", "explorer.js", "panels.js", "head_grid.js", "sweep.js", "attribution.js")),
    *sorted((ASSETS / "panels").glob("*.js")),  # every panel of the Attention tab
    ASSETS / "runs.js", ASSETS / "keys.js")  # the last one says that all are there
CSS = (ASSETS / "page.css").read_text(encoding="utf-8")


def serve_assets() -> None:
    """Let the page load our scripts and Plotly's own from this machine."""
    gr.set_static_paths([*SCRIPTS])


def head() -> str:
    """Script tags in order; the addresses are relative, so that they hold behind a path prefix too."""
    return "\n".join(f'<script defer src="gradio_api/file={quote(str(path))}"></script>' for path in SCRIPTS)


def component(kind: str, value: Any = None, server_functions: dict[str, Callable] | None = None, choices: Any = None,
              **options: Any) -> gr.HTML:
    """A component drawn by gpt.views[kind] in our scripts, which may arrive later than the component: it waits for the last of them.

    The component's value is JSON; the view watches it, may call `server_functions` by their names, each with one argument, and may
    trigger events. `choices`, fixed JSON of our own, reaches the view too.
    """
    begin = f"""
        (function begin() {{
            const view = window.gpt?.views["{kind}"];
            const choices = {json.dumps(choices)};
            if (view && gpt.complete) view(element.querySelector(".gpt-view"), props, {{ watch, trigger, server, choices }});
            else setTimeout(begin, 20);
        }})();
        // Gradio offers the events whose quoted names it finds in this text: "click", "select"
    """
    functions = [_named(name, function) for name, function in (server_functions or {}).items()]
    return gr.HTML(value, html_template='<div class="gpt-view"></div>', js_on_load=begin, server_functions=functions or None, **options)


def _named(name: str, function: Callable) -> Callable:
    """A plain function of that name: it is how Gradio tells server functions apart."""
    def called(argument: Any) -> Any:
        return function(argument)

    called.__name__ = name
    return called


def as_script(data: Any) -> str:
    """JSON that may stand inside a <script> of a page to take home: no text in it can end that, or begin a comment."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")
