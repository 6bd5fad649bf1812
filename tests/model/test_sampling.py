"""Writing: from logits to probabilities to tokens to text, and the command line that does it."""

import math
from dataclasses import asdict

import pytest
import torch

from gpt.config import ConfigError
from gpt.data.tokenizers.letters import ByteTokenizer, CharTokenizer
from gpt.errors import UserError
from gpt.generate import main
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import (
    SAMPLING_FIELDS,
    Sampling,
    SamplingStep,
    draw,
    generate_text,
    generate_tokens,
    logits_to_probabilities,
    penalise_repetition,
    temper,
    truncate,
)
from gpt.model.writing import LIKELIEST, as_piece, text_to_token_ids, token_ids_to_text, write
from gpt.runs.session import Session
from tests.says import says

LOGITS = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]]))


class Scripted:
    """Stands in for a model: whatever it reads, it writes the same tokens, one after the other."""

    def __init__(self, tokens: list[int], vocab_size: int = 256):
        self.tokens, self.vocab_size, self.context_length = tokens, vocab_size, 10_000
        self.blocks, self.training, self._n_prompt = [], False, None

    def stream(self, ids, caches):
        self._n_prompt = self._n_prompt or ids.shape[1]
        logits = torch.full((*ids.shape, self.vocab_size), -100.0)
        logits[..., self.tokens[(ids.shape[1] - self._n_prompt) % len(self.tokens)]] = 100.0
        return logits

    def unembed(self, logits):
        return logits

    def parameters(self):
        return iter([torch.zeros(1)])

    def train(self, mode=True):
        self.training = mode

    def eval(self):
        self.train(False)


def written(script: str, n: int | None = None, **sampling) -> list[str]:
    """The texts of the pieces that a model writes whose tokens are the bytes of `script`."""
    tokens = list(script.encode())
    settings = Sampling(max_new_tokens=n or len(tokens), **sampling)
    return [piece.text for piece in write(Scripted(tokens), ByteTokenizer(), "?", settings)]


@pytest.mark.parametrize(("settings", "expected"), [
    ({}, [0.1, 0.4, 0.2, 0.3]),
    ({"temperature": 0.0}, [0, 1, 0, 0]),
    ({"temperature": 1e-40}, [0, 1, 0, 0]),
    ({"temperature": 0.5}, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
    ({"top_k": 1}, [0, 1, 0, 0]),
    ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
    ({"top_k": 100}, [0.1, 0.4, 0.2, 0.3]),
    ({"top_p": 0.0}, [0, 1, 0, 0]),
    ({"top_p": 0.39}, [0, 1, 0, 0]),
    ({"top_p": 0.5}, [0, 4 / 7, 0, 3 / 7]),
    ({"top_p": 0.75}, [0, 4 / 9, 2 / 9, 3 / 9]),
    ({"top_p": 1.0}, [0.1, 0.4, 0.2, 0.3]),
    ({"min_p": 0.4}, [0, 4 / 9, 2 / 9, 3 / 9]),
    ({"min_p": 0.7}, [0, 4 / 7, 0, 3 / 7]),
    ({"min_p": 1.0}, [0, 1, 0, 0]),
    ({"top_k": 3, "top_p": 0.5}, [0, 4 / 7, 0, 3 / 7]),
    ({"top_k": 1, "min_p": 0.1}, [0, 1, 0, 0]),
    ({"top_p": 0.95, "min_p": 0.6}, [0, 4 / 7, 0, 3 / 7]),
    ({"temperature": 0.5, "top_k": 3, "top_p": 0.9}, [0, 16 / 29, 4 / 29, 9 / 29]),  # 25/30 before the third is less than 0.9
    ({"temperature": 0.5, "top_p": 0.8}, [0, 16 / 25, 0, 9 / 25]),
    ({"temperature": 0.0, "top_k": 3, "min_p": 0.1}, [0, 1, 0, 0]),
])
def test_probabilities_by_hand(settings, expected):
    torch.testing.assert_close(logits_to_probabilities(LOGITS, **settings), torch.tensor([expected], dtype=torch.float))


def test_each_row_of_a_batch_is_cut_for_itself():
    logits = torch.cat((LOGITS, torch.log(torch.tensor([[0.3, 0.2, 0.4, 0.1]]))))
    expected = torch.tensor([[0, 4 / 7, 0, 3 / 7], [3 / 7, 0, 4 / 7, 0]])
    torch.testing.assert_close(logits_to_probabilities(logits, top_k=2), expected)


def test_of_equally_likely_tokens_the_cut_keeps_as_many_as_asked():
    probabilities = logits_to_probabilities(torch.zeros(1, 4), top_k=2)
    assert sorted(probabilities[0].tolist()) == [0.0, 0.0, 0.5, 0.5]


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("cuts", [{}, {"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.3}, {"top_k": 5, "top_p": 0.9, "min_p": 0.1}])
def test_the_two_stages_are_those_of_the_whole_bit_by_bit(temperature, cuts):
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    tempered = temper(logits, temperature)
    if temperature:
        assert torch.equal(tempered, (logits / temperature).softmax(dim=1))
    left = truncate(tempered, **cuts)
    assert torch.equal(left, logits_to_probabilities(logits, temperature, **cuts))
    kept = left > 0
    torch.testing.assert_close(left, torch.where(kept, tempered, 0) / torch.where(kept, tempered, 0).sum(dim=1, keepdim=True))


@pytest.mark.parametrize("settings", [
    {"temperature": 0.0, "top_k": 3}, {"temperature": 2.0}, {"temperature": 1.5, "top_k": 5, "top_p": 0.9, "min_p": 0.05},
    {"temperature": 3.0, "repetition_penalty": 2.0, "top_p": 0.8}])
def test_tokens_are_drawn_from_the_whole_of_both_stages_with_the_seed_alone(model, settings):
    drawn, ids, generator = Sampling(20, seed=7, **settings), torch.tensor([[3, 1, 4]]), torch.Generator().manual_seed(7)
    expected = ids
    with torch.no_grad():
        for _ in range(20):
            logits = penalise_repetition(model(expected[:, -8:])[:, -1], expected, drawn.repetition_penalty)
            probabilities = logits_to_probabilities(logits, drawn.temperature, drawn.top_k, drawn.top_p, drawn.min_p)
            expected = torch.cat((expected, draw(probabilities, generator)), dim=1)
    assert torch.equal(generate_text(model, ids, 20, seed=7, **settings), expected)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 5.0])
def test_extreme_logits_give_numbers(temperature):
    probabilities = logits_to_probabilities(torch.tensor([[1e4, -1e4, 0.0]]), temperature, top_p=0.9, min_p=0.1)
    torch.testing.assert_close(probabilities, torch.tensor([[1.0, 0.0, 0.0]]))


def test_tokens_are_drawn_as_torch_draws_them_and_as_often_as_they_should_be():
    probabilities = torch.tensor([0.0, 0.1, 0.6, 0.3]).expand(20_000, 4)
    drawn = draw(probabilities, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, torch.multinomial(probabilities, 1, generator=torch.Generator().manual_seed(1)))
    shares = drawn.flatten().bincount(minlength=4) / len(drawn)
    assert shares[0] == 0
    torch.testing.assert_close(shares, probabilities[0], rtol=0, atol=0.02)


def test_repetition_makes_seen_tokens_less_likely_by_hand():
    logits = torch.tensor([[2.0, -2.0, 3.0, -3.0]])
    penalised = penalise_repetition(logits, torch.tensor([[0, 1, 1, 0]]), 2.0)
    assert penalised.tolist() == [[1.0, -4.0, 3.0, -3.0]]
    assert penalise_repetition(logits, torch.tensor([[3]]), 1.0).tolist() == logits.tolist()


def test_a_high_repetition_penalty_keeps_a_text_from_repeating_itself(model):
    plain = generate_text(model, torch.tensor([[1]]), 20, temperature=0.0)
    varied = generate_text(model, torch.tensor([[1]]), 20, temperature=0.0, repetition_penalty=10.0)
    assert len(set(varied[0].tolist())) > len(set(plain[0].tolist()))


@pytest.mark.parametrize(("name", "value"), [
    ("temperature", -0.1), ("temperature", math.nan), ("temperature", True), ("temperature", "1"), ("top_p", 1.1), ("min_p", -1),
    ("top_k", 1.5), ("top_k", -1), ("max_new_tokens", 0), ("seed", -1), ("repetition_penalty", 0), ("stop", None), ("stop", 5),
])
def test_a_setting_out_of_range_is_refused(name, value):
    with pytest.raises(ConfigError) as caught:
        Sampling(**{name: value})
    assert list(caught.value.problems) == [name]


def test_the_defaults_of_the_fields_are_those_of_sampling():
    assert Sampling() == Sampling(**{field.name: field.default for field in SAMPLING_FIELDS})


def test_temperature_0_always_takes_the_likeliest(model):
    ids = torch.tensor([[3, 1, 4]])
    first = generate_text(model, ids, 5, temperature=0.0, seed=1)
    assert torch.equal(first, generate_text(model, ids, 5, temperature=0.0, seed=2))
    with torch.no_grad():
        assert first[0, 3] == model(ids)[0, -1].argmax()


def test_the_seed_decides_the_text(model):
    ids = torch.tensor([[3, 1, 4]])
    texts = [generate_text(model, ids, 30, temperature=2.0, seed=seed).tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_batch_grows_by_the_tokens_asked_for(model):
    ids = torch.tensor([[3, 1], [4, 1], [5, 9]])
    grown = generate_text(model, ids, 11)
    assert grown.shape == (3, 13)
    assert torch.equal(grown[:, :2], ids)


@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("context_length", [None, 5])
@pytest.mark.parametrize("n_prompt", [2, 8, 13])
def test_past_the_context_the_window_slides(tiny, position, cached, context_length, n_prompt):
    model = GPT2({**tiny, "position": position}).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    expected = ids = torch.arange(n_prompt)[None]
    with torch.no_grad():
        for _ in range(12):
            expected = torch.cat((expected, model(expected[:, -(context_length or 8):])[:, -1:].argmax(dim=-1)), dim=1)
    found = [step.token for step in generate_tokens(model, ids, Sampling(12, temperature=0.0), context_length, cached)]
    assert torch.stack(found, dim=1).tolist() == expected[:, n_prompt:].tolist()


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"temperature": 3.0, "top_k": 2}, {"repetition_penalty": 5.0}])
def test_the_probabilities_told_are_the_models_own(model, settings):
    ids = torch.tensor([[3, 1, 4]])
    for step in generate_tokens(model, ids, Sampling(10, **settings)):
        with torch.no_grad():
            torch.testing.assert_close(step.logits, model(ids[:, -8:])[:, -1])
        ids = torch.cat((ids, step.token[:, None]), dim=1)


def test_a_piece_tells_its_token_and_the_likeliest(model, tokenizer):
    ids = tokenizer.encode("green")
    for piece in write(model, tokenizer, "green", Sampling(8, temperature=2.0)):
        with torch.no_grad():
            own = model(torch.tensor([ids[-8:]]))[0, -1].softmax(dim=0)
        top = own.topk(LIKELIEST)
        assert piece.text == tokenizer.decode([piece.token])
        assert piece.probability == pytest.approx(own[piece.token].item(), rel=1e-4)
        assert [row.token for row in piece.likeliest[:LIKELIEST]] == top.indices.tolist()
        assert [row.model for row in piece.likeliest[:LIKELIEST]] == pytest.approx(top.values.tolist(), rel=1e-4)
        assert [row.token for row in piece.likeliest].count(piece.token) == 1
        assert len(piece.likeliest) == LIKELIEST + (piece.token not in top.indices)
        assert piece.surprisal == pytest.approx(-math.log(piece.probability), rel=1e-5)
        ids.append(piece.token)


def test_a_step_is_told_by_hand():
    logits = torch.log(torch.tensor([[0.05, 0.4, 0.2, 0.3, 0.05]]))
    tempered = temper(logits, 0.5)
    piece = as_piece(SamplingStep(torch.tensor([2]), logits, tempered, truncate(tempered, top_k=3)))
    assert piece.surprisal == pytest.approx(math.log(5))  # -log 0.2, in nats
    assert [row.token for row in piece.likeliest[:3]] == [1, 3, 2]
    squares = 2 * 0.05**2 + 0.4**2 + 0.2**2 + 0.3**2
    assert [row.model for row in piece.likeliest] == pytest.approx([0.4, 0.3, 0.2, 0.05, 0.05])
    assert [row.tempered for row in piece.likeliest] == pytest.approx([p / squares for p in (0.16, 0.09, 0.04, 0.0025, 0.0025)])
    assert [row.truncated for row in piece.likeliest] == pytest.approx([16 / 29, 9 / 29, 4 / 29, 0, 0])


def test_the_surprisal_of_a_token_that_the_model_all_but_rules_out_is_a_number():
    logits = torch.tensor([[500.0] * 8 + [0.0]])
    piece = as_piece(SamplingStep(torch.tensor([8]), logits, temper(logits, 1.0), temper(logits, 1.0)))
    assert piece.surprisal == pytest.approx(500 + math.log(8))
    assert piece.likeliest[-1].token == piece.token == 8
    assert piece.probability == pytest.approx(math.exp(-500 - math.log(8)))


def test_writing_leaves_the_global_generator_and_the_models_mode_alone(model, tokenizer):
    model.train()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    list(write(model, tokenizer, "green", Sampling(5)))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_a_text_broken_off_leaves_the_models_mode_alone(model, tokenizer):
    model.train()
    pieces = write(model, tokenizer, "green", Sampling(5))
    next(pieces)
    pieces.close()
    assert model.training


def test_writing_builds_no_graph(model, tokenizer):
    step = next(generate_tokens(model, torch.tensor([[1]]), Sampling(1)))
    assert not any(tensor.requires_grad for tensor in (step.token, step.logits, step.tempered, step.truncated))


def test_pieces_join_to_the_text():
    assert written("ein Mädchen 😀.") == [*"ein M", "", *"ädchen ", "", "", "", "😀", "."]


def test_a_character_cut_off_at_the_end_comes_as_a_replacement():
    assert written("a😀", n=3) == ["a", "", "", "\ufffd"]


@pytest.mark.parametrize(("script", "stop", "expected"), [
    ("one. two", ".", "one"), ("one. two", "two", "one. "), ("one\n\ntwo", "\n\n", "one"), ("one", "x", "one"),
    ("one", "one", ""), ("aab", "ab", "a"), ("aaab", "aab", "a"), ("ab ab abc", "abc", "ab ab "),
    ("only half <|en", "<|end|>", "only half <|en"),
    ("caf\u00e9!", "\u00e9", "caf"), ("no 😀 more", "😀", "no "), ("abc", "", "abc"),
])
def test_a_stop_text_and_what_follows_are_never_shown(script, stop, expected):
    pieces = written(script, stop=stop)
    assert "".join(pieces) == expected
    if stop:
        assert all(stop not in piece for piece in pieces)


@pytest.mark.parametrize(("typed", "stop"), [
    (r"\n", "\n"), (r"\t.", "\t."), (r"\\n", r"\n"), (r"\n\n", "\n\n"), (r"\x", r"\x"), ("\\", "\\"), ("\n", "\n")])
def test_what_cannot_be_typed_into_one_line_is_written_with_a_backslash(typed, stop):
    assert Sampling(stop=typed).stop_text == stop


def test_writing_stops_at_the_end_of_a_line():
    assert "".join(written("one\ntwo", stop=r"\n")) == "one"


def test_nothing_of_a_stop_text_shows_while_it_may_still_come():
    assert written("one END two", stop="END") == ["o", "n", "e", " ", "", "", ""]
    assert written("one ENx", stop="END") == ["o", "n", "e", " ", "", "", "ENx"]


def test_an_empty_prompt_is_told(model, tokenizer):
    with pytest.raises(UserError, match=says("prompt", "empty", "write")):
        next(write(model, tokenizer, "", Sampling()))
    with pytest.raises(UserError, match=says("prompt", "empty")):
        generate_text(model, torch.zeros(1, 0, dtype=torch.long), 5)


def test_characters_the_tokenizer_does_not_know_are_told(model, tokenizer):
    with pytest.raises(UserError, match=says("'é'")):
        next(write(model, tokenizer, "é", Sampling()))


def test_ids_and_text_convert_both_ways():
    tokenizer = CharTokenizer("abc")
    ids = text_to_token_ids("cab", tokenizer)
    assert ids.tolist() == [[2, 0, 1]]
    assert token_ids_to_text(ids, tokenizer) == token_ids_to_text(ids[0], tokenizer) == "cab"


def run_main(trained, *words: str) -> None:
    main(["--run", "bottles", "--checkpoints", str(trained.parent), *words])


def test_the_command_line_writes_on_from_the_prompt(trained, capsys):
    run_main(trained, "--prompt", "green bo", "--max_new_tokens", "20", "--temperature", "0")
    first = capsys.readouterr().out
    assert first.startswith("green bo")
    assert len(first) == len("green bo") + 20 + 1
    run_main(trained, "--prompt", "green bo", "--max_new_tokens", "20", "--temperature", "0", "--step", "0")
    assert capsys.readouterr().out != first


@pytest.mark.parametrize(("words", "sentence"), [
    (["--prompt", ""], "the prompt is empty: write at least one character"),
    (["--prompt", "?!"], "this model reads characters and never saw '?', '!' in its text: leave them out"),
    (["--prompt", "a", "--step", "7"], "run bottles has no snapshot at step 7; its snapshots: 0, 1, 3, 12"),
    (["--prompt", "a", "--step", "two"], "argument --step: invalid int value: 'two'"),
    (["--prompt", "a", "--temprature", "1"], "unknown flag --temprature: did you mean --temperature?"),
    (["--prompt", "a", "--temperature", "hot"], "temperature is 'hot': set it to a number from 0 to 5"),
    (["--prompt", "a", "--temperature", "nan", "--top_p", "2"], "temperature is nan: set it to a number from 0 to 5; "
                                                                "top_p is 2.0: set it to a number from 0 to 1"),
    (["--prompt", "a", "--run", "other"], "there is no run other in"),
    (["--prompt", "a", "--run", "../bottles"], "'../bottles' cannot name a run"),
    ([], "the following arguments are required: --prompt"),
])
def test_a_mistake_on_the_command_line_ends_with_one_sentence(trained, capsys, words, sentence):
    with pytest.raises(SystemExit) as caught:
        run_main(trained, *words)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert err.startswith(f"python -m gpt.generate: {sentence}")
    assert err.count("\n") == 1


def test_a_prompt_longer_than_the_context_is_continued_and_it_is_said(trained, capsys):
    run_main(trained, "--prompt", "green bottles hanging", "--max_new_tokens", "5")
    out, err = capsys.readouterr()
    assert out.startswith("green bottles hanging")
    assert err == "the prompt has 21 tokens, and the model sees 8: it reads the last ones\n"
    run_main(trained, "--prompt", "green", "--max_new_tokens", "5")
    assert capsys.readouterr().err == ""


def test_what_a_model_writes_cannot_drive_the_terminal(tmp_path, capsys, tiny):
    corpus = tmp_path / "escapes.txt"
    corpus.write_text("a\x1b[2J\x9b31m\rb\n" * 200, encoding="utf-8", newline="")
    for _ in Session(tmp_path / "runs", "escapes", {**tiny, "corpus": str(corpus)}).events():
        pass
    run_main(tmp_path / "runs" / "escapes", "--run", "escapes", "--prompt", "a\x1b", "--max_new_tokens", "200", "--temperature", "2")
    written = capsys.readouterr().out
    assert written.startswith("a\u241b")
    assert all(sign in written[2:] for sign in ("\u241b", "[U+009B]"))
    assert not set(written) & {"\x1b", "\x9b", "\r"}


def test_the_defaults_of_sampling_are_those_of_its_table():
    assert asdict(Sampling()) == {field.name: field.default for field in SAMPLING_FIELDS}
