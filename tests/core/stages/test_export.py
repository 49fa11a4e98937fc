import shutil

import numpy as np
import pytest
import tifffile

from segmix_core.errors import JobError
from segmix_core.export.label_tiff import sidecar_path
from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.runs import find_latest
from segmix_core.runs.results import open_mask
from segmix_core.stages import export
from segmix_core.stages.export import export_paths


def test_the_file_is_the_mask_with_corrections(slide):
    base = find_latest(slide.project / "runs", "predict")
    expected = open_mask(base.path, 1)[:]
    patch = np.full((20, 30), 254, np.uint8)
    patch[:10] = 1
    patch[10:, :15] = 255
    with slide.store() as store:
        store.correct_mask(1, Box(100, 200, 20, 30), patch)
    expected[100:110, 200:230] = 1
    expected[110:120, 200:215] = 255
    (path,) = slide.run("export").ended().results["files"]
    np.testing.assert_array_equal(tifffile.imread(path, level=0), expected)


def test_bands_are_the_whole(slide, monkeypatch):
    (whole,) = slide.run("export").ended().results["files"]
    pixels = tifffile.imread(whole, level=0)
    monkeypatch.setattr(export, "BAND_ROWS", 50)
    (again,) = slide.run("export").ended().results["files"]
    np.testing.assert_array_equal(tifffile.imread(again, level=0), pixels)


def test_pseudo_masks_can_be_exported(slide):
    base = find_latest(slide.project / "runs", "pseudo-masks")
    run = slide.run("export", inputs={"pseudo-masks": base.path})
    (path,) = run.ended().results["files"]
    np.testing.assert_array_equal(
        tifffile.imread(path, level=0), open_mask(base.path, 1)[:]
    )


@pytest.mark.parametrize(
    ("layout", "suffix"), [("ome", ".ome.tif"), ("generic", ".tif")]
)
def test_format_and_images_can_be_chosen(folder, layout, suffix):
    run = folder.run("export", options={"format": layout, "image_ids": [2]})
    assert run.ended().results["files"] == [
        str(folder.project / "exports" / f"tile 01{suffix}")
    ]


def test_a_file_says_its_classes_and_pixel_size(slide):
    (path,) = slide.run("export").ended().results["files"]
    text = sidecar_path(export.Path(path)).read_text(encoding="utf-8")
    assert "striped" in text
    with tifffile.TiffFile(path) as tiff:
        assert 'PhysicalSizeX="0.5"' in tiff.ome_metadata


def test_images_without_masks_are_refused(folder):
    with pytest.raises(JobError, match=r"none of the chosen images.*predict these"):
        folder.attempt("export", options={"image_ids": [99]})


@pytest.mark.parametrize("after", [1, 2])
def test_a_stop_leaves_nothing_half_written(folder, after):
    shutil.rmtree(folder.project / "exports")
    writer = folder.stop("export", after=after)
    assert writer.stopped
    assert writer.asked == after
    names = folder.exports()
    assert len([name for name in names if name.endswith(".tif")]) == after - 1
    assert not [name for name in names if name.startswith(".")]


def test_images_of_one_name_never_share_a_file(folder, tmp_path):
    with folder.store() as store:
        twin = tmp_path / "other"
        twin.mkdir()
        first = store.images()[0]
        shutil.copy(first.path, twin / first.path.name.upper())
        add_paths(store, [twin])
        images = store.images()
        together = export_paths(store, list(images), "ome")
        apart = [export_paths(store, [image], "ome")[0] for image in images]
    assert len({str(path).casefold() for path in together}) == len(images)
    assert together == apart
    assert together[0].name == f"tile 00_{first.id}.ome.tif"
