"""The sample slide and its exact mask, as files."""

from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import tifffile

from segmix_core.files import write_atomically
from segmix_core.sample.fibers import Fibers
from segmix_core.sample.layout import plan_layout
from segmix_core.sample.nuclei import place_goblets, place_nuclei
from segmix_core.sample.spots import draw_spots
from segmix_core.sample.staining import Drawn, Stainer

SAMPLE_MPP = 0.5
_MIN_SIZE = 256
_SMALLEST_LEVEL_PX = 512
_TILE_PX = 256

_Image = npt.NDArray[np.uint8]


def make_sample(size: int, seed: int = 0) -> tuple[_Image, _Image]:
    """Return a synthetic H&E slide at 0.5 µm per pixel, and its mask.

    Parameters
    ----------
    size
        Edge in pixels, at least 256.
    seed
        The same seed and size give the same arrays.

    Returns
    -------
    image
        (size, size, 3) uint8.
    mask
        (size, size) uint8: 0 glass, then the classes of
        :data:`~segmix_core.sample.layout.CLASS_NAMES`, from 1.

    Raises
    ------
    ValueError
        If the size is below 256.
    """
    if size < _MIN_SIZE:
        raise ValueError(f"The size must be at least {_MIN_SIZE}, not {size}")
    rng = np.random.default_rng(seed)
    layout = plan_layout(rng, size)
    fibers = Fibers(rng, size)
    nuclei = draw_spots(place_nuclei(rng, layout, fibers), size)
    goblets = draw_spots(place_goblets(rng, layout), size)
    image = Stainer(rng, layout, fibers, Drawn(nuclei, goblets)).render()
    return image, layout.mask


def write_sample_slide(
    path: Path, mask_path: Path, *, size: int = 4096, seed: int = 0
) -> None:
    """Write a synthetic slide and its exact mask.

    Parameters
    ----------
    path
        A tiled TIFF with JPEG tiles and halved levels down to 512 pixels, with its
        pixel size in the tags; OpenSlide and tifffile see all levels.
    mask_path
        A tiled deflate TIFF, one level, with the same pixel size.
    size, seed
        As for :func:`make_sample`.

    Raises
    ------
    ValueError
        If the size is below 256.
    """
    image, mask = make_sample(size, seed)
    write_atomically(path, lambda file: _write_pyramid(file, image))
    write_atomically(mask_path, lambda file: _write_mask(file, mask))


def _write_pyramid(file: IO[bytes], image: _Image) -> None:
    with tifffile.TiffWriter(file) as tiff:
        level = 0
        while level == 0 or max(image.shape) >= _SMALLEST_LEVEL_PX:
            per_cm = 10000 / (SAMPLE_MPP * 2**level)
            tiff.write(
                image,
                photometric="rgb",
                tile=(_TILE_PX, _TILE_PX),
                compression="jpeg",
                compressionargs={"level": 90},
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                # OpenSlide reads pages marked as reduced as levels, but not SubIFDs.
                subfiletype=0 if level == 0 else 1,
                metadata=None,
            )
            image = _halve(image)
            level += 1


def _halve(image: _Image) -> _Image:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    four = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    mean = (four.sum(axis=(1, 3), dtype=np.uint16) + 2) // 4
    return np.asarray(mean, np.uint8)


def _write_mask(file: IO[bytes], mask: _Image) -> None:
    per_cm = 10000 / SAMPLE_MPP
    tifffile.imwrite(
        file,
        mask,
        photometric="minisblack",
        tile=(512, 512),
        compression="adobe_deflate",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
