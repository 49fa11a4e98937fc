"""Colors of a tile as other stainings would have them.

Stains vary: colors are bent per channel such that white stays white, as thicker or
thinner stain does (optical density times a factor is intensity to a power,
Beer-Lambert).
"""

import numpy as np
import numpy.typing as npt
import torch

from segmix_core.slides.slide import RgbArray


def plain_tables(count: int) -> npt.NDArray[np.float32]:
    """Return (count, 3, 256) float32: the intensity 0..1 of each byte."""
    ramp = np.arange(256, dtype=np.float32) / 255
    return np.broadcast_to(ramp, (count, 3, 256))


def draw_color_tables(
    count: int, strength: float, generator: torch.Generator
) -> npt.NDArray[np.float32]:
    """Return the tables of a random staining for each of ``count`` images.

    Parameters
    ----------
    count
        Images.
    strength
        Relative spread of stain density, 0..1; 0 gives :func:`plain_tables`. All
        channels together vary by ``strength``, single channels by half of it.
    generator
        Of the random numbers.

    Returns
    -------
    array
        (count, 3, 256) float32 in 0..1, rising; byte 255 stays 1.
    """
    draws = torch.rand((count, 4), generator=generator).numpy() * 2 - 1
    density = np.exp(strength * (draws[:, :1] + draws[:, 1:] / 2))
    tables: npt.NDArray[np.float32] = np.power(
        plain_tables(count), density[:, :, None]
    ).astype(np.float32)
    return tables


def look_up(
    image: RgbArray, tables: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
) -> None:
    """Write the image through its tables to ``out``.

    Parameters
    ----------
    image
        (H, W, 3).
    tables
        (3, 256) float32.
    out
        (H, W, 3) float32.
    """
    for channel in range(3):
        out[..., channel] = tables[channel].take(image[..., channel])
