"""`python -m gpt.control pause --run a-run`: send a command to a run that is training in any process on this machine."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.control")

from gpt.cli import Parser, user_errors_exit
from gpt.runs.run import COMMANDS, DEFAULT_ROOT, find_run


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.control", description="Ask a run that trains to do something.")
    parser.add_argument("what", choices=[*COMMANDS, "extend", "stop-now"],
                        help="stop saves and ends; stop-now ends at once and loses the work since the last save")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--steps", type=int, help="of extend: how many steps more")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    options = parser.parse_args(argv)
    if (options.what == "extend") != (options.steps is not None):
        parser.error("extend, and nothing else, needs --steps: how many more the run shall have")
    with user_errors_exit(parser):
        run = find_run(options.checkpoints, options.run)
        if options.what == "stop-now":
            run.stop_now()
            print(f"run {run.name} has ended")
        else:
            command = f"extend {options.steps}" if options.what == "extend" else options.what
            run.request(command)
            print(f"run {run.name} is asked to {command}")


if __name__ == "__main__":
    main()
