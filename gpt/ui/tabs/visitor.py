"""The part of a public page above the tabs: the key that identifies a visitor, the rules for visitors, and the password."""

import secrets
from typing import Any

import gradio as gr

from gpt.ui.server.jobs import Jobs
from gpt.ui.server.values import text_of
from gpt.ui.tabs.controls import NO_PROGRESS, QUEUED, errors_as_messages, show_message


class Visitor:
    """A visitor of the page. `key` is an input of all events that change a run or upload a text; on a private page it stays
    empty. `known` are the events after which `key` is set."""

    def __init__(self, jobs: Jobs, page: gr.Blocks):
        self.key = gr.Textbox("", label="visitor", elem_id="visitor", elem_classes="gpt-hidden", container=False)
        self.known: list[Any] = []
        access = jobs.access
        if access.caps is None:
            return
        saved = gr.BrowserState("", storage_key="gpt-visitor", secret="saved by the browser alone")
        self.known.append(page.load(remembered_key, saved, [saved, self.key], **NO_PROGRESS))
        gr.Markdown("This page is public: everyone who reaches it sees the runs and what their models write, so give no text that is a "
                    "secret. Only you can stop, change or delete the runs you begin.", elem_id="public")
        with gr.Accordion("Limits" + (", and the password of this page" if access.has_password else ""), open=False, elem_id="limits"):
            gr.Markdown(access.caps.in_words())
            if access.has_password:
                with gr.Row():
                    password = gr.Textbox("", label="Password of this page", type="password", elem_id="password", scale=4)
                    enter = gr.Button("Enter", elem_id="enter", min_width=60, scale=0)
        if access.has_password:
            def unlock(visitor: str, word: str) -> str:
                with errors_as_messages():
                    access.unlock(visitor, text_of(word, "the password"))
                show_message("You may now stop, change and delete all runs, until the page is started again.")
                return ""

            gr.on([enter.click, password.submit], unlock, [self.key, password], password, **QUEUED)


def remembered_key(key: Any) -> tuple[str, str]:
    """The key that the browser has saved, or a new one, for the browser and for the page."""
    key = key if isinstance(key, str) and key else secrets.token_urlsafe(24)
    return key, key
