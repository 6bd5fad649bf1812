"""How a process that trained together with others ends."""

import subprocess
import sys

import pytest

PROGRAM = "import atexit; atexit.register(print, 'atexit'); from gpt.training.distributed import end_process; print('end'); end_process()"


@pytest.mark.parametrize(("count", "printed"), [("1", "end\natexit\n"), ("2", "end\n")])
def test_a_good_end_skips_destructors_only_where_several_trained(monkeypatch, count, printed):
    monkeypatch.setenv("WORLD_SIZE", count)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, printed)
