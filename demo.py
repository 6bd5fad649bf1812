"""`python demo.py`: serves the page on which a GPT is trained, read and taken apart."""

import argparse
import ipaddress
import signal
import socket
import threading
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from gpt.cli import Parser
from gpt.estimate.price import machine_speed
from gpt.runs.run import DEFAULT_ROOT
from gpt.training.device import choose_device
from gpt.ui.charts.component import CSS, script_tags, serve_assets
from gpt.ui.charts.theme import theme
from gpt.ui.server.access import SHORTEST_SECRET, Caps
from gpt.ui.server.disk_quota import CHECK_SECONDS, DiskQuota
from gpt.ui.server.guard import PACKED, Guard
from gpt.ui.server.jobs import Jobs
from gpt.ui.tabs import attention, downloads, generate, runs, train
from gpt.ui.tabs.visitor import Visitor

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def build(jobs: Jobs, quota: DiskQuota) -> gr.Blocks:
    """The whole page: four tabs over one folder of runs."""
    serve_assets()
    with gr.Blocks(title="GPT-2 from scratch", analytics_enabled=False, delete_cache=(60, 600)) as page:  # uploads and zips: ten minutes
        gr.Markdown("# GPT-2 from scratch\nTrain a small GPT, watch it learn to write, and see what each of its attention heads does.",
                    elem_id="title")
        visitor = Visitor(jobs, page)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Train", id="train"):
                train.build(jobs, page, visitor)
            with gr.Tab("Generate", id="generate") as tab:
                generate.build(jobs, tab)
            with gr.Tab("Attention", id="attention") as tab:
                attention.build(jobs, tab)
            with gr.Tab("Runs", id="runs") as tab:
                runs.build(jobs, tab, quota, visitor)
    return page


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python demo.py", description="Open the page.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s: this machine only)")
    parser.add_argument("--port", type=int, default=None, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--auth", metavar="NAME:PASSWORD", help="let nobody in who does not log in with these")
    parser.add_argument("--public", action="store_true", help="let anyone use the page, within caps; they cannot touch others' runs")
    parser.add_argument("--password", metavar="WORD", help="with --public: whoever enters it on the page may stop and delete any run")
    parser.add_argument("--limit-gb", type=float, default=20.0, metavar="N",
                        help="room that the runs may take, in GB; beyond it, old snapshots make way (default %(default)g: hundreds of "
                             "small runs, or three of 124 million parameters; 0: no limit)")
    parser.add_argument("--keep-training", action="store_true", help="when the page ends, its run trains on: the next page shows it")
    options = parser.parse_args(argv)
    if not 0 <= options.limit_gb < 1e6:
        parser.error(f"--limit-gb is {options.limit_gb:g}: choose a number from 0, which is no limit, to 1,000,000")
    check_address(parser, options.host, options.port)
    auth = check_options(parser, options)
    jobs = Jobs(options.checkpoints, Caps() if options.public else None, options.password)
    quota = DiskQuota(jobs, round(options.limit_gb * 1e9))
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP, which says that the terminal has gone
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: ended.set())
    machine_speed(choose_device("auto").type)  # about a second now, so that the first price on the page comes at once
    page = launch(jobs, options.host, options.port, quota, auth)
    packed = Path(page.GRADIO_CACHE) / PACKED
    while not ended.wait(CHECK_SECONDS):
        quota.enforce()
        downloads.remove_old(packed)
    if options.keep_training:
        jobs.detach()
        print("Stopping: a run in progress goes on, and the next page shows it again.", flush=True)
    else:
        print("Stopping: a run in progress is saved first.", flush=True)
        jobs.close()
        if elsewhere := jobs.running():
            print(f"Run {elsewhere}, not begun by this page, goes on. To end it: python -m gpt.control stop --run {elsewhere}", flush=True)
    page.close()


def check_options(parser: Parser, options: argparse.Namespace) -> tuple[str, str] | None:
    """(name, password) that --auth asks for, or None. Ends with one sentence if the page would be open to more than was meant."""
    name, colon, word = (options.auth or "").partition(":")
    if options.auth is not None and not (name.strip() and colon):
        parser.error("--auth is not NAME:PASSWORD: give both, with a colon between them")
    if options.password is not None and not options.public:
        parser.error("--password is for the pages that --public opens: leave it out, or add --public")
    for flag, secret in (("--auth", word if options.auth is not None else None), ("--password", options.password)):
        if secret is not None and len(secret) < SHORTEST_SECRET:
            parser.error(f"the password of {flag} has {len(secret)} characters: give it {SHORTEST_SECRET} or more, hard to guess")
    if not (options.auth or options.public or is_loopback(options.host)):
        parser.error(f"anyone who reaches {options.host} could train on this machine and delete runs: add --auth NAME:PASSWORD, "
                     "or --public to let everyone in within caps, or leave out --host")
    return (name.strip(), word) if options.auth is not None else None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(parser: Parser, host: str, port: int | None) -> None:
    """End with one sentence if nothing can be served at this address."""
    if port is not None and not 1 <= port <= 65535:
        parser.error(f"--port is {port}: choose one from 1 to 65535")
    try:
        with socket.create_server((host, port or 0)):
            pass
    except OSError as error:
        parser.error(f"the page cannot be served at {host}{f':{port}' if port else ''} ({error.strerror}): choose another --host or --port")


def launch(jobs: Jobs, host: str, port: int | None, quota: DiskQuota | None = None, auth: tuple[str, str] | None = None) -> gr.Blocks:
    """Serve the page and return at once. Without `quota` the runs may take any room."""
    page, caps = build(jobs, quota or DiskQuota(jobs, 0)), jobs.access.caps
    page.queue(max_size=caps.waiting if caps else 64, default_concurrency_limit=4)
    page._queue.sleep_when_free = 0.05  # Gradio looks for new events a thousand times a second: 5 % of a core, all day long
    page.launch(server_name=host, server_port=port, prevent_thread_lock=True, share=False, theme=theme(), css=CSS, head=script_tags(),
                auth=auth, run_history=False, enable_monitoring=False, max_file_size="20mb", state_session_capacity=200, ssr_mode=False,
                footer_links=[], app_kwargs={"middleware": [Middleware(Guard, page=page, locked=auth is not None,
                                                                       hosts=None if caps or auth else {*LOOPBACK, host})]})
    return page


if __name__ == "__main__":
    main()
