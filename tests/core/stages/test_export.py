import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from segmix_core.disk_errors import export_error
from segmix_core.errors import JobError
from segmix_core.events import Warned
from segmix_core.export.label_tiff import sidecar_path
from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.project.store import ProjectStore
from segmix_core.runs import find_latest
from segmix_core.runs.results import open_mask
from segmix_core.stages import export
from segmix_core.stages.export import export_frame, export_paths


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
    with pytest.raises(JobError, match=r"has no masks of the chosen.*predict these"):
        folder.attempt("export", options={"image_ids": [99]})


def correct(workshop, image_id, value=1):
    """Set 10 x 20 pixels of an image; return the box."""
    box = Box(4, 7, 10, 20)
    with workshop.store() as store:
        store.correct_mask(image_id, box, np.full((10, 20), value, np.uint8))
    return box


def check_only_corrected(path, box, value=1):
    pixels = tifffile.imread(path, level=0)
    expected = np.full(pixels.shape, 255, np.uint8)
    expected[box.slices] = value
    np.testing.assert_array_equal(pixels, expected)


def warnings_of(run):
    return [e.message for e in run.events()[0] if isinstance(e, Warned)]


@pytest.mark.parametrize("crop", [False, True])
def test_corrections_need_no_run(folder, crop):
    box = correct(folder, 2)
    shutil.rmtree(folder.project / "runs")
    run = folder.run("export", inputs={}, options={"crop_to_bounds": crop})
    results = run.ended().results
    assert [Path(path).name for path in results["files"]] == ["tile 01.ome.tif"]
    assert results["only_corrections"] == results["files"]
    check_only_corrected(results["files"][0], box)
    assert warnings_of(run) == [
        "No run has a mask of tile 01.png. Only corrected pixels are exported; all "
        "others are 255 (undecided)."
    ]


def test_corrections_are_exported_where_a_run_left_an_image_out(folder):
    box, base = (
        correct(folder, 2, value=0),
        find_latest(folder.project / "runs", "predict"),
    )
    correct(folder, 3, value=0)
    for image_id in ("2", "3"):
        shutil.rmtree(base.path / "masks.zarr" / image_id)
    run = folder.run("export")
    results = run.ended().results
    with folder.store() as store:
        assert len(results["files"]) == len(store.images())
    names = [Path(path).name for path in results["only_corrections"]]
    assert names == ["tile 01.ome.tif", "tile 02.ome.tif"]
    for path in results["only_corrections"]:
        check_only_corrected(path, box, value=0)
    (warned,) = warnings_of(run)
    assert "of tile 01.png and 1 more images." in warned


def test_nothing_to_export_without_run_and_corrections(folder):
    correct(folder, 2)
    with folder.store() as store:
        assert store.corrected_images() == {2}
        store.undo("masks")
        assert store.corrected_images() == set()
    with pytest.raises(JobError, match="The project has no masks of the chosen"):
        folder.attempt("export", inputs={})


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


def test_an_image_that_fails_stops_no_other(folder):
    place = folder.project / "exports" / "tile 01.ome.tif"
    place.unlink()
    place.mkdir()
    run = folder.run("export")
    results = run.ended().results
    with folder.store() as store:
        images = store.images()
    assert len(results["files"]) == len(images) - 1
    (path,) = results["failed"]
    assert path.endswith("tile 01.png")
    assert "cannot be written" in results["failed"][path]
    warned = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    assert warned[0].startswith("tile 01.png was not exported: ")
    options = {"image_ids": [2]}
    with pytest.raises(JobError, match=r"No image was exported: .* cannot be written"):
        folder.attempt("export", options=options)


def test_a_damaged_mask_stops_no_other(folder):
    base = find_latest(folder.project / "runs", "predict")
    chunk = base.path / "masks.zarr" / "2" / "c" / "0" / "0"
    chunk.write_bytes(b"garbage")
    failed = folder.run("export").ended().results["failed"]
    assert ["masks.zarr/2 is damaged at c/0/0" in why for why in failed.values()]


def test_a_full_disk_stops_all(folder, monkeypatch):
    def fail(*_args, **_options):
        raise export_error(Path("x.tif"), full) from full

    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(export, "write_label_tiff", fail)
    with pytest.raises(JobError, match=r"No space left.*Free some space"):
        folder.attempt("export")


def test_formats_that_do_not_exist_are_refused(folder):
    for wrong in ("png", 3, ["ome"]):
        with pytest.raises(JobError, match="is not a valid format"):
            folder.attempt("export", options={"format": wrong})


class TestBounds:
    """A slide of which the scanner marked a part."""

    @pytest.fixture
    def bounded(self, slide, monkeypatch):
        bounds = Box(60, 101, 200, 300)
        images = ProjectStore.images

        def marked(store, *args):
            return tuple(replace(i, bounds=bounds) for i in images(store, *args))

        monkeypatch.setattr(ProjectStore, "images", marked)
        return slide

    def test_are_told_and_kept(self, bounded):
        run = bounded.run("export")
        (warned,) = [e for e in run.events()[0] if isinstance(e, Warned)]
        assert "300 x 200 of " in warned.message
        assert "--crop-to-bounds" in warned.message
        (path,) = run.ended().results["files"]
        content = json.loads(sidecar_path(Path(path)).read_text("utf-8"))
        assert content["bounds"] == {
            "y": 60,
            "x": 101,
            "height": 200,
            "width": 300,
            "unit": "level-0 pixel",
        }
        assert content["origin"]["y"] == content["origin"]["x"] == 0

    def test_are_what_is_exported_if_wanted(self, bounded):
        (whole,) = bounded.run("export").ended().results["files"]
        pixels = tifffile.imread(whole, level=0)
        run = bounded.run("export", options={"crop_to_bounds": True})
        assert not [e for e in run.events()[0] if isinstance(e, Warned)]
        (path,) = run.ended().results["files"]
        # Two level-0 pixels a working pixel: 60..260 and 101..401.
        np.testing.assert_array_equal(
            tifffile.imread(path, level=0), pixels[30:130, 51:201]
        )
        content = json.loads(sidecar_path(Path(path)).read_text("utf-8"))
        assert (content["origin"]["y"], content["origin"]["x"]) == (60, 102)

    def test_outside_the_image_are_none(self, bounded):
        with bounded.store() as store:
            image = replace(store.images()[0], bounds=Box(9000, 9000, 5, 5))
        whole = export_frame(image, crop=True)
        assert (whole.height, whole.width) == image.working_shape


def test_pixels_that_are_not_square(slide, monkeypatch):
    images = ProjectStore.images

    def stretched(store, *args):
        return tuple(replace(i, mpp_y=0.25, mpp_x=0.5) for i in images(store, *args))

    monkeypatch.setattr(ProjectStore, "images", stretched)
    (path,) = slide.run("export").ended().results["files"]
    with tifffile.TiffFile(path) as tiff:
        assert 'PhysicalSizeX="1.0"' in tiff.ome_metadata
        assert 'PhysicalSizeY="0.5"' in tiff.ome_metadata
        page = tiff.pages.first
        assert page.get_resolution("MICROMETER") == pytest.approx((1.0, 2.0))
    content = json.loads(sidecar_path(Path(path)).read_text("utf-8"))
    assert (content["mpp_y"], content["mpp_x"]) == (0.5, 1.0)
    assert content["mpp"] == pytest.approx(0.5**0.5)
