from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.errors import ProjectError, SlideError
from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.intake.tissue import (
    detect_tissue,
    load_tissue_png,
    paint_tissue,
    read_tissue,
    save_tissue_png,
    set_tissue,
)
from segmix_core.project.records import UNCHANGED, Tissue
from segmix_core.project.store import ProjectStore

GLASS, PINK = (243, 242, 244), (222, 140, 180)
PX = 64


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def slide(tmp_path, rng):
    """A slide of 6 x 8 tiles with tissue in the left half."""
    image = rng.normal(GLASS, 2, (6 * PX, 8 * PX, 3))
    image[:, : 4 * PX] = rng.normal(PINK, 4, (6 * PX, 4 * PX, 3))
    path = tmp_path / "slide.tif"
    pixels = image.clip(0, 255).astype(np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64))
    return path


@pytest.fixture
def store(tmp_path, slide):
    with ProjectStore.create(tmp_path / "p.segmix", ["a", "b"]) as opened:
        add_paths(opened, [slide], tile_px=PX, min_tissue=0.5)
        yield opened


@pytest.fixture
def bare(store):
    """The same project as one of before: no tissue is stored."""
    with store._database.transaction() as connection:
        connection.execute("DELETE FROM tissue")
    return store


def cols(store):
    return sorted(set(store.tiles().cols.tolist()))


def painted(store, value, x0, x1):
    """Paint all rows of the tile columns x0..x1."""
    base = read_tissue(store, 1)
    step = round(PX / base.downsample)
    box = Box(0, x0 * step, base.mask.shape[0], (x1 - x0) * step)
    values = np.full((box.height, box.width), value, np.uint8)
    return paint_tissue(store, 1, box, values, base)


def test_a_slide_is_stored_with_what_it_was_cut_by(store, slide):
    found = store.tissue(1)
    assert found.min_share == 0.5
    assert found.mask.shape == (96, 128)
    assert found.downsample == 4
    assert found.mask[:, :63].all()
    assert not found.mask[:, 65:].any()
    slide.unlink()
    assert read_tissue(store, 1).mask.tolist() == found.mask.tolist()


def test_painting_adds_tiles_and_erasing_hides_them(store):
    tiles = store.tiles()
    store.set_labels(tiles.ids, np.tile(np.int8([1, 0]), (24, 1)))
    assert painted(store, 1, 4, 6) is not None
    assert cols(store) == [0, 1, 2, 3, 4, 5]
    painted(store, 0, 0, 2)
    assert cols(store) == [2, 3, 4, 5]
    painted(store, 1, 0, 1)
    now = store.tiles()
    assert cols(store) == [0, 2, 3, 4, 5]
    known = np.isin(now.ids, tiles.ids)
    assert (now.labels[known] == [1, 0]).all()
    assert (now.labels[~known] == -1).all()
    assert set(now.cols[known].tolist()) == {0, 2, 3}


def test_the_share_asked_for_stays(store):
    # A third of the tiles in column 4.
    base = read_tissue(store, 1)
    values = np.ones((96, 5), np.uint8)
    paint_tissue(store, 1, Box(0, 64, 96, 5), values, base)
    assert cols(store) == [0, 1, 2, 3]
    paint_tissue(store, 1, Box(0, 64, 96, 9), np.ones((96, 9), np.uint8), base)
    assert cols(store) == [0, 1, 2, 3, 4]


def test_what_others_paint_meanwhile_stays(store):
    base = read_tissue(store, 1)
    painted(store, 1, 6, 8)
    values = np.full((96, 128), UNCHANGED, np.uint8)
    values[:, 64:80] = 1
    paint_tissue(store, 1, Box(0, 0, 96, 128), values, base)
    assert cols(store) == [0, 1, 2, 3, 4, 6, 7]


def test_undo_brings_tiles_and_mask_back(store):
    before = store.tiles().ids.tolist(), store.tissue(1).mask.tolist()
    painted(store, 1, 6, 8)
    store.undo("labels")
    assert (store.tiles().ids.tolist(), store.tissue(1).mask.tolist()) == before


def test_a_slide_of_before_is_looked_at_and_then_stored(bare, slide):
    found = read_tissue(bare, 1)
    assert bare.tissue(1) is None
    assert found.min_share == 0.25
    painted(bare, 1, 6, 8)
    assert bare.tissue(1).mask[:, 96:].all()
    assert cols(bare) == [0, 1, 2, 3, 6, 7]


def test_a_missing_slide_says_so(bare, slide):
    slide.unlink()
    with pytest.raises(SlideError, match=r"slide\.tif"):
        read_tissue(bare, 1)


def test_reset_is_what_the_pixels_say(store):
    first = store.tissue(1)
    painted(store, 1, 6, 8)
    again = detect_tissue(store, 1)
    assert again.mask.tolist() == first.mask.tolist()
    assert again.min_share == 0.5
    set_tissue(store, 1, again)
    assert cols(store) == [0, 1, 2, 3]


def test_the_last_tile_cannot_be_erased(store):
    with pytest.raises(ProjectError, match=r"slide\.tif would have no tiles left"):
        painted(store, 0, 0, 8)
    assert cols(store) == [0, 1, 2, 3]
    assert store.tissue(1).mask.any()


def test_a_folder_of_tiles_has_no_tissue(store, tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    add_paths(store, [folder])
    image = store.images()[-1]
    with pytest.raises(ProjectError, match="is a folder of tiles"):
        read_tissue(store, image.id)
    with pytest.raises(ProjectError, match="is a folder of tiles"):
        set_tissue(store, image.id, store.tissue(1))


def test_another_resolution_is_refused(store):
    base = Tissue(np.ones((6, 8), bool), 64.0, 0.5)
    with pytest.raises(ProjectError, match="at a different resolution"):
        paint_tissue(store, 1, Box(0, 0, 6, 8), np.ones((6, 8), np.uint8), base)


@pytest.mark.parametrize(
    ("box", "value"), [(Box(0, 0, 97, 4), 1), (Box(0, 0, 4, 4), 2)]
)
def test_wrong_paint(store, box, value):
    values = np.full((box.height, box.width), value, np.uint8)
    with pytest.raises(ValueError, match=r"do not fit|must be"):
        paint_tissue(store, 1, box, values, read_tissue(store, 1))


def test_a_png_comes_back_as_it_was_saved(store, tmp_path, rng):
    like = store.tissue(1)
    given = Tissue(rng.random(like.mask.shape) < 0.3, like.downsample, 0.1)
    save_tissue_png(given, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "L"
        assert set(np.unique(np.asarray(image))) == {0, 255}
    loaded = load_tissue_png(tmp_path / "mask.png", like)
    assert loaded.mask.tolist() == given.mask.tolist()
    assert loaded.min_share == 0.5


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
@pytest.mark.parametrize("size", [(512, 384), (64, 48), (8, 6), (513, 384)])
def test_masks_of_other_programs(store, tmp_path, mode, size):
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    image = Image.fromarray(mask)
    (image.convert("RGB").quantize(8) if mode == "P" else image.convert(mode)).save(
        tmp_path / "m.png"
    )
    loaded = load_tissue_png(tmp_path / "m.png", store.tissue(1))
    assert loaded.mask[:, 66:].all()
    assert not loaded.mask[:, :62].any()


@pytest.mark.parametrize(
    "size", [(500, 300), (300, 500), (8, 10), (8, 7), (8, 5), (9, 8)]
)
def test_masks_of_another_image(store, tmp_path, size):
    Image.new("L", size, 255).save(tmp_path / "m.png")
    with pytest.raises(ProjectError, match="does not have the aspect ratio"):
        load_tissue_png(tmp_path / "m.png", store.tissue(1))


@pytest.mark.parametrize("size", [(1, 1), (4, 3), (7, 5), (1, 7)])
def test_masks_too_small_to_have_a_shape(store, tmp_path, size):
    Image.new("L", size, 255).save(tmp_path / "m.png")
    with pytest.raises(ProjectError, match=r"too small for.*needs at least 8 pixels"):
        load_tissue_png(tmp_path / "m.png", store.tissue(1))


def test_a_small_mask_of_a_small_slide(tmp_path):
    like = Tissue(np.ones((2, 3), np.bool_), 64.0, 0.5)
    save_tissue_png(replace(like, mask=~like.mask), tmp_path / "m.png")
    assert not load_tissue_png(tmp_path / "m.png", like).mask.any()


def test_files_that_are_no_masks(store, tmp_path):
    like = store.tissue(1)
    (tmp_path / "a.png").write_bytes(b"no image")
    for name in ("a.png", "missing.png"):
        with pytest.raises(ProjectError, match="cannot be read as an image"):
            load_tissue_png(tmp_path / name, like)
    Image.new("1", (9000, 8000)).save(tmp_path / "large.png")
    with pytest.raises(ProjectError, match="too large for a tissue mask"):
        load_tissue_png(tmp_path / "large.png", like)
    with pytest.raises(ProjectError, match="cannot be written"):
        save_tissue_png(like, tmp_path / "none" / "m.png")
