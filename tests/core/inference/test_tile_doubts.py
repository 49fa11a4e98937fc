import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.geometry import Box
from segmix_core.inference.tile_doubts import TileDoubts


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), band_px=st.integers(1, 30))
def test_bands_equal_the_mean_of_each_tile(seed, band_px):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, 256, (30, 23), dtype=np.uint8)
    boxes = np.stack(
        [
            rng.integers(0, 20, 12),
            rng.integers(0, 20, 12),
            *rng.integers(1, 15, (2, 12)),
        ],
        1,
    )
    doubts = TileDoubts(boxes)
    for y in range(0, 30, band_px):
        part = confidence[y : y + band_px]
        doubts.add(Box(y, 0, *part.shape), part)
    expected = [
        1 - confidence[y : y + h, x : x + w].mean() / 255 for y, x, h, w in boxes
    ]
    assert doubts.result().dtype == np.float32
    np.testing.assert_allclose(doubts.result(), expected, atol=1e-6)


def test_tiles_that_got_nothing_are_fully_doubtful():
    doubts = TileDoubts(np.array([[0, 0, 4, 4], [40, 0, 4, 4]]))
    doubts.add(Box(0, 2, 4, 4), np.full((4, 4), 255, np.uint8))
    assert doubts.result().tolist() == [0, 1]


def test_masks_and_doubts_need_no_torch():
    names = ("inference.pseudo_masks", "inference.cam_canvas", "inference.tile_doubts")
    names += ("export.label_tiff", "training.metrics")
    imports = ", ".join(f"segmix_core.{name}" for name in names)
    code = f"import sys, {imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
