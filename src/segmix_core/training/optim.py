"""AdamW, its schedule, and averaged weights."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from segmix_core.errors import CheckpointError

_WARM_UP = 0.15
_FIRST, _LAST = 1 / 25, 1 / 1000


def one_cycle(step: int, total_steps: int) -> float:
    """Return the share of the peak learning rate at a step.

    A cosine up during the first 15 % of the steps, a cosine down for the rest (the
    one-cycle policy of Smith and Topin, arXiv 1708.07120, without its momentum
    cycle). A pure function of the step, so that a resumed run needs no state.

    Parameters
    ----------
    step
        0 .. ``total_steps - 1``.
    total_steps
        At least 1.

    Returns
    -------
    float
        From 1/25 over 1 down to 1/1000.

    Raises
    ------
    ValueError
        If ``step`` is outside the run.
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"The step must be in 0..{total_steps - 1}, not {step}")
    peak = round(_WARM_UP * (total_steps - 1))
    if step < peak:
        return _cosine(_FIRST, 1.0, step / peak)
    rest = total_steps - 1 - peak
    return _cosine(1.0, _LAST, (step - peak) / rest) if rest else 1.0


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def make_optimizer(
    module: nn.Module, *, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """Return AdamW for all parameters that require a gradient.

    Vectors (biases, normalization scales) are not decayed, since pulling a scale
    towards zero does not regularize.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, module: nn.Module
) -> dict[str, Tensor]:
    """Return the optimizer's moments, flat: ``<parameter>//<moment>`` -> tensor."""
    return {
        f"{name}//{key}": torch.as_tensor(value)
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer,
    module: nn.Module,
    tensors: Mapping[str, Tensor],
) -> None:
    """Restore the result of :func:`optimizer_tensors`.

    Raises
    ------
    CheckpointError
        If a tensor does not match a parameter of ``module`` in name and shape.
    """
    parameters = dict(module.named_parameters())
    for full, tensor in tensors.items():
        name, _, key = full.rpartition("//")
        parameter = parameters.get(name)
        scalar = key == "step"
        if parameter is None or not (scalar or tensor.shape == parameter.shape):
            raise CheckpointError(
                f"The optimizer state does not fit this network: the tensor {full} "
                f"has shape {tuple(tensor.shape)}.",
                "Start a new training run; this one cannot be resumed.",
            )
        # AdamW wants its step count on the CPU and moments laid out as parameters.
        value = tensor.clone() if scalar else torch.empty_like(parameter).copy_(tensor)
        optimizer.state[parameter][key] = value.detach()


class AveragedWeights:
    """An exponential moving average of a module's state.

    Averaged weights predict more stably than those of the last step. The horizon is
    10 % of the steps, at most 1000, and shorter at the start, so that a short run is
    not dominated by its random initial weights.
    """

    def __init__(self, module: nn.Module) -> None:
        self._tensors = {
            name: tensor.detach().clone()
            for name, tensor in module.state_dict().items()
        }

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The averages by name, like ``module.state_dict()``."""
        return self._tensors

    @torch.no_grad()
    def update(self, module: nn.Module, step: int, total_steps: int) -> None:
        """Update the averages with the weights after ``step``."""
        keep = average_decay(step, total_steps)
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self._tensors[name].lerp_(tensor, 1 - keep)
            else:
                self._tensors[name].copy_(tensor)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Load the averages into ``module``; restores its own state afterwards."""
        own = {name: t.detach().clone() for name, t in module.state_dict().items()}
        module.load_state_dict(self._tensors)
        try:
            yield
        finally:
            module.load_state_dict(own)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore :attr:`tensors`."""
        for name, tensor in self._tensors.items():
            tensor.copy_(tensors[name])


def average_decay(step: int, total_steps: int) -> float:
    """Return the decay of the average at a step, in 0..1."""
    horizon = min(1000.0, max(1.0, 0.1 * total_steps))
    return min(1 - 1 / horizon, (1 + step) / (10 + step))
