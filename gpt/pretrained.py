"""`python -m gpt.pretrained --source gpt2`: OpenAI's GPT-2, or a folder of its shape, becomes a run."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.pretrained")

from gpt.cli import Parser, user_errors_exit
from gpt.exchange.importing import import_run
from gpt.exchange.pretrained import PUBLISHED
from gpt.runs.run import DEFAULT_ROOT
from gpt.training.limits import use_allowed_cores


def main(argv: list[str] | None = None) -> None:
    sizes = ", ".join(f"{name} ({megabytes:,} MB)" for name, (_, megabytes) in PUBLISHED.items())
    parser = Parser(prog="python -m gpt.pretrained", description="Make a pretrained GPT-2 a run, to write and to be inspected.")
    parser.add_argument("--source", required=True, help=f"{sizes}, downloaded once; or a folder of Hugging Face's on this disk")
    parser.add_argument("--run", help="name of the run's folder; without it, that of the source")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--corpus", default="stories", help="text on which its loss and its heads are measured (default %(default)s)")
    options = parser.parse_args(argv)
    use_allowed_cores()
    with user_errors_exit(parser):
        run = import_run(options.source, options.checkpoints, options.run, options.corpus)
    about, status = run.config(), run.status()
    print(f"{about['parameters']:,} parameters from {about['imported_from']}; on {about['corpus']['name']}: {status['val_loss']:.4f} nats "
          f"per token, {status['bits_per_byte']:.4f} bits per byte; {run.path}")


if __name__ == "__main__":
    main()
