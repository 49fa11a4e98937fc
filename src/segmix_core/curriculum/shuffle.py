"""The shuffle: tiles of a group exchange patches, in place or anywhere.

After CellMix (arXiv 2301.11513, sec. 3.1) with two additions: where each patch came
from is returned, and ``exact`` moves every patch that takes part. CellMix' names:
groups in place are "Group" and "Split" (the whole batch), the others "Random", of which
groups of one tile are "Self".
"""

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from segmix_core.curriculum.level import ShuffleLevel, ShuffleScope
from segmix_core.curriculum.mixed_labels import LabelKind, LabelRule, mix_labels
from segmix_core.curriculum.origins import Origins, draw_origins
from segmix_core.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Shuffled:
    """A batch of images after :func:`shuffle_batch`.

    Attributes
    ----------
    images
        (B, channels, H, W) tensor, of the number type that went in.
    labels
        (B, C) float tensor in 0..1, or -1 where open.
    present
        (B, C) bool tensor: some patch comes from an image with the class.
    origins
        Of each patch: ``origins.sources`` (B, rows, cols) is the index of the image it
        comes from, ``origins.positions`` (B, rows, cols) the place there, row times
        columns plus column.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    >>> mixed = sx.shuffle_batch(images, [[1, 0], [0, 1]], patch_size=8, ratio=1)
    >>> mixed.origins.sources.flatten()  # the images have changed places
    tensor([1, 0])
    >>> bool((mixed.images[0].numpy() == images[1]).all())
    True
    """

    images: Tensor
    labels: Tensor
    present: Tensor
    origins: Origins


def shuffle_batch(  # noqa: PLR0913 - every one is a choice of the caller, by name
    images: Tensor,
    labels: Tensor,
    *,
    patch_size: int,
    ratio: float,
    group_size: int = 2,
    in_place: bool = True,
    exact: bool = True,
    label_rule: LabelKind = "area",
    least_share: float = 0.1,
    generator: torch.Generator | None = None,
) -> Shuffled:
    """Mix images by exchanging patches, and their labels by what they then show.

    Consecutive images form a group, which draws the positions that take part; images
    left over at the end of the batch stay as they are.

    Parameters
    ----------
    images
        (B, channels, H, W), tensor on any device or array, any number type.
    labels
        (B, C): 1 present, 0 absent, -1 unknown.
    patch_size
        Edge of a patch in pixels; divides H and W. Smaller is harder.
    ratio
        Share of patch positions that take part, 0..1, rounded to a whole number of
        them, and at least one if it is above zero. Larger is harder.
    group_size
        Images that exchange patches with each other; 0: the whole batch; 1: patches
        move inside their own image, with ``in_place`` off.
    in_place
        Patches keep their position and change only their image.
    exact
        Every selected patch moves to another image. Otherwise they are permuted, and
        some stay where they are.
    label_rule
        "area": labels are shares of the area. "certain": only the shares that labels
        of whole images leave no doubt about. "present": 1 where images of that class
        alone give at least ``least_share`` of the area, 0 where no image has it. What
        is open is -1.
    least_share
        0..1, of "present": what of an image a class covers that is labeled.
    generator
        Source of random numbers, on any device; None: torch's own.

    Returns
    -------
    Shuffled
        The mixed images, their soft labels, and where each patch came from.

    Raises
    ------
    DataError
        If there are no images, shapes do not fit, or the patch size does not divide
        the images.
    ConfigError
        If another option is out of range.

    Notes
    -----
    CellMix (Zhang et al., arXiv 2301.11513, section 3.1; labels by area: appendix S3.B)
    as SegMix uses it: groups of two, in place.

    Examples
    --------
    >>> images = np.zeros((2, 3, 8, 8), np.uint8)
    >>> images[1] = 255
    >>> mixed = sx.shuffle_batch(images, [[1, 0], [0, 1]], patch_size=4, ratio=0.5)
    >>> mixed.labels
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    >>> mixed.origins.sources.shape  # of each patch: the image that it comes from
    torch.Size([2, 2, 2])
    """
    try:
        images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"Images or labels are not arrays of numbers: {error}.",
            "Pass images (B, channels, H, W) and labels (B, C).",
        ) from error
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ConfigError(
            f"The generator is a {type(generator).__name__}.",
            "Pass torch.Generator().manual_seed(0), for instance.",
        )
    shape = _grid(images, labels, patch_size)
    try:
        scope = ShuffleScope(group_size, in_place, exact)
        rule = LabelRule(label_rule, least_share)
        level = ShuffleLevel(patch_size, ratio)
    except ValueError as error:
        raise ConfigError(
            f"Images cannot be shuffled this way: {error}.",
            "Choose a value in the range that the documentation gives.",
        ) from error
    origins = draw_origins(len(images), shape, level.shuffle_ratio, scope, generator)
    origins = Origins(*(part.to(images.device) for part in origins))
    mixed, present = mix_labels(labels, origins.sources, rule)
    return Shuffled(_gather_patches(images, origins), mixed, present, origins)


def _grid(images: Tensor, labels: Tensor, patch_size: int) -> tuple[int, int]:
    if images.ndim != 4 or labels.ndim != 2 or len(images) != len(labels):
        raise DataError(
            f"Images of shape {tuple(images.shape)} and labels of shape "
            f"{tuple(labels.shape)} do not belong together.",
            "Pass images (B, channels, H, W) and labels (B, C).",
        )
    if not len(images):
        raise DataError("There are no images.", "Pass at least one image.")
    if not isinstance(patch_size, Integral):
        raise ConfigError(
            f"The patch size is {patch_size!r}.", "Pass a whole number of pixels."
        )
    height, width = images.shape[-2:]
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise DataError(
            f"Patches of {patch_size} pixels do not divide images of {height} x "
            f"{width}.",
            "Choose a patch size that divides height and width; images are "
            "(B, channels, H, W).",
        )
    return height // patch_size, width // patch_size


def _gather_patches(images: Tensor, origins: Origins) -> Tensor:
    """Return images of patches of ``images``, each from where ``origins`` says.

    A patch is moved as the runs of pixels that lie side by side in memory: copying runs
    costs little more than copying the batch, which picking out single pixels does not.
    """
    channels_last = not images.is_contiguous() and images.is_contiguous(
        memory_format=torch.channels_last
    )
    layers = images.permute(0, 2, 3, 1)[:, None] if channels_last else images
    depth, height, width = layers.shape[1:4]
    sources, positions = origins
    rows, cols = sources.shape[1:]
    tall, device = height // rows, sources.device
    # In memory a tile has depth x height x cols runs. First run of each patch: (B,
    # rows, cols); from there to its others: (depth, tall).
    first = sources * (depth * height * cols)
    first = first + positions // cols * (tall * cols) + positions % cols
    others = torch.arange(depth, device=device)[:, None] * (height * cols)
    others = others + torch.arange(tall, device=device) * cols
    runs = first[:, None, :, None, :] + others[:, None, :, None]
    length = math.prod(layers.shape[4:], start=width // cols)
    moved = layers.reshape(-1, length).index_select(0, runs.view(-1))
    moved = moved.view(layers.shape)
    return moved[:, 0].permute(0, 3, 1, 2) if channels_last else moved
