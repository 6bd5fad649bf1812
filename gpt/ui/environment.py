"""What Gradio must find in the environment before it is imported."""

import os

from gpt.cli import Parser, user_errors_exit
from gpt.runs.temporary import own_folder
from gpt.ui.proxies import prepare_proxies


def prepare_environment(name: str) -> None:
    """Proxies that Gradio can live with, and a folder for its temporary files: its own choice would be the same for all users. The command
    `name` ends with one sentence if there is no place for them."""
    prepare_proxies()
    with user_errors_exit(Parser(prog=name)):
        os.environ.setdefault("GRADIO_TEMP_DIR", str(own_folder() / "gradio"))
