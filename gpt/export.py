"""`python -m gpt.export --run a-run --to a-folder`: a run in the format of another program."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.export")

from pathlib import Path

from gpt.cli import Parser, user_errors_exit
from gpt.exchange.formats import FORMATS
from gpt.runs.run import DEFAULT_ROOT, find_run
from gpt.training.limits import use_allowed_cores


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.export", description="Write a run in the format of another program.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--step", type=int, help="a snapshot's step; without it, the weights with the lowest validation loss")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the folder to write, which is new or empty")
    parser.add_argument("--format", choices=FORMATS, default="huggingface",
                        help="for transformers (default), llama.cpp and the programs around it, ONNX Runtime, or the tokens alone")
    options = parser.parse_args(argv)
    use_allowed_cores()
    with user_errors_exit(parser):
        chosen, run = FORMATS[options.format], find_run(options.checkpoints, options.run)
        chosen.check_packages()
        chosen.write(run, options.to, options.step)
    print(f"{options.to}: {chosen.loaded.format(to=str(options.to), name=run.name)}")


if __name__ == "__main__":
    main()
