"""Networks that only answer: normalization becomes part of the convolution before."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(module: nn.Module) -> None:
    """Fold batch normalization into the convolutions before it, in place.

    The answers stay the same but for rounding, and a pass over every feature map is
    saved. Only direct neighbors in an ``nn.Sequential`` are folded: elsewhere nothing
    says which layer comes after which. The module can no longer be trained, and its
    state has other names: fold after loading.

    Parameters
    ----------
    module
        In evaluation mode.

    Raises
    ------
    ValueError
        If it is in training mode.
    """
    if module.training:
        raise ValueError("Expected a module in evaluation mode, got one in training")
    for parent in list(module.modules()):
        if isinstance(parent, nn.Sequential) and _is_plain(parent):
            _fold_neighbors(parent)


def _is_plain(parent: nn.Sequential) -> bool:
    # A subclass with a forward of its own may use its layers in any order.
    return type(parent).forward is nn.Sequential.forward


def _fold_neighbors(parent: nn.Sequential) -> None:
    for first, second in pairwise(list(parent._modules)):  # noqa: SLF001
        conv, norm = parent.get_submodule(first), parent.get_submodule(second)
        # Subclasses of the normalization may hold an activation as well.
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            if norm.running_mean is None:
                continue
            setattr(parent, first, fuse_conv_bn_eval(conv, norm))
            setattr(parent, second, nn.Identity())
