"""`python -m gpt.control`: a run that trains is asked from another terminal."""

import pytest

from gpt.control import main
from gpt.runs.writer import RunWriter


@pytest.mark.parametrize(("words", "asked"), [
    (["pause"], "pause"), (["resume"], "resume"), (["stop"], "stop"), (["snapshot"], "snapshot"),
    (["extend", "--steps", "50"], "extend 50"),
])
def test_a_run_is_asked(tmp_path, capsys, words, asked):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="running", step=1, steps=2)
        main([*words, "--run", "a", "--checkpoints", str(tmp_path)])
        assert writer.command() == asked
    assert capsys.readouterr().out.startswith("run a ")


@pytest.mark.parametrize(("words", "told"), [
    (["pause", "--run", "a"], "run a is not running, so it cannot pause"),
    (["stop-now", "--run", "a"], "run a is not running, so it cannot be stopped"),
    (["extend", "--run", "a"], "extend, and nothing else, needs --steps"),
    (["pause", "--run", "a", "--steps", "3"], "extend, and nothing else, needs --steps"),
    (["extend", "--run", "a", "--steps", "-3"], "'extend -3' is no command"),
    (["pause", "--run", "../a"], "'../a' cannot name a run"),
    (["dance", "--run", "a"], "argument what: invalid choice: 'dance'"),
])
def test_a_mistake_ends_with_one_sentence(tmp_path, capsys, words, told):
    with RunWriter(tmp_path / "a") as writer:
        writer.write_status(state="done", step=2, steps=2)
    with pytest.raises(SystemExit) as caught:
        main([*words, "--checkpoints", str(tmp_path)])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"python -m gpt.control: {told}")
