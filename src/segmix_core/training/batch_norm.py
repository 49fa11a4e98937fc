"""Batch normalization over the batches of all processes."""

import torch
from torch import Tensor, nn


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization with mean and variance over all processes.

    Like ``torch.nn.SyncBatchNorm``, which does not support CPUs. Its parameters,
    and its results in evaluation mode, are those of the replaced layer.

    Parameters
    ----------
    layer
        Layer to replace; its parameters, statistics, and the activation of timm's
        layers are kept.
    """

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__(
            layer.num_features,
            layer.eps,
            layer.momentum,
            affine=layer.affine,
            track_running_stats=layer.track_running_stats,
        )
        self._parameters.update(layer._parameters)  # noqa: SLF001 - the same objects
        self._buffers.update(layer._buffers)  # noqa: SLF001
        self.drop = getattr(layer, "drop", nn.Identity())
        self.act = getattr(layer, "act", nn.Identity())
        self.train(layer.training)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, C, H, W), normalized; every process must call it equally often."""
        normal = self._normalize(pixels) if self.training else super().forward(pixels)
        out: Tensor = self.act(self.drop(normal))
        return out

    def _normalize(self, pixels: Tensor) -> Tensor:
        values = pixels.float()
        count = _total(values.new_tensor([pixels[:, 0].numel()]))
        mean = _total(values.sum(dim=(0, 2, 3))) / count
        centered = values - mean[:, None, None]
        variance = _total(centered.square().sum(dim=(0, 2, 3))) / count
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        out = centered * scale[:, None, None]
        if self.affine:
            out = out + self.bias[:, None, None]
        return out.to(pixels.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        seen, means, variances = (
            self.num_batches_tracked,
            self.running_mean,
            self.running_var,
        )
        if seen is None or means is None or variances is None:
            return
        seen.add_(1)
        # Without a momentum, torch takes the mean of all batches.
        share = 1 / float(seen) if self.momentum is None else self.momentum
        means.lerp_(mean, share)
        variances.lerp_(variance, share)


def share_batch_norm(module: nn.Module) -> None:
    """Replace every batch normalization inside a module by :class:`SharedBatchNorm2d`.

    Weights, statistics and their names do not change.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, SharedBatchNorm2d):
            continue
        if isinstance(child, nn.BatchNorm2d):
            module.add_module(name, SharedBatchNorm2d(child))
        else:
            share_batch_norm(child)


class _Total(torch.autograd.Function):
    """Sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return _sum(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(values: Tensor) -> Tensor:
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Total.apply(values)
    return total
