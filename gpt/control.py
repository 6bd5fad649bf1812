"""`python -m gpt.control pause --run a-run`: send a command to a run that is training in any process on this machine; or write its log."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.control")

from gpt.cli import Parser, user_errors_exit
from gpt.logs.copying import LOGS, copy_run, known_logs
from gpt.runs.run import COMMANDS, DEFAULT_ROOT, find_run


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.control", description="Ask a run that trains to do something.")
    parser.add_argument("what", choices=[*COMMANDS, "extend", "stop-now", "log"],
                        help="stop saves and ends; stop-now ends at once and loses the work since the last save; log writes "
                             "the rows of a run that has ended into the log of another program")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--steps", type=int, help="of extend: how many steps more")
    parser.add_argument("--to", metavar="LOG", help=f"of log: {' or '.join(LOGS)}, or both with a comma between them")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    options = parser.parse_args(argv)
    if (options.what == "extend") != (options.steps is not None):
        parser.error("extend, and nothing else, needs --steps: how many more the run shall have")
    if (options.what == "log") != (options.to is not None):
        parser.error(f"log, and nothing else, needs --to: {' or '.join(LOGS)}")
    with user_errors_exit(parser):
        run = find_run(options.checkpoints, options.run)
        if options.what == "stop-now":
            run.stop_now()
            print(f"run {run.name} has ended")
        elif options.what == "log":
            for log in known_logs(options.to):
                print("\n".join(copy_run(run, log)))
        else:
            command = f"extend {options.steps}" if options.what == "extend" else options.what
            run.request(command)
            print(f"run {run.name} is asked to {command}")


if __name__ == "__main__":
    main()
