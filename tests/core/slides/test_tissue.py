import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from segmix_core.slides.glass import stained_share
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.tissue import (
    find_tissue,
    tissue_fraction,
    tissue_mask,
)
from segmix_core.tissue_mask import TissueMask

GLASS = np.uint8([243, 242, 244])
PINK = np.uint8([222, 140, 180])
PALE = np.uint8([228, 208, 224])
"""Pale eosin: chroma 20."""
PALE_BLUE = np.uint8([219, 225, 236])
"""Pale hematoxylin: chroma 17."""
DAB = np.uint8([150, 100, 60])
SHAPE = (320, 400)
MIDDLE = np.s_[100:220, 150:260]
STROKE = np.s_[20:50, 10:390]


def noisy(rng, color, shape=(120, 160), spread=3):
    noise = rng.normal(0, spread, (*shape, 3))
    return np.clip(color + noise, 0, 255).astype(np.uint8)


def slide_of(rng, *parts, glass=GLASS, texture=3):
    """Draw a thumbnail of glass with rectangles: (place, color), later ones on top."""
    image = noisy(rng, glass, SHAPE)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 2)
    grain *= texture / grain.std()
    for place, color in parts:
        part = noisy(rng, color, image[place].shape[:2]) + grain[place][..., None]
        image[place] = part.clip(0, 255).astype(np.uint8)
    return image


def share(image, place):
    return tissue_mask(image)[place].mean()


def glass_share(image, *places):
    is_glass = np.ones(image.shape[:2], bool)
    for place in places:
        is_glass[place] = False
    return tissue_mask(image)[ndimage.binary_erosion(is_glass, iterations=2)].mean()


@pytest.mark.parametrize(
    ("color", "is_tissue"),
    [
        (GLASS, False),
        ([255, 255, 255], False),
        ([238, 233, 238], False),
        ([240, 232, 205], False),
        ([222, 230, 240], False),
        ([180, 180, 182], False),
        ([0, 0, 0], False),
        (PINK, True),
        (PALE, True),
        ([232, 200, 222], True),
        ([70, 60, 130], True),
        ([120, 120, 120], True),
    ],
)
def test_a_slide_of_one_kind(rng, color, is_tissue):
    spread = 0 if max(color) == 0 else 3
    mask = tissue_mask(noisy(rng, np.array(color), spread=spread))
    assert mask.mean() == pytest.approx(float(is_tissue), abs=0.02)


@pytest.mark.parametrize("color", [PINK, PALE, [232, 205, 222], [90, 70, 150]])
def test_tissue_is_told_from_glass(rng, color):
    image = noisy(rng, GLASS)
    image[30:90, 40:120] = noisy(rng, np.array(color), (60, 80))
    mask = tissue_mask(image)
    assert mask[32:88, 42:118].mean() > 0.98
    assert mask.sum() == pytest.approx(60 * 80, rel=0.05)


@pytest.mark.parametrize("pale", [PALE, PALE_BLUE], ids=["eosin", "hematoxylin"])
@pytest.mark.parametrize(
    "strong",
    [
        (STROKE, [30, 60, 160]),
        (STROKE, [20, 130, 80]),
        (STROKE, [200, 30, 40]),
        (STROKE, [30, 30, 32]),
        (np.s_[0:90, :], [30, 60, 160]),
        (np.s_[100:220, 200:210], [110, 40, 100]),
        (np.s_[100:220, 300:390], DAB),
        (np.s_[100:220, 300:390], PINK),
    ],
    ids=[
        "blue pen", "green pen", "red pen", "black pen", "broad pen", "fold", "dab",
        "strong eosin",
    ],
)  # fmt: skip
def test_pale_tissue_stays_beside_what_is_strong(rng, pale, strong):
    image = slide_of(rng, (MIDDLE, pale), strong)
    assert share(image, MIDDLE) > 0.95
    assert share(image, strong[0]) > 0.95
    assert glass_share(image, MIDDLE, strong[0]) < 0.01


def test_a_little_pale_tissue_beside_ink(rng):
    place = np.s_[150:170, 150:175]
    image = slide_of(rng, (place, PALE), (STROKE, [30, 60, 160]))
    assert share(image, place) > 0.9


@pytest.mark.parametrize(
    "glass",
    [
        pytest.param([255, 255, 255], id="white"),
        pytest.param([201, 200, 202], id="gray"),
        pytest.param([165, 165, 166], id="dark gray"),
        pytest.param([240, 232, 205], id="yellow"),
        pytest.param([222, 230, 240], id="blue"),
        pytest.param([245, 235, 222], id="warm"),
        pytest.param([225, 235, 226], id="green"),
    ],
)
@pytest.mark.parametrize("color", [PINK, PALE], ids=["strong", "pale"])
def test_glass_of_any_light(rng, glass, color):
    seen = np.array(glass) / 244 * color
    image = slide_of(rng, (MIDDLE, seen), glass=np.array(glass))
    assert share(image, MIDDLE) > 0.9
    assert glass_share(image, MIDDLE) < 0.01
    assert tissue_mask(slide_of(rng, glass=np.array(glass))).mean() < 0.01


@pytest.mark.parametrize("strong", [PINK, DAB], ids=["eosin", "dab"])
def test_a_lot_of_strong_tissue_on_bluish_glass(rng, strong):
    place = np.s_[40:, 40:]
    image = slide_of(rng, (place, strong), glass=np.array([222, 230, 240]))
    assert share(image, place) > 0.98
    assert glass_share(image, place) < 0.01


def test_white_fill_of_what_was_not_scanned_is_no_glass(rng):
    glass = np.array([228, 222, 205])
    image = slide_of(rng, (MIDDLE, glass / 244 * PALE), glass=glass)
    image[:, :120] = 255
    assert share(image, MIDDLE) > 0.95
    assert glass_share(image, MIDDLE) < 0.01


def test_black_fill_is_no_tissue(rng):
    image = slide_of(rng, (MIDDLE, PINK))
    image[:, :120] = 0
    assert share(image, MIDDLE) > 0.98
    assert glass_share(image, MIDDLE, np.s_[:, 118:122]) < 0.01


@pytest.mark.parametrize("quality", [20, 40, 75])
@pytest.mark.parametrize("glass", [[255, 255, 255], GLASS], ids=["white", "glass"])
def test_noise_of_jpeg_is_no_tissue(rng, quality, glass):
    def compressed(*parts):
        data = io.BytesIO()
        image = Image.fromarray(slide_of(rng, *parts, glass=np.array(glass)))
        image.save(data, "JPEG", quality=quality)
        return np.asarray(Image.open(data).convert("RGB"))

    assert tissue_mask(compressed()).mean() < 0.01
    image = compressed((MIDDLE, PALE), (STROKE, [30, 60, 160]))
    assert share(image, MIDDLE) > 0.95
    assert glass_share(image, np.s_[90:230, 140:270], np.s_[10:60, :]) < 0.02


@pytest.mark.parametrize("loss", [0.2, 0.4])
@pytest.mark.parametrize("color", [PINK, PALE], ids=["strong", "pale"])
def test_vignetting_is_no_tissue(rng, loss, color):
    rows, cols = (np.linspace(-1, 1, edge) for edge in SHAPE)
    light = 1 - loss / 2 * (rows[:, None] ** 2 + cols**2)
    image = (slide_of(rng, (MIDDLE, color)) * light[..., None]).astype(np.uint8)
    assert share(image, MIDDLE) > 0.95
    assert glass_share(image, MIDDLE) < 0.01
    empty = (slide_of(rng) * light[..., None]).astype(np.uint8)
    assert tissue_mask(empty).mean() < 0.01


@pytest.mark.parametrize("color", [PINK, PALE], ids=["strong", "pale"])
@pytest.mark.parametrize("edge", [0, 12, 300], ids=["all", "nearly all", "little"])
def test_much_and_little_tissue(rng, color, edge):
    place = np.s_[edge:, edge:]
    image = slide_of(rng, (place, color))
    assert share(image, place) > 0.95
    if edge:
        assert glass_share(image, place) < 0.01


@pytest.mark.parametrize(
    "color",
    [[230, 212, 226], [234, 220, 231], [222, 236, 226], [216, 214, 230],
     [232, 219, 209], [230, 215, 215]],
    ids=["eosin", "pale eosin", "light green", "hematoxylin", "dab", "aec"],
)  # fmt: skip
@pytest.mark.parametrize("glass", [0, 10, 32], ids=["no", "hardly any", "little"])
def test_pale_tissue_nearly_everywhere_is_not_its_own_glass(rng, color, glass):
    place = np.s_[:, glass:]
    image = slide_of(rng, (place, np.array(color)), texture=6)
    assert share(image, place) > 0.7


@pytest.mark.parametrize(
    "color", [[238, 228, 235], [228, 240, 232]], ids=["eosin", "light green"]
)
def test_what_looks_stained_and_is_left_out_is_measured(rng, color):
    image = slide_of(rng, (MIDDLE, np.array(color)), texture=6)
    nothing = np.ones(SHAPE, bool)
    area = 120 * 110 / (SHAPE[0] * SHAPE[1])
    assert stained_share(image, nothing) == pytest.approx(area, rel=0.2)
    nothing[MIDDLE] = False
    assert stained_share(image, ndimage.binary_erosion(nothing, iterations=4)) < 0.01


@pytest.mark.parametrize("glass", [GLASS, [240, 232, 205], [222, 230, 240]])
def test_glass_and_fill_do_not_look_stained(rng, glass):
    image = slide_of(rng, glass=np.array(glass))
    image[:40], image[:, :40] = 255, 0
    inside = np.zeros(SHAPE, bool)
    inside[50:, 50:] = inside[:30, :30] = True
    assert stained_share(image, inside) < 0.01


def test_grayscale_tissue_is_dark(rng):
    gray = [130, 130, 131]
    assert share(slide_of(rng, (MIDDLE, gray), texture=12), MIDDLE) > 0.98
    everywhere = (np.s_[:, :], gray)
    assert tissue_mask(slide_of(rng, everywhere, texture=12)).mean() > 0.95


def test_dust_makes_no_tile(rng):
    specks = [(np.s_[y : y + 4, y : y + 4], [60, 60, 60]) for y in range(20, 300, 40)]
    found = TissueMask(tissue_mask(slide_of(rng, *specks)), 32.0)
    ys, xs = np.mgrid[0:10, 0:12].reshape(2, -1) * 1024
    boxes = np.stack([ys, xs, np.full_like(ys, 1024), np.full_like(xs, 1024)], axis=1)
    assert found.fractions(boxes).max() < 0.1


def written(tmp_path, image, mpp=None):
    path = tmp_path / "a.tif"
    tags = {"resolution": (10000 / mpp,) * 2, "resolutionunit": 3} if mpp else {}
    tifffile.imwrite(path, image, photometric="rgb", **tags)
    return open_slide(path)


@pytest.mark.parametrize("mpp", [None, 0.5])
def test_fractions_are_shares_of_boxes(tmp_path, rng, mpp):
    image = noisy(rng, GLASS, (600, 800))
    image[200:600, 200:800] = noisy(rng, PINK, (400, 600))
    slide = written(tmp_path, image, mpp)
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


def test_the_mask_of_a_slide_has_its_place(tmp_path, rng):
    image = noisy(rng, GLASS, (610, 790))
    image[320:480, 160:640] = noisy(rng, PINK, (160, 480))
    slide = written(tmp_path, image, 0.5)
    found = find_tissue(slide, 256)
    slide.close()
    assert found.downsample == 16
    assert found.mask.shape == (39, 50)
    assert found.mask[21:29, 11:39].all()
    assert found.mask.sum() == pytest.approx(10 * 30, abs=20)
