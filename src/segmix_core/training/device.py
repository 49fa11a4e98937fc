"""Where a run computes: device, precision, threads, processes."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from segmix_core.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_REMEDY = "Choose the device auto, or cpu."


def resolve_device(name: str) -> torch.device:
    """Return the device a setting means; "auto" takes the fastest there is.

    Parameters
    ----------
    name
        auto, cpu, cuda, cuda:N or mps.

    Raises
    ------
    ConfigError
        If there is no such device here.
    """
    if name == "auto":
        return _fastest()
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind == "mps" and not index:
        if not torch.backends.mps.is_available():
            raise ConfigError("a Mac with Metal", "none here", _REMEDY)
        return torch.device("mps")
    if kind == "cuda" and (index.isdecimal() or not (index or ":" in name)):
        return _cuda(int(index or 0))
    raise ConfigError("auto, cpu, cuda, cuda:N or mps", repr(name), _REMEDY)


def _fastest() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _cuda(index: int) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        raise ConfigError(
            f"a CUDA device number {index}",
            f"{count} CUDA devices that this PyTorch can use",
            f"{_REMEDY} A GPU needs its driver and a CUDA build of PyTorch.",
        )
    return torch.device("cuda", index)


def set_threads(threads: int = 0) -> int:
    """Limit the CPU threads of PyTorch, and return how many there are now.

    Parameters
    ----------
    threads
        0 leaves one core to the rest of the machine.

    Raises
    ------
    ValueError
        If negative.
    """
    if threads < 0:
        raise ValueError(f"Expected threads >= 0, got {threads}")
    count = threads or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(count)
    return count


def launched_processes(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return how many processes a machine, and machines, torchrun has started.

    Parameters
    ----------
    environment
        Of this process; torchrun sets WORLD_SIZE and LOCAL_WORLD_SIZE.

    Returns
    -------
    processes, nodes
        (1, 1) for a process that was started alone.
    """
    each = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    return each, int(environment.get("WORLD_SIZE", "1")) // each


def resolve_precision(name: str, device: torch.device) -> Literal["float32", "bf16"]:
    """Return the numbers a setting means; "auto" takes bf16 on CUDA alone.

    On a CPU bf16 is a choice: where the processor has instructions for it a step takes
    little more than half the time (``python -m benchmarks modes``), elsewhere it would
    be emulated, which is slower than float32.

    Parameters
    ----------
    name
        auto, float32 or bf16.
    device
        From :func:`resolve_device`.

    Raises
    ------
    ConfigError
        If bf16 is asked for where there are no instructions for it.
    """
    if name == "float32" or (name == "auto" and device.type != "cuda"):
        return "float32"
    if has_bf16(device):
        return "bf16"
    if name == "auto":
        return "float32"
    raise ConfigError(
        "a device that computes in bf16",
        f"{device}, which does not",
        "Choose the precision auto or float32.",
    )


def has_bf16(device: torch.device) -> bool:
    """Say whether a device has instructions for bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False


def make_fabric(
    device: torch.device,
    *,
    precision: Literal["float32", "bf16"] = "float32",
    processes: int = 1,
    nodes: int = 1,
) -> "Fabric":
    """Return a launched Fabric for ``device``.

    Parameters
    ----------
    device
        From :func:`resolve_device`.
    precision
        From :func:`resolve_precision`. With bf16, convolutions and products of matrices
        compute in bf16; weights, sums and losses stay in float32.
    processes
        Training processes a node; more than one under torchrun or SLURM, each of
        which calls this function.
    nodes
        Machines that train together.
    """
    # Imported late: it compiles half of torch, which stages without training can spare.
    from lightning_fabric import Fabric

    together = processes * nodes > 1
    devices: int | list[int] = processes
    if device.type == "cuda" and not together:
        devices = [device.index or 0]
    fabric = Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if together else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


@torch.no_grad()
def make_equal(module: nn.Module, fabric: "Fabric") -> None:
    """Give the module the same weights in all processes: their mean."""
    if fabric.world_size == 1:
        return
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(fabric.all_reduce(tensor, reduce_op="mean"))
