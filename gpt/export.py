"""`python -m gpt.export --run a-run --to a-folder`: a run in the format of another program."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.export")

from pathlib import Path

from gpt.cli import Parser, user_errors_exit
from gpt.exchange.huggingface import write_huggingface
from gpt.runs.run import DEFAULT_ROOT, find_run
from gpt.training.limits import use_allowed_cores


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.export", description="Write a run as a folder that Hugging Face's transformers loads.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--step", type=int, help="a snapshot's step; without it, the weights with the lowest validation loss")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the folder to write, which is new or empty")
    options = parser.parse_args(argv)
    use_allowed_cores()
    with user_errors_exit(parser):
        write_huggingface(find_run(options.checkpoints, options.run), options.to, options.step)
    print(f"{options.to}: AutoModelForCausalLM.from_pretrained({str(options.to)!r}) loads it")


if __name__ == "__main__":
    main()
