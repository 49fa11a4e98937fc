"""The page Masks."""

import json

from napari_segmix.layers.own_layers import find_layer
from napari_segmix.widgets.masks_page import MasksPage
from segmix_core.settings import RunSettings
from tests.plugin.runs_of_pages import finished, wait


def test_masks_page_leads_from_stage_to_stage(show, jobs):
    page = show(MasksPage)
    assert "Train the classifier" in page.making.readiness.text()
    assert page.review.isHidden()
    finished(jobs, "train")
    assert page.making.start_button.isEnabled()
    assert not page.segmenter.start_button.isEnabled()
    finished(jobs, "pseudo-masks")
    assert page.segmenter.start_button.isEnabled()
    finished(jobs, "train-segmenter")
    assert page.prediction.start_button.isEnabled()


def test_making_masks_is_a_chain_of_two_runs(show, jobs, qtbot):
    finished(jobs, "train")
    page = show(MasksPage)
    page.making.start()
    wait(qtbot, lambda: jobs.model.runs.latest("pseudo-masks") is not None)
    wait(qtbot, lambda: not jobs.actions.runs.is_following)
    stages = [info.stage for info in jobs.model.runs.infos]
    assert stages == ["pseudo-masks", "cams", "train"]


def test_background_of_the_training_is_that_of_the_masks(show, jobs):
    page = show(MasksPage)
    background = page.making.form.widget("pseudo_masks.background")
    assert background.value == "glass"
    by_score = RunSettings().replace({"pseudo_masks.background": "score"})
    finished(jobs, "train", config=by_score)
    assert background.value == "score"
    background.value = "none"
    page.making.form.widget("pseudo_masks.min_object_px").value = 7
    jobs.actions.runs.refresh()
    assert background.value == "none"
    finished(jobs, "train", config=by_score)
    assert background.value == "score"
    assert page.making.form.widget("pseudo_masks.min_object_px").value == 7


def test_a_training_without_masks_says_nothing_of_background(show, jobs):
    page = show(MasksPage)
    background = page.making.form.widget("pseudo_masks.background")
    background.value = "score"
    finished(jobs, "train", config=RunSettings().replace({"train.method": "cam"}))
    assert background.value == "score"
    finished(jobs, "train", config=RunSettings().replace({"train.rounds": 0}))
    assert background.value == "score"


def test_settings_of_another_version_are_told(show, jobs, messages):
    page = show(MasksPage)
    folder = finished(jobs, "train")
    request = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    request["config"]["train"]["hue"] = 3
    (folder.path / "config.json").write_text(json.dumps(request), encoding="utf-8")
    page.making._training = None
    jobs.actions.runs.refresh()
    assert any("hue" in text for text, _ in messages)


def test_background_chosen_for_masks_is_that_of_the_next_masks(show, jobs):
    finished(jobs, "train")
    none = RunSettings().replace({"pseudo_masks.background": "none"})
    finished(jobs, "cams", config=none)
    page = show(MasksPage)
    assert page.making.form.widget("pseudo_masks.background").value == "none"


def test_review_from_the_page(show, jobs, qtbot):
    finished(jobs, "pseudo-masks")
    page = show(MasksPage)
    review = page.review
    assert find_layer(jobs.viewer, "mask") is not None
    assert review.tree.topLevelItemCount() == 16
    assert review.palette_box.isHidden()
    review.next_button.click()
    assert not review.palette_box.isHidden()
    palette = review.palette_box
    palette._group.button(2).click()
    assert jobs.model.masks.brush == 2
    palette.accept_button.click()
    wait(qtbot, lambda: "1 accepted, 0 corrected of 16" in review.progress.format())
    jobs.actions.correction.paint_with(255)
    assert palette._group.checkedId() == 255
    jobs.actions.classes.add("fat")
    assert palette._group.button(4).text() == "4  fat"
    palette.close_button.click()
    assert review.palette_box.isHidden()
    review.tree.itemClicked.emit(review.tree.topLevelItem(3), 0)
    assert jobs.model.masks.is_open
    review.overlay.setChecked(False)
    assert not find_layer(jobs.viewer, "mask").visible
    page.hide()
    assert find_layer(jobs.viewer, "tiles").visible


def test_base_is_chosen_in_the_box(show, jobs):
    finished(jobs, "pseudo-masks")
    finished(jobs, "predict")
    page = show(MasksPage)
    assert page.review.base.count() == 2
    assert page.review.base.currentText().startswith("Prediction")
    page.review.base.setCurrentIndex(1)
    page.review.base.activated.emit(1)
    assert jobs.model.masks.base.stage == "pseudo-masks"


def test_the_license_of_an_encoder_stands_below_it(show, jobs):
    page = show(MasksPage)
    form, note = page.segmenter.form, page.segmenter_license
    assert note.isHidden()
    form.set_values({"segmenter.pretrained": True})
    assert note.text() == ("License of the published weights of resnet18: Apache 2.0.")
    assert not note.isHidden()
    form.set_values({"segmenter.encoder": "resnet34"})
    assert "smp-hub/resnet34.imagenet: unknown" in note.text()
    form.set_values({"segmenter.pretrained": False})
    assert note.isHidden()
