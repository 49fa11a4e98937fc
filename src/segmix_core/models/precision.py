"""Which numbers a network computes in, and a network that only answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from segmix_core.errors import ConfigError

Precision = Literal["float32", "bf16"]
"""Numbers that convolutions and products of matrices compute in."""


def resolve_precision(
    name: str, device: torch.device, *, trains: bool = False
) -> Precision:
    """Return the numbers a setting means.

    With instructions for bf16 a pass takes about half the time, as ``python -m
    benchmarks speed modes`` measures; without, it would be emulated, which is slower
    than float32. "auto" is bf16 where there are such instructions, but for training on
    a processor: there it cost plain CAMs 0.6 points of mean IoU (ebhi_seg3 P2, val,
    three seeds).

    Parameters
    ----------
    name
        auto, float32 or bf16.
    device
        Where the network is.
    trains
        It learns there, too.

    Raises
    ------
    ConfigError
        If bf16 is asked for where there are no instructions for it.
    """
    if name == "float32" or (name == "auto" and trains and device.type == "cpu"):
        return "float32"
    if has_bf16(device):
        return "bf16"
    if name == "auto":
        return "float32"
    raise ConfigError(
        f"{device} does not support bf16.",
        "Choose precision auto or float32.",
    )


def has_bf16(device: torch.device) -> bool:
    """Say whether a device has instructions for bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False


@contextmanager
def inference_mode(
    module: nn.Module, precision: Precision = "float32"
) -> Iterator[None]:
    """Switch to evaluation without gradients, and back to what was before.

    Never around a ``yield``: the mode would be that of the caller, too.
    """
    was_training = module.training
    module.eval()
    device = next(module.parameters()).device.type
    numbers = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
    try:
        with torch.inference_mode(), numbers:
            yield
    finally:
        module.train(was_training)
