"""Gradio components drawn by JavaScript files of this project, which are served from this machine.

A component is a gr.HTML with an empty, static template. Gradio runs templates as code, so data never becomes part of one:
it reaches the page as JSON, and JavaScript writes it with textContent.
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
SCRIPTS = (
    PLOTLY_JS, *(ASSETS / f"{name}.js" for name in ("dom", "requests", "link", "plot", "axes", "cells", "generate", "replay", "runs",
                                                    "fetched")),
    *(path for folder in ("train", "attention", "attention/panels") for path in sorted((ASSETS / folder).glob("*.js"))),
    ASSETS / "keys.js")  # the last one: it says that all are there
CSS = (ASSETS / "page.css").read_text(encoding="utf-8")


def serve_assets() -> None:
    """Let the page load our scripts and Plotly's own from this machine."""
    gr.set_static_paths([*SCRIPTS])


def script_tags() -> str:
    """Script tags in order; the addresses are relative, so that they hold behind a path prefix too."""
    return "\n".join(f'<script defer src="gradio_api/file={quote(str(path))}"></script>' for path in SCRIPTS)


def component(kind: str, value: Any = None, server_functions: dict[str, Callable] | None = None, choices: Any = None,
              **options: Any) -> gr.HTML:
    """A component drawn by gpt.views[kind]. It waits until the last script has loaded, since scripts may load after the component.

    The component's value is JSON. The view watches it, may call each of `server_functions` by name with one argument, and may
    trigger events. `choices` is constant JSON from our code, passed to the view.
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
    """`function` as a plain function called `name`, because Gradio identifies server functions by their names."""
    def called(argument: Any) -> Any:
        return function(argument)

    called.__name__ = name
    return called


def as_script(data: Any) -> str:
    """JSON that is safe inside a <script> of a saved page: no text in it can close the script or begin a comment."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")
