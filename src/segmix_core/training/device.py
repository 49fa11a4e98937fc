"""Set up device, precision, threads and processes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from segmix_core.cores import default_threads
from segmix_core.errors import ConfigError
from segmix_core.models.precision import Precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_REMEDY = "Choose the device auto, or cpu."


def resolve_device(name: str) -> torch.device:
    """Resolve the device setting; "auto" is the fastest available device.

    Parameters
    ----------
    name
        auto, cpu, cuda, cuda:N or mps.

    Raises
    ------
    ConfigError
        If the device is not available.
    """
    if name == "auto":
        return _fastest()
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind == "mps" and not index:
        if not torch.backends.mps.is_available():
            raise ConfigError(
                "The device mps needs a Mac with Metal.",
                _REMEDY,
            )
        return torch.device("mps")
    if kind == "cuda" and (index.isdecimal() or not (index or ":" in name)):
        return _cuda(int(index or 0))
    raise ConfigError(
        f"{name!r} is not a valid device (auto, cpu, cuda, cuda:N, mps).",
        _REMEDY,
    )


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
            f"There is no CUDA device {index}; the last one is {count - 1}."
            if count
            else "PyTorch finds no CUDA device.",
            f"{_REMEDY} A GPU needs its driver and a CUDA build of PyTorch.",
        )
    return torch.device("cuda", index)


def set_threads(threads: int = 0) -> int:
    """Set the CPU threads of PyTorch, and return their number.

    Parameters
    ----------
    threads
        0: the default of :func:`segmix_core.cores.default_threads`.

    Raises
    ------
    ValueError
        If negative.
    """
    if threads < 0:
        raise ValueError(f"threads must be >= 0, not {threads}")
    count = threads or default_threads()
    torch.set_num_threads(count)
    return count


def launched_processes(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the numbers of processes per machine and of machines under torchrun.

    Parameters
    ----------
    environment
        Of this process; torchrun sets WORLD_SIZE and LOCAL_WORLD_SIZE.

    Returns
    -------
    processes, nodes
        (1, 1) for a single process.
    """
    each = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    return each, int(environment.get("WORLD_SIZE", "1")) // each


def make_fabric(
    device: torch.device,
    *,
    precision: Precision = "float32",
    processes: int = 1,
    nodes: int = 1,
) -> "Fabric":
    """Return a launched Fabric for ``device``.

    Parameters
    ----------
    device
        From :func:`resolve_device`.
    precision
        From :func:`segmix_core.models.precision.resolve_precision`. With bf16,
        convolutions and products of matrices compute in bf16; weights, sums and losses
        stay in float32.
    processes
        Training processes a node; more than one under torchrun or SLURM, each of
        which calls this function.
    nodes
        Machines that train together.
    """
    # Imported late: it loads half of torch, which other stages do not need.
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
    """Set the weights in all processes to their mean."""
    if fabric.world_size == 1:
        return
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(fabric.all_reduce(tensor, reduce_op="mean"))
