"""The page Export."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_segmix.layers.own_layers import find_layer
from napari_segmix.widgets.export_page import ExportPage
from segmix_core.geometry import Box
from segmix_core.runs import RunFolder
from tests.plugin.runs_of_pages import finished, wait


def test_export_needs_masks(show, jobs):
    page = show(ExportPage)
    assert not page.export_button.isEnabled()
    finished(jobs, "pseudo-masks")
    assert page.export_button.isEnabled()


def test_what_covers_the_masks_is_hidden_while_exporting(show, jobs):
    finished(jobs, "pseudo-masks")
    page = show(ExportPage)
    assert not find_layer(jobs.viewer, "tiles").visible
    assert find_layer(jobs.viewer, "mask").visible
    page.hide()
    assert find_layer(jobs.viewer, "tiles").visible


def test_new_masks_are_exported_unless_others_were_chosen(show, jobs):
    finished(jobs, "pseudo-masks")
    page = show(ExportPage)
    finished(jobs, "predict")
    assert page.base.currentText().startswith("Prediction")
    page.base.setCurrentIndex(1)
    page.base.activated.emit(1)
    finished(jobs, "predict")
    assert page.base.count() == 3
    assert page.base.currentText().startswith("Pseudo masks")


def test_export_is_a_run_of_the_chosen_masks(show, jobs, qtbot, slide_file):
    masks = finished(jobs, "pseudo-masks")
    jobs.actions.sources.add([slide_file.rename(slide_file.with_name("second.tif"))])
    page = show(ExportPage)
    page.format.value = "generic"
    page.only_shown.setChecked(True)
    ended = []
    jobs.actions.runs.ended.connect(ended.append)
    page.export_button.click()
    wait(qtbot, lambda: ended)
    request = RunFolder(ended[0].path).request()
    assert request.inputs == {"pseudo-masks": masks.path}
    shown = [
        image.id
        for image in jobs.model.project.store.images(
            jobs.model.project.active_source.id
        )
    ]
    assert request.options == {"format": "generic", "image_ids": shown}


def test_corrections_are_exported_without_a_run(show, jobs, qtbot):
    page = show(ExportPage)
    assert not page.export_button.isEnabled()
    page.hide()
    image = jobs.model.project.store.images()[0]
    jobs.model.project.store.correct_mask(
        image.id, Box(0, 0, 4, 4), np.ones((4, 4), np.uint8)
    )
    page.show()
    assert page.base.currentText() == "Corrections only"
    ended = []
    jobs.actions.runs.ended.connect(ended.append)
    page.export_button.click()
    wait(qtbot, lambda: ended)
    assert RunFolder(ended[0].path).request().inputs == {}
    finished(jobs, "predict")
    assert page.base.count() == 1
    assert page.base.currentText().startswith("Prediction")


def test_scanner_bounds_can_be_exported(show, jobs, qtbot):
    finished(jobs, "pseudo-masks")
    page = show(ExportPage)
    assert page.crop.isHidden()
    project, bounds = jobs.model.project, Box(8, 16, 64, 96)
    project.images = tuple(replace(image, bounds=bounds) for image in project.images)
    page.refresh()
    assert not page.crop.isHidden()
    page.crop.setChecked(True)
    ended = []
    jobs.actions.runs.ended.connect(ended.append)
    page.export_button.click()
    wait(qtbot, lambda: ended)
    options = RunFolder(ended[0].path).request().options
    assert options == {"format": "ome", "crop_to_bounds": True}


def test_a_mask_of_a_part_is_shown_at_its_place(show, jobs):
    exports = jobs.model.project.store.exports_path
    exports.mkdir()
    tifffile.imwrite(exports / "slide.ome.tif", np.ones((40, 60), np.uint8))
    page = show(ExportPage)
    page.files.setCurrentItem(page.files.topLevelItem(0))
    page.show_button.click()
    whole = find_layer(jobs.viewer, "mask").extent.world
    sidecar = exports / "slide.classes.json"
    for content in ("[]", '{"origin": {"y": "a"}}', '{"origin": {"y": 0, "x": 0}}'):
        sidecar.write_text(content)
        page.show_button.click()
        np.testing.assert_array_equal(
            find_layer(jobs.viewer, "mask").extent.world, whole
        )
    sidecar.write_text('{"origin": {"y": 8, "x": 16}}')
    page.show_button.click()
    layer = find_layer(jobs.viewer, "mask")
    moved = layer.extent.world[0] - whole[0]
    assert moved[1] / moved[0] == pytest.approx(2, rel=0.3)


def test_exported_files_are_listed_and_shown(show, jobs):
    exports = jobs.model.project.store.exports_path
    exports.mkdir()
    tifffile.imwrite(exports / "slide.ome.tif", np.ones((128, 160), np.uint8))
    page = show(ExportPage)
    item = page.files.topLevelItem(0)
    assert item.text(0) == "slide.ome.tif"
    page.files.setCurrentItem(item)
    page.show_button.click()
    assert find_layer(jobs.viewer, "mask").name == "slide.ome.tif"
