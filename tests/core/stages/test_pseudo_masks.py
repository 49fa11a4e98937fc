from dataclasses import replace

import numpy as np
import pytest

from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError, ProjectError
from segmix_core.events import Warned
from segmix_core.runs.inputs import find_inputs
from segmix_core.runs.results import (
    create_cams,
    load_tiles,
    mask_ids,
    open_mask,
    save_tiles,
)
from segmix_core.stages.stored_maps import ImageMaps, StoredMaps


@pytest.fixture
def painted(slide):
    """Maps that know it all: class 1 left of column 128 of the slide, class 2 right."""
    run = slide.folder("cams")
    with slide.store() as store:
        tiles = store.tiles()
    cams = create_cams(run.path, len(tiles), 2, (8, 8))
    for row in range(len(tiles)):
        x = tiles.box(row).x / 2
        is_right = x + 8 * np.arange(8) + 4 > 128
        cams[row] = np.stack([~is_right, is_right])[:, None] * np.full((8, 1), 255)
    columns = {
        "tile_ids": tiles.ids,
        "probabilities": np.ones((len(tiles), 2), np.float32),
        "scales": np.ones((len(tiles), 2), np.float32),
        "valid": np.full((len(tiles), 2), 8),
        "stride": np.asarray(8),
        "shared_foreground": np.asarray(False),
        "class_names": np.array(["plain", "striped"]),
    }
    save_tiles(run.path, columns)
    return run.path


def unlabel(workshop):
    with workshop.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids, np.full((len(ids), 2), -1, np.int8))


def test_every_image_has_a_mask_of_its_size_and_every_tile_a_doubt(finished_folder):
    (run,) = find_inputs(finished_folder.project / "runs", "train-segmenter").values()
    with finished_folder.store() as store:
        images, tiles = store.images(), store.tiles()
    assert mask_ids(run) == tuple(image.id for image in images)
    for image in images:
        mask = open_mask(run, image.id)
        assert mask.shape == image.working_shape
        assert set(np.unique(mask[:])) <= {0, 1, 2, 255}
    columns = load_tiles(run)
    assert columns["tile_ids"].tolist() == tiles.ids.tolist()
    assert ((columns["doubt"] >= 0) & (columns["doubt"] <= 1)).all()


def test_maps_become_masks_at_their_place(slide, painted):
    unlabel(slide)
    changes = {"pseudo_masks.background": "none"}
    run = slide.run("pseudo-masks", inputs={"cams": painted}, changes=changes)
    mask = open_mask(run.path, 1)[:]
    assert mask.shape == (192, 272)
    assert (mask[:160, :112] == 1).all()
    assert (mask[:160, 144:240] == 2).all()


def test_overlapping_tiles_agree(slide, painted):
    # Alone, every tile of one class would call all its pixels that class.
    unlabel(slide)
    run = slide.run("pseudo-masks", inputs={"cams": painted})
    mask = open_mask(run.path, 1)[:]
    with slide.store() as store:
        covered = np.zeros(mask.shape, bool)
        for box in store.tiles().boxes // 2:
            y, x, height, width = box
            covered[y : y + height, x : x + width] = True
    assert (mask[~covered] == 255).all()
    assert (mask[: 192 // 8 - 4][covered[: 192 // 8 - 4]] == 0).all()


def test_free_windows_share_the_mean_of_their_maps(slide, painted):
    # The first and the last overlap; in reading order, and from left to right, others
    # lie between them.
    boxes = [(0, 20), (0, 300), (200, 60), (100, 100)]
    with slide.store() as store:
        (image,), tiles = store.images(), store.tiles().take(np.arange(4))
    tiles = replace(
        tiles,
        boxes=np.array([(y, x, 128, 128) for y, x in boxes]),
        labels=np.full((4, 2), -1, np.int8),
    )
    maps = StoredMaps(painted)
    with TileReader([image]) as reader:
        free = ImageMaps(image, tiles, maps, reader)
        first, last = (free.evidence(row, with_pixels=False) for row in (0, 3))
    # Windows of 64 working pixels at (0, 10) and (50, 50), on cells of 8.
    np.testing.assert_array_equal(first.cam[:, 6:, 5:], last.cam[:, :2, :3])
    own = [maps.cam(int(tiles.ids[row])) for row in (0, 3)]
    np.testing.assert_allclose(
        first.cam[:, 6:, 5:], (own[0][:, 6:, 5:] + own[1][:, :2, :3]) / 2
    )
    np.testing.assert_array_equal(first.cam[:, :6], own[0][:, :6])


def test_of_overlapping_tiles_with_other_labels_the_last_one_wins(slide, painted):
    with slide.store() as store:
        tiles = store.tiles()
        labels = np.tile(np.array([[1, 0]], np.int8), (len(tiles), 1))
        labels[-1] = 0, 1
        store.set_labels(tiles.ids, labels)
        last = tiles.box(len(tiles) - 1).scaled(0.5)
    changes = {"pseudo_masks.background": "none"}
    run = slide.run("pseudo-masks", inputs={"cams": painted}, changes=changes)
    mask = open_mask(run.path, 1)[:]
    assert (mask[last.slices] == 2).all()
    mask[last.slices] = 1
    assert (mask == 1).all()


def test_a_weak_class_keeps_its_levels_and_its_order(slide, painted):
    unlabel(slide)
    columns = load_tiles(painted)
    weak = np.tile(np.float32([1.0, 0.25]), (len(columns["tile_ids"]), 1))
    save_tiles(painted, columns | {"scales": weak})
    changes = {"pseudo_masks.background": "score"}
    changes |= {"pseudo_masks.background_score": 0.5}
    run = slide.run("pseudo-masks", inputs={"cams": painted}, changes=changes)
    # Where both classes are in a tile, the weak one loses against the background.
    assert (open_mask(run.path, 1)[:160, 134:160] == 0).all()
    changes |= {"pseudo_masks.normalization": "class"}
    run = slide.run("pseudo-masks", inputs={"cams": painted}, changes=changes)
    assert (open_mask(run.path, 1)[:160, 144:160] == 2).all()


def test_an_absent_label_forbids_a_class(slide, painted):
    with slide.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids, [[1, 0]] * len(ids))
    run = slide.run("pseudo-masks", inputs={"cams": painted})
    assert set(np.unique(open_mask(run.path, 1)[:])) <= {0, 1, 255}


def test_a_tile_that_was_lost_after_its_map_is_named_and_left_out(folder):
    with folder.store() as store:
        image, lost = store.images()[2], store.tiles().ids[2]
    former = folder.run("pseudo-masks")
    image.path.unlink()
    run = folder.run("pseudo-masks")
    (warning,) = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    assert warning.startswith(f"Skipped tile {image.path.name}: ")
    assert str(image.path) in warning
    assert (run.ended().results["tiles"], run.ended().results["unreadable"]) == (11, 1)
    before, after = (load_tiles(one.path) for one in (former, run))
    others = before["tile_ids"] != lost
    for name in ("tile_ids", "doubt"):
        assert after[name].tolist() == before[name][others].tolist()
    assert mask_ids(run.path) == tuple(
        i for i in mask_ids(former.path) if i != image.id
    )
    for image_id in mask_ids(run.path):
        masks = (open_mask(one.path, image_id)[:] for one in (former, run))
        np.testing.assert_array_equal(*masks)
    # The next stage learns from the others.
    segmenter = folder.run("train-segmenter", inputs={"pseudo-masks": run.path})
    assert segmenter.ended().results["tiles"] == 11


def test_a_chosen_image_that_is_lost_ends_the_stage(folder):
    with folder.store() as store:
        image = store.images()[2]
    image.path.unlink()
    with pytest.raises(JobError, match=r"1 of 1 tiles cannot be read"):
        folder.attempt("pseudo-masks", options={"image_ids": [image.id]})


def test_chosen_images_only(folder):
    run = folder.run("pseudo-masks", options={"image_ids": [3]})
    assert mask_ids(run.path) == (3,)
    assert len(load_tiles(run.path)["tile_ids"]) == 1
    with pytest.raises(ProjectError, match="images with tiles"):
        folder.attempt("pseudo-masks", options={"image_ids": [99]})


def test_a_stop_ends_within_a_tile(folder):
    writer = folder.stop("pseudo-masks", after=2)
    assert writer.stopped
    assert writer.asked == 2
    assert not (writer.folder.path / "tiles.npz").exists()


def test_a_renamed_class_changes_nothing(folder):
    with folder.store() as store:
        store.rename_class(2, "lines")
    folder.run("pseudo-masks")


def test_another_class_with_the_same_index_asks_for_new_maps(folder):
    base = folder.run("cams").path
    columns = load_tiles(base)
    save_tiles(base, {**columns, "class_names": np.array(["plain", "dotted"])})
    with pytest.raises(JobError, match=r"dotted is now striped.*segmix cams"):
        folder.attempt("pseudo-masks")


@pytest.mark.parametrize("column", ["class_names", "shared_foreground", "scales"])
def test_maps_that_do_not_say_what_they_are_of(folder, column):
    base = folder.run("cams").path
    columns = dict(load_tiles(base))
    del columns[column]
    save_tiles(base, columns)
    with pytest.raises(JobError, match=f"invalid {column}.*segmix cams"):
        folder.attempt("pseudo-masks")


def test_an_added_class_asks_for_new_maps(folder):
    with folder.store() as store:
        store.add_class("third")
    with pytest.raises(JobError, match=r"CAMs have 2 classes.* has 3.*segmix cams"):
        folder.attempt("pseudo-masks")


def test_maps_of_tiles_that_are_gone(folder, slide, painted):
    columns = load_tiles(painted)
    save_tiles(painted, columns | {"tile_ids": columns["tile_ids"] + 1000})
    with pytest.raises(JobError, match=r"no longer in the project.*segmix cams"):
        slide.attempt("pseudo-masks", inputs={"cams": painted})


def test_a_run_without_maps_is_named(folder):
    (cams,) = find_inputs(folder.project / "runs", "pseudo-masks").values()
    (cams / "tiles.npz").unlink()
    with pytest.raises(JobError, match="has no table of tiles"):
        folder.attempt("pseudo-masks", inputs={"cams": cams})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("valid", np.zeros((1, 2), int)),
        ("valid", np.full((1, 2), 9)),
        ("scales", np.ones((1, 3))),
        ("probabilities", np.ones((1, 1))),
        ("stride", None),
    ],
)
def test_columns_that_do_not_fit_the_maps_are_named(slide, painted, name, values):
    columns = load_tiles(painted)
    count = len(columns["tile_ids"])
    if values is None:
        del columns[name]
    else:
        columns[name] = np.repeat(values, count, axis=0)
    save_tiles(painted, columns)
    with pytest.raises(JobError, match=f"has an invalid {name}"):
        slide.attempt("pseudo-masks", inputs={"cams": painted})


def test_the_working_grid_of_the_slide_tells_the_area(slide):
    # 0.25 µm at level 0, worked on at 0.5 µm: a pixel of the mask is 0.25 µm².
    with slide.store() as store:
        (image,) = store.images()
    assert image.working_mpp == pytest.approx(0.5)
    everything = {"pseudo_masks.min_object_um2": 64 * 64 * 0.25 + 1}
    run = slide.run("pseudo-masks", changes=everything)
    assert (open_mask(run.path, 1)[:] == 255).all()
    # The pixels of the setting alone would keep the same objects.
    run = slide.run("pseudo-masks", changes={"pseudo_masks.min_object_um2": 0.25})
    assert (open_mask(run.path, 1)[:] != 255).any()
