"""Links to the page: gpt/ui/server/links.py reads them, this sets the controls that they name, gpt/ui/assets/link.js writes them."""

from pathlib import Path
from typing import Any

import gradio as gr

from gpt.config import FIELDS
from gpt.errors import UserError
from gpt.escape import escaped
from gpt.ui.charts.component import component
from gpt.ui.server.bases import base_of
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.links import LONGEST, VERSION, Link, read
from gpt.ui.tabs.controls import NO_PROGRESS
from gpt.ui.tabs.run_picker import RunPicker
from gpt.ui.tabs.settings import filled
from gpt.ui.tabs.visitor import Visitor


class Links:
    """`view` stands above the tabs: it asks for what a link names, and says what is not here."""

    def __init__(self):
        self.view = component("link", elem_id="link", choices={"version": VERSION, "longest": LONGEST})

    def follow(self, tab: gr.Tab) -> None:
        """Let the address say that `tab` is shown."""
        tab.select(None, js=f"() => window.gpt?.link?.choose('{tab.id}')")

    def connect(self, jobs: Jobs, visitor: Visitor, form: list[gr.components.Component], pickers: dict[str, RunPicker],
                selected: gr.Textbox) -> None:
        """`form` are the preset and the settings of Train, `pickers` the runs that Generate and Attention show, `selected` the names that
        are ticked in Runs."""
        def open_link(key: str, event: gr.EventData) -> list[Any]:
            sent = event._data if isinstance(event._data, dict) else {}
            home = jobs.access.home(key if isinstance(key, str) else "")
            link = read(sent.get("fragment"), jobs.root, home)
            answer = {"sentence": escaped(" ".join(link.lacks)), "tab": link.tab, "runs": link.runs, **link.selection}
            chosen = [update for tab, picker in pickers.items() for update in weights_of(picker, link if link.tab == tab else Link())]
            ticked = "\n".join(link.runs) if link.tab == "runs" else gr.skip()
            return [answer, *form_of(link, home), *chosen, ticked]

        outputs = [self.view, *form, *(control for picker in pickers.values() for control in picker.controls), selected]
        opened = self.view.click(open_link, visitor.key, outputs, preprocess=False, **NO_PROGRESS)
        opened.success(None, js="() => gpt.link.arrive()")
        opened.failure(None, js="() => gpt.link.failed()")


def form_of(link: Link, home: Path) -> list[Any]:
    """The preset and the value of each setting; all stay where the link says nothing of them."""
    if link.base is None and not link.settings:
        return [gr.skip()] * (1 + len(FIELDS))
    base = link.base or base_of(Path(), "quick")
    values = {**base.form(home), **link.settings}
    return filled(base, values)


def weights_of(picker: RunPicker, link: Link) -> list[Any]:
    """What a link sets of the controls of `picker`; all stay where it says nothing of them."""
    try:
        if link.runs:
            return picker.showing(link.runs[0], link.step, link.prompt)
    except UserError:  # the run has gone in this moment: the tab will say so
        pass
    return [gr.skip()] * (len(picker.controls) - 1) + [gr.skip() if link.prompt is None else link.prompt]
