"""What must hold on a CUDA GPU too. Skipped where there is none."""

import pytest
import torch

from gpt.model.attention import MultiHeadAttention
from gpt.model.gpt2 import GPT2
from gpt.model.sampling import generate_text
from gpt.runs.run import load_run
from gpt.runs.session import Session
from gpt.training.device import choose_device, choose_precision
from gpt.training.trainer import Trainer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_lowers_the_loss(tiny, tokens, precision, optimizer):
    config = {**tiny, "device": "cuda", "precision": precision, "optimizer": optimizer, "max_steps": 60, "dropout_rate": 0.1}
    trainer = Trainer(config, GPT2(config).cuda(), tokens)
    losses = [event.row["val_loss"] for event in trainer.events() if event.kind == "evaluation"]
    assert losses[-1] < losses[0] - 0.5


def test_compiled_steps_learn_too(tiny, tokens):
    config = {**tiny, "device": "cuda", "compile": True, "max_steps": 60}
    losses = [event.row["val_loss"] for event in Trainer(config, GPT2(config).cuda(), tokens).events() if event.kind == "evaluation"]
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_whole_session_leaves_a_run_that_a_cpu_can_read(tiny, text_file, tmp_path, precision):
    for _ in Session(tmp_path, "a", {**tiny, "corpus": text_file, "device": "cuda", "precision": precision}).events():
        pass
    model, tokenizer = load_run(tmp_path / "a")
    ids = torch.tensor([tokenizer.encode("green bo")])
    with torch.no_grad():
        logits = load_run(tmp_path / "a", device="cuda")[0](ids.cuda()).cpu()
        torch.testing.assert_close(logits, model(ids), rtol=1e-3, atol=1e-3)


def test_a_stopped_run_goes_on_from_where_it_was(tiny, text_file, tmp_path):
    session = Session(tmp_path, "a", {**tiny, "corpus": text_file, "device": "cuda", "precision": "float16", "dropout_rate": 0.2})
    for event in session.events():
        if event.kind == "step" and session.trainer.step == 6:
            session.stop()
    for _ in Session(tmp_path, "a").events():
        pass
    assert [row["step"] for row in session.writer.rows()[0] if "loss" in row] == [10, 12]
    assert session.writer.status()["state"] == "done"


@pytest.mark.parametrize("position", ["learned", "rope"])
def test_greedy_text_equals_the_cpus(tiny, position):
    model = GPT2({**tiny, "position": position}).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[3, 1, 4]])
    on_cpu = generate_text(model, ids, 20, temperature=0.0)
    assert torch.equal(generate_text(model.cuda(), ids.cuda(), 20, temperature=0.0).cpu(), on_cpu)


def test_sampling_on_the_gpu_is_repeatable(model):
    ids = torch.tensor([[3, 1, 4]], device="cuda")
    first, second = (generate_text(model.cuda(), ids, 20, temperature=1.0, seed=5) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_fused_equals_explicit(tiny, position, qk_norm):
    torch.manual_seed(0)
    attention = MultiHeadAttention({**tiny, "position": position, "qk_norm": qk_norm}).cuda().eval()
    x = torch.randn(3, 8, tiny["emb_dim"], device="cuda")
    torch.testing.assert_close(attention(x), attention.explicit(x)[0], rtol=1e-4, atol=1e-4)


def test_auto_takes_the_gpu_and_a_half_precision():
    device = choose_device("auto")
    precision, reason = choose_precision("auto", device)
    assert device.type == "cuda"
    assert precision in ("bfloat16", "float16")
    assert reason.startswith(precision)
