"""`python demo.py`: serves the page on which a GPT is trained, read and taken apart."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python demo.py")
    from gpt.ui.environment import prepare_environment

    prepare_environment("python demo.py")

import argparse
import queue
import signal
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from gpt.cli import Parser, user_errors_exit
from gpt.escape import escaped
from gpt.estimate.price import machine_speed
from gpt.terminal import end_at_once, stop_signals
from gpt.training.device import choose_device
from gpt.training.limits import use_allowed_cores
from gpt.ui import endpoints, proxies
from gpt.ui.charts.component import CSS, script_tags, serve_assets
from gpt.ui.charts.theme import theme
from gpt.ui.inspector.inspections import Inspector
from gpt.ui.server import options
from gpt.ui.server.access import Caps
from gpt.ui.server.disk_quota import CHECK_SECONDS, DiskQuota
from gpt.ui.server.fetching import Fetching
from gpt.ui.server.guard import PACKED, Guard
from gpt.ui.server.jobs import Jobs
from gpt.ui.server.pages import noted, other_pages
from gpt.ui.tabs import attention, downloads, generate, runs, train
from gpt.ui.tabs.links import Links
from gpt.ui.tabs.visitor import Visitor


def build(jobs: Jobs, quota: DiskQuota) -> gr.Blocks:
    """The whole page: four tabs over one folder of runs."""
    serve_assets()
    with gr.Blocks(title="GPT-2 from scratch", analytics_enabled=False, delete_cache=(60, 600)) as page:  # uploads and zips: ten minutes
        gr.Markdown("# GPT-2 from scratch\nTrain a small GPT, watch it learn to write, and see what each of its attention heads does.",
                    elem_id="title")
        links, inspector, fetching = Links(), Inspector(jobs), Fetching(jobs)
        visitor = Visitor(jobs, page)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Train", id="train") as tab:
                form = train.build(jobs, page, visitor)
                links.follow(tab)
            with gr.Tab("Generate", id="generate") as tab:
                writer = generate.build(jobs, tab, fetching)
                links.follow(tab)
            with gr.Tab("Attention", id="attention") as tab:
                reader = attention.build(tab, inspector, fetching)
                links.follow(tab)
            with gr.Tab("Runs", id="runs") as tab:
                forms, ticked = runs.build(jobs, tab, quota, visitor)
                links.follow(tab)
        runs.offer_forms(jobs, forms, tabs, form, visitor)
        endpoints.build(jobs, inspector)
        links.connect(jobs, visitor, form, {"generate": writer, "attention": reader}, ticked)
    return page


def main(argv: list[str] | None = None) -> None:
    chosen, auth = options.parse(argv)
    with user_errors_exit(Parser(prog="python demo.py")):
        serve(chosen, auth)


def serve(chosen: argparse.Namespace, auth: tuple[str, str] | None) -> None:
    """Serve the page until a signal comes. Raises UserError if there is no place for temporary files."""
    jobs = Jobs(chosen.checkpoints, Caps() if chosen.public else None, chosen.password)
    quota = DiskQuota(jobs, round(chosen.limit_gb * 1e9))
    on_signals(lambda: (jobs.close(), end_at_once("python demo.py: ended by Ctrl+C")))  # a page that is still open may begin a run already
    use_allowed_cores()
    machine_speed(choose_device("auto").type)  # about a second now, so that the first price on the page comes at once
    for address in other_pages(jobs.root):
        print(escaped(f"Another page over this folder of runs is at {address}"), flush=True)
    page = launch(jobs, chosen.host, chosen.port, quota, auth, share=chosen.share, mcp_server=chosen.mcp, root_path=chosen.root_path)
    ended = queue.SimpleQueue()  # what a handler of signals may write to at any time
    on_signals(lambda: ended.put(True))
    addresses = " and ".join(filter(None, (page.local_url, page.share_url)))
    print(f"The page is at {addresses} (Ctrl+C ends it)", flush=True)
    if chosen.open:
        webbrowser.open(page.local_url)
    with noted(jobs.root, page.local_url):
        packed = Path(page.GRADIO_CACHE) / PACKED
        while not is_ended(ended):
            quota.enforce()
            downloads.remove_old(packed)
    if chosen.keep_training:
        jobs.detach()
        print("Stopping: a run in progress goes on, and the next page shows it again.", flush=True)
    else:
        print("Stopping: a run in progress is saved first.", flush=True)
        jobs.close()
        if elsewhere := jobs.running():
            print(f"Run {elsewhere}, not begun by this page, goes on. To end it: python -m gpt.control stop --run {elsewhere}", flush=True)
    page.close(verbose=False)


def on_signals(act: Callable[[], Any]) -> None:
    """Call `act` when Ctrl+C is pressed, or the process is asked to end, or its terminal has gone."""
    for number in stop_signals():
        signal.signal(number, lambda *_: act())


def is_ended(ended: queue.SimpleQueue) -> bool:
    """Whether the page is to end; waits for it for CHECK_SECONDS."""
    try:
        return ended.get(timeout=CHECK_SECONDS)
    except queue.Empty:
        return False


def launch(jobs: Jobs, host: str, port: int | None, quota: DiskQuota | None = None, auth: tuple[str, str] | None = None,
           share: bool = False, mcp_server: bool = False, root_path: str = "") -> gr.Blocks:
    """Serve the page and return at once. Without `quota` the runs may take any room. The last three are as Gradio's own."""
    page, caps = build(jobs, quota or DiskQuota(jobs, 0)), jobs.access.caps
    page.queue(max_size=caps.waiting if caps else 64, default_concurrency_limit=4)
    page._queue.sleep_when_free = 0.05  # Gradio looks for new events a thousand times a second: 5 % of a core, all day long
    proxies.prepare_proxies((*proxies.LOOPBACK, host))
    largest = jobs.access.largest_text()
    name = f"[{host}]" if ":" in host else host  # as a browser shows an IPv6 address
    guard = Middleware(Guard, page=page, locked=auth is not None, hosts=None if caps or auth else {*proxies.LOOPBACK, host},
                       largest_upload=largest)
    page.launch(server_name=name, server_port=port, prevent_thread_lock=True, share=share, quiet=True, theme=theme(), css=CSS,
                head=script_tags(), auth=auth, run_history=False, enable_monitoring=False, max_file_size=largest,
                state_session_capacity=200, ssr_mode=False, mcp_server=mcp_server, root_path=root_path or None, footer_links=[],
                app_kwargs={"middleware": [guard]})
    return page


if __name__ == "__main__":
    main()
