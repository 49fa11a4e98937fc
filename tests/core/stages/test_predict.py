from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from segmix_core.errors import CheckpointError, ProjectError
from segmix_core.events import StageStarted
from segmix_core.export.label_tiff import sidecar_path
from segmix_core.geometry import Box
from segmix_core.inference.windows import count_windows
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.models.precision import has_bf16
from segmix_core.models.segmenter import load_segmenter
from segmix_core.runs import find_latest
from segmix_core.runs.results import load_tiles, mask_ids, open_mask
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.region import read_region
from segmix_core.stages.predict import _outside


def latest(workshop, stage):
    return find_latest(workshop.project / "runs", stage)


def test_masks_tiffs_and_doubts_agree(slide):
    run = slide.run("predict")
    (path,) = run.ended().results["files"]
    assert path == str(slide.project / "exports" / "slide é [1].ome.tif")
    mask = open_mask(run.path, 1)[:]
    assert mask.shape == (192, 272)
    assert set(np.unique(mask)) <= {0, 1, 2, 255}
    np.testing.assert_array_equal(tifffile.imread(path, level=0), mask)
    columns = load_tiles(run.path)
    with slide.store() as store:
        assert columns["tile_ids"].tolist() == store.tiles().ids.tolist()
    assert ((columns["doubt"] >= 0) & (columns["doubt"] <= 1)).all()


def test_a_new_prediction_takes_no_correction_back(slide):
    with slide.store() as store:
        store.correct_mask(1, Box(10, 20, 30, 40), np.full((30, 40), 2, np.uint8))
        store.correct_mask(1, Box(60, 20, 30, 40), np.full((30, 40), 1, np.uint8))
    run = slide.run("predict")
    (path,) = run.ended().results["files"]
    exported = tifffile.imread(path, level=0)
    assert (exported[10:40, 20:60] == 2).all()
    assert (exported[60:90, 20:60] == 1).all()
    untouched = np.ones(exported.shape, bool)
    untouched[10:40, 20:60] = untouched[60:90, 20:60] = False
    mask = open_mask(run.path, 1)[:]
    np.testing.assert_array_equal(exported[untouched], mask[untouched])


def test_windows_are_the_slow_twins(slide):
    """One window over everything is the segmenter asked directly."""
    changes = {"predict.window_px": 512, "predict.overlap_px": 0}
    run = slide.run("predict", changes=changes)
    with slide.store() as store:
        (image,) = store.images()
    source = open_slide(image.path)
    pixels = read_region(source, Box(0, 0, 384, 544), (192, 272))
    source.close()
    checkpoint = load_checkpoint(
        latest(slide, "train-segmenter").checkpoints_path / "last"
    )
    segmenter = load_segmenter(checkpoint)
    with torch.no_grad():
        logits = segmenter(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
    best = np.array(segmenter.class_indices)[logits[0].argmax(0).numpy()]
    assert (open_mask(run.path, 1)[:] == best).mean() > 0.999


@pytest.mark.skipif(
    not has_bf16(torch.device("cpu")), reason="needs a processor with bf16"
)
def test_predictions_in_bf16_are_nearly_the_same(slide):
    exact, rough = (
        open_mask(slide.run("predict", changes={"machine.precision": name}).path, 1)[:]
        for name in ("float32", "auto")
    )
    assert 0.99 < (exact == rough).mean() < 1


def test_small_images_keep_their_size(finished_folder):
    run = latest(finished_folder, "predict")
    with finished_folder.store() as store:
        images = store.images()
    assert mask_ids(run.path) == tuple(image.id for image in images)
    for image, path in zip(images, run.ended().results["files"], strict=True):
        mask = open_mask(run.path, image.id)[:]
        assert mask.shape == (image.height, image.width)
        np.testing.assert_array_equal(tifffile.imread(path), mask)


def test_images_and_format_can_be_chosen(folder):
    options = {"image_ids": [3, 4], "format": "generic"}
    run = folder.run("predict", options=options)
    assert mask_ids(run.path) == (3, 4)
    assert run.ended().results["files"] == [
        str(folder.project / "exports" / name)
        for name in ("tile 02.tif", "tile 03.tif")
    ]
    with pytest.raises(ProjectError, match="images to predict"):
        folder.attempt("predict", options={"image_ids": [99]})


def test_progress_counts_windows(slide):
    run = slide.run("predict")
    (started,) = [e for e in run.events()[0] if isinstance(e, StageStarted)]
    assert started.total_steps == count_windows((192, 272), 96, 16)
    assert run.status().step == started.total_steps


@pytest.mark.parametrize("after", [1, 4])
def test_a_stop_ends_within_a_window_and_leaves_exports_alone(slide, after):
    before = {p.name: p.read_bytes() for p in (slide.project / "exports").iterdir()}
    writer = slide.stop("predict", after=after)
    assert writer.stopped
    assert writer.asked == after
    assert not (writer.folder.path / "tiles.npz").exists()
    files = {p.name: p.read_bytes() for p in (slide.project / "exports").iterdir()}
    assert files == before


def test_windows_that_touch_no_tile_are_skipped():
    is_outside = _outside(np.array([[10, 20, 5, 5], [0, 0, 4, 4]], np.int64))
    assert is_outside(Box(4, 4, 6, 16))
    assert is_outside(Box(15, 20, 5, 5))
    assert not is_outside(Box(14, 24, 5, 5))
    assert not is_outside(Box(0, 0, 100, 100))


def test_weights_for_fewer_classes_are_refused(folder):
    with folder.store() as store:
        store.add_class("third")
    with pytest.raises(CheckpointError, match="third is new"):
        folder.attempt("predict")


def test_a_renamed_class_is_in_the_file(folder):
    with folder.store() as store:
        store.rename_class(1, "smooth")
    run = folder.run("predict", options={"image_ids": [1]})
    (path,) = run.ended().results["files"]
    text = sidecar_path(Path(path)).read_text(encoding="utf-8")
    assert "smooth" in text
