import numpy as np
import pytest
import tifffile

from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.tissue import tissue_fraction, tissue_mask

GLASS = np.uint8([243, 242, 244])
PINK = np.uint8([222, 140, 180])


def noisy(rng, color, shape=(120, 160), spread=3):
    noise = rng.normal(0, spread, (*shape, 3))
    return np.clip(color + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("color", "is_tissue"),
    [
        (GLASS, False),
        ([255, 255, 255], False),
        ([238, 233, 238], False),
        ([0, 0, 0], False),
        (PINK, True),
        ([232, 200, 222], True),
        ([70, 60, 130], True),
        ([120, 120, 120], True),
    ],
)
def test_a_slide_of_one_kind(rng, color, is_tissue):
    spread = 0 if max(color) == 0 else 3
    mask = tissue_mask(noisy(rng, np.array(color), spread=spread))
    assert mask.mean() == pytest.approx(float(is_tissue), abs=0.02)


@pytest.mark.parametrize("color", [PINK, [232, 205, 222], [90, 70, 150]])
def test_tissue_is_told_from_glass(rng, color):
    image = noisy(rng, GLASS)
    image[30:90, 40:120] = noisy(rng, np.array(color), (60, 80))
    mask = tissue_mask(image)
    assert mask[32:88, 42:118].mean() > 0.98
    assert mask.sum() == pytest.approx(60 * 80, rel=0.05)


@pytest.mark.parametrize("mpp", [None, 0.5])
def test_fractions_are_shares_of_boxes(tmp_path, rng, mpp):
    image = noisy(rng, GLASS, (600, 800))
    image[200:600, 200:800] = noisy(rng, PINK, (400, 600))
    path = tmp_path / "a.tif"
    tags = {"resolution": (10000 / mpp,) * 2, "resolutionunit": 3} if mpp else {}
    tifffile.imwrite(path, image, photometric="rgb", **tags)
    slide = open_slide(path)
    boxes = np.array(
        [
            [0, 0, 200, 200],
            [200, 200, 200, 200],
            [100, 200, 200, 200],
            [500, 700, 200, 200],
            [5000, 0, 64, 64],
            [0, 0, 600, 800],
        ]
    )
    expected = [0, 1, 0.5, 0.25, 0, 0.5]
    fractions = tissue_fraction(slide, boxes)
    assert fractions.dtype == np.float32
    np.testing.assert_allclose(fractions, expected, atol=0.06)
    assert tissue_fraction(slide, boxes[:0]).shape == (0,)
    with pytest.raises(ValueError, match="at least 1"):
        tissue_fraction(slide, np.array([[0, 0, 0, 5]]))
    slide.close()
