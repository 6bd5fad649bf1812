"""Parameters and floating point operations of a CONFIG, counted by part without building it, and the share of a GPU's peak."""

import re

import torch

from gpt.model.gpt2 import padded_vocab_size


def count_parameters(config: dict) -> dict[str, int]:
    """Parameters by part, exactly as GPT2(config) has them; each norm is counted with the part that follows it. With
    tie_weights the head has no matrix of its own."""
    C, L = config["emb_dim"], config["n_layers"]
    rows = padded_vocab_size(config)
    positions = config["context_length"] * C if config["position"] == "learned" else 0
    return {
        "embedding": rows * C + positions,
        "attention": L * (4 * C * C + C + (3 * C if config["qkv_bias"] else 0) + 2 * C),
        "feed-forward": L * (8 * C * C + 5 * C + 2 * C),
        "head": 2 * C + (0 if config["tie_weights"] else rows * C),
    }


def flops_by_part(config: dict) -> dict[str, float]:
    """Floating point operations of one token, forward and backward: 6 for each weight of a matrix product (2 forward, 4
    backward; Kaplan et al. 2020, 2001.08361), plus, per layer, 6 * 2 C for each of the T tokens of the window in attention,
    counted as if it were not causal (Chowdhery et al. 2022, 2204.02311, appendix B). The embedding is a lookup and costs nothing."""
    C, L, T = config["emb_dim"], config["n_layers"], config["context_length"]
    return {"embedding": 0, "attention": 6 * L * (4 * C * C + 2 * C * T), "feed-forward": 6 * L * 8 * C * C,
            "head": 6 * padded_vocab_size(config) * C}


def flops_per_token(config: dict) -> float:
    return sum(flops_by_part(config).values())


# FLOPs per second of dense matrix products with 32-bit sums, from NVIDIA's data sheets (with sparsity they are doubled): A100, H100 (SXM),
# H200, L4 and T4 Tensor Core GPU datasheets; Ampere GA102 and Ada GPU architecture whitepapers, appendix A.
# {part of the GPU's name: {format: FLOPs per second}}; the first match is used.
PEAK_FLOPS = {
    "A100": {"bfloat16": 312e12, "float16": 312e12},
    "H100 80GB HBM3": {"bfloat16": 989e12, "float16": 989e12},  # SXM; the PCIe card, slower, has another name
    "H200": {"bfloat16": 989e12, "float16": 989e12},
    "L4": {"bfloat16": 121e12, "float16": 121e12},
    "T4": {"float16": 65e12},
    "RTX 3090": {"bfloat16": 71e12, "float16": 71e12},
    "RTX 4090": {"bfloat16": 165e12, "float16": 165e12},
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """The most floating point operations a second that a known GPU can do in this number format, or None."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    known = (rates for part, rates in PEAK_FLOPS.items() if re.search(rf"\b{part}\b(?! (Ti|D|NVL|Laptop)\b)", name))  # other cards
    return next(known, {}).get(precision)


def model_flops_utilisation(config: dict, tokens_per_second: float, device: torch.device, precision: str) -> float | None:
    """MFU: the operations the model needs per second, as a share of the GPU's peak (2204.02311, appendix B), or None if the
    peak is not known."""
    peak = peak_flops(device, precision)
    return flops_per_token(config) * tokens_per_second / peak if peak else None
