"""`python -m gpt.generate --run stories --prompt "Once there was"`: continue a prompt with the model of a trained run, in the terminal."""

if __name__ == "__main__":
    from gpt.terminal import prepare_terminal

    prepare_terminal("python -m gpt.generate")

import sys

from gpt.cli import Parser, user_errors_exit
from gpt.config import add_flags
from gpt.data.tokenizers.text import note_on_last_blank
from gpt.escape import escaped
from gpt.model.sampling import SAMPLING_FIELDS, Sampling
from gpt.model.writing import write
from gpt.runs.run import DEFAULT_ROOT, find_run, load_run
from gpt.terminal import output_may_end
from gpt.training.device import for_writing
from gpt.training.limits import use_allowed_cores


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m gpt.generate", description="Let a trained run write.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--checkpoints", default=DEFAULT_ROOT, help="folder that holds the runs (default %(default)s)")
    parser.add_argument("--step", type=int, help="a snapshot's step; without it, the weights with the lowest validation loss")
    parser.add_argument("--prompt", required=True, help="the text to continue")
    add_flags(parser, SAMPLING_FIELDS)
    options = vars(parser.parse_args(argv))
    with user_errors_exit(parser):
        folder, step, prompt = find_run(options.pop("checkpoints"), options.pop("run")).path, options.pop("step"), options.pop("prompt")
        use_allowed_cores()
        model, tokenizer = load_run(folder, step)
        model, remark = for_writing(model)
        if remark:
            print(remark, file=sys.stderr)
        pieces = write(model, tokenizer, prompt, Sampling(**options))
        first = next(pieces)  # an invalid prompt raises an error here, before anything is printed
        if (n_tokens := len(tokenizer.encode(prompt))) > model.context_length:
            print(f"the prompt has {n_tokens} tokens, and the model sees {model.context_length}: it reads the last ones", file=sys.stderr)
        if note := note_on_last_blank(tokenizer, prompt):
            print(note, file=sys.stderr)
        with output_may_end(sys.stdout):
            print(escaped(prompt + first.text), end="", flush=True)
            for piece in pieces:
                print(escaped(piece.text), end="", flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
