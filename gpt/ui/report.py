"""`python -m gpt.ui.report --run a-run --to report.html`: a run as one HTML page that opens with no network."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.ui.report")
    from gpt.ui.proxies import prepare_proxies

    prepare_proxies()  # before Gradio is imported

from pathlib import Path

from gpt.cli import Parser, user_errors_exit
from gpt.errors import UserError
from gpt.runs.run import DEFAULT_ROOT, find_run
from gpt.runs.storage import write_atomically
from gpt.training.limits import use_allowed_cores
from gpt.ui.inspector.report import report_of


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.ui.report", description="Write a report of a run: one HTML page that opens with no network.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="the file to write, report.html")
    given = parser.parse_args(argv)
    use_allowed_cores()
    with user_errors_exit(parser):
        page = report_of(find_run(given.checkpoints, given.run))
        try:
            write_atomically(given.to, page.encode())
        except OSError as error:
            raise UserError(f"{given.to} cannot be written ({error.strerror}): name a file in a folder that exists") from None
    print(f"{given.to}: {len(page.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
