"""Color a layout and its nuclei with hematoxylin and eosin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmix_core.sample.fibers import Fibers
from segmix_core.sample.layout import BAND, GLASS, LYMPHOID, Layout
from segmix_core.sample.noise import FloatArray, SmoothNoise

# Optical density of red, green, blue per unit of stain: Ruifrok and Johnston,
# Analytical and Quantitative Cytology and Histology 23 (2001), 291-299. Their eosin
# (0.072, 0.990, 0.105) absorbs hardly any blue; scanned slides are pinker than that.
_HEMATOXYLIN = (0.650, 0.704, 0.286)
_EOSIN = (0.072, 0.930, 0.345)
_LAMP = (244.0, 243.0, 245.0)
_BLUR_PX = 0.75
_HALO = 4
"""Extra rows around a band, so that the blur has no seams."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Full-size drawings, (S, S) float32: nuclei 0..about 1.5, mucin drops 0..1."""

    nuclei: FloatArray
    goblets: FloatArray


class Stainer:
    """Draws the slide in independent bands.

    Only the camera noise is drawn from ``rng`` band after band.
    """

    def __init__(
        self, rng: np.random.Generator, layout: Layout, fibers: Fibers, drawn: Drawn
    ) -> None:
        size = len(layout.mask)
        self._rng = rng
        self._layout = layout
        self._fibers = fibers
        self._drawn = drawn
        self._cols = np.arange(size)
        self._grain = SmoothNoise(rng, size, 3.2)
        self._cloud = SmoothNoise(rng, size, 34.0)
        self._thickness = SmoothNoise(rng, size, 150.0)
        self._hematoxylin = SmoothNoise(rng, size, max(size / 4, 300.0))
        self._eosin = SmoothNoise(rng, size, max(size / 5, 300.0))

    def render(self) -> npt.NDArray[np.uint8]:
        """Return the slide, (S, S, 3) uint8."""
        size = len(self._layout.mask)
        image = np.empty((size, size, 3), np.uint8)
        for top in range(0, size, BAND):
            bottom = min(top + BAND, size)
            image[top:bottom] = self._band(top, bottom)
        return image

    def _band(self, top: int, bottom: int) -> npt.NDArray[np.uint8]:
        size = len(self._cols)
        first, last = max(top - _HALO, 0), min(bottom + _HALO, size)
        rows = np.arange(first, last)
        blue, pink = self._stains(rows)
        crop = slice(top - first, bottom - first)
        band = np.empty((bottom - top, size, 3), np.uint8)
        for channel, lamp in enumerate(_LAMP):
            density = blue * _HEMATOXYLIN[channel] + pink * _EOSIN[channel]
            light = np.float32(lamp) * np.exp(density * np.float32(-np.log(10)))
            light = ndimage.gaussian_filter(light, _BLUR_PX)[crop]
            light += self._rng.standard_normal(light.shape, np.float32) * np.float32(2)
            band[..., channel] = np.clip(light + 0.5, 0, 255)
        return band

    def _stains(self, rows: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return the amounts of hematoxylin and eosin of some rows."""
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        mask, depth = self._layout.mask[part], self._layout.depth[part]
        grain = self._grain.sample(rows, self._cols)
        cloud = self._cloud.sample(rows, self._cols)
        blue, pink = self._stroma(rows, cloud)
        _draw_lymphoid(blue, pink, mask == LYMPHOID, cloud)
        _draw_glands(blue, pink, depth, cloud)
        _draw_goblets(blue, pink, self._drawn.goblets[part])
        pink *= 1 + np.float32(0.10) * grain
        blue *= 1 + np.float32(0.10) * grain
        _draw_nuclei(blue, pink, self._drawn.nuclei[part], grain)
        thickness = 1 + np.float32(0.09) * self._thickness.sample(rows, self._cols)
        blue *= thickness * np.exp(
            np.float32(0.17) * self._hematoxylin.sample(rows, self._cols)
        )
        pink *= thickness * np.exp(
            np.float32(0.20) * self._eosin.sample(rows, self._cols)
        )
        glass = mask == GLASS
        blue[glass] = 0
        pink[glass] = 0
        return np.maximum(blue, 0), np.maximum(pink, 0)

    def _stroma(
        self, rows: npt.NDArray[np.int64], cloud: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        fiber = self._fibers.texture(rows, self._cols)
        # Where the tissue is loose, the gaps between fibers are almost white.
        loose = np.clip(np.float32(0.5) + np.float32(0.35) * cloud, 0, 1)
        dense = np.float32(0.16) + np.float32(0.17) * fiber
        open_ = np.float32(0.34) * np.clip(fiber * 1.7 - 0.55, 0, 1) + np.float32(0.03)
        pink = dense * (1 - loose) + open_ * loose
        return np.float32(0.03) + np.float32(0.13) * pink, pink


def _draw_lymphoid(
    blue: FloatArray, pink: FloatArray, here: npt.NDArray[np.bool_], cloud: FloatArray
) -> None:
    pink[here] = np.float32(0.10) + np.float32(0.02) * cloud[here]
    blue[here] = np.float32(0.13) + np.float32(0.03) * cloud[here]


def _draw_glands(
    blue: FloatArray, pink: FloatArray, depth: FloatArray, cloud: FloatArray
) -> None:
    # A cleft and then a pale sheath lie around a gland.
    sheath = (depth > 1) & (depth < 1.12)
    pink[sheath] *= np.float32(0.45)
    epithelium = (depth >= 0) & (depth <= 1)
    inner = 1 - depth[epithelium]
    pink[epithelium] = (
        np.float32(0.15)
        + np.float32(0.09) * inner
        + np.float32(0.02) * cloud[epithelium]
    )
    blue[epithelium] = np.float32(0.11) + np.float32(0.03) * cloud[epithelium]
    # The brush border: a thin, dark pink line towards the lumen.
    border = (depth >= 0) & (depth < 0.07)
    pink[border] += np.float32(0.12)
    lumen = depth < 0
    mucus = np.clip(cloud[lumen] - np.float32(0.5), 0, 1.5)
    pink[lumen] = np.float32(0.012) + np.float32(0.035) * mucus
    blue[lumen] = np.float32(0.012) + np.float32(0.055) * mucus


def _draw_goblets(blue: FloatArray, pink: FloatArray, goblets: FloatArray) -> None:
    drop = np.clip(goblets, 0, 1)
    pink *= 1 - np.float32(0.82) * drop
    blue *= 1 - np.float32(0.45) * drop


def _draw_nuclei(
    blue: FloatArray, pink: FloatArray, nuclei: FloatArray, grain: FloatArray
) -> None:
    chromatin = nuclei * (np.float32(0.80) + np.float32(0.17) * grain)
    np.maximum(blue, chromatin, out=blue)
    pink *= 1 - np.float32(0.45) * np.clip(nuclei, 0, 1)
