"""The pages Train, Masks and Export, the run bar and the list of runs."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_segmix.layers.keys import find_layer
from napari_segmix.run_info import Job
from napari_segmix.widgets import run_texts
from napari_segmix.widgets.device_badge import DeviceBadge
from napari_segmix.widgets.export_page import ExportPage
from napari_segmix.widgets.masks_page import MasksPage
from napari_segmix.widgets.run_bar import RunBar
from napari_segmix.widgets.run_list import RunList
from napari_segmix.widgets.train_page import TrainPage
from segmix_core.config import RunConfig
from segmix_core.doctor import Check, Verdict
from segmix_core.events import Metrics, StageStarted
from segmix_core.project.records import LabelState
from segmix_core.runs import RunFolder, RunRequest, RunWriter, launch
from segmix_core.runs.results import create_mask

STAGES = Path(__file__).parent / "job_stages.py"
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def jobs(slide_session, qtbot):
    """The session of a slide; jobs are the small stages of the tests."""
    control = slide_session.runs
    control._launcher = lambda folder: launch(
        folder, command=[sys.executable, str(STAGES), str(folder.path)]
    )
    yield slide_session
    control.kill()
    control.detach()
    wait(qtbot, lambda: not control.is_following)
    # Widgets in reference cycles must not be collected by a thread of a later test.
    gc.collect()


@pytest.fixture
def show(qtbot, jobs):
    def make(kind):
        page = kind(jobs)
        qtbot.addWidget(page)
        page.show()
        return page

    return make


def wait(qtbot, condition):
    qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)


def label_all(session):
    states = np.full((16, 3), LabelState.ABSENT, np.int8)
    states[np.arange(16), np.arange(16) % 3] = LabelState.PRESENT
    session.labelling.set_labels(np.arange(16), states)


def finished(session, stage, *, reason="completed", message="", config=None):
    """Write an ended run with masks of class 2, where the stage leaves some."""
    store = session.store
    content = (config or RunConfig()).model_dump(mode="json")
    request = RunRequest(stage, store.path, content, revision=store.revision)
    folder = RunFolder.create(store.runs_path, request)
    with RunWriter(folder) as writer:
        writer.emit(StageStarted(stage=stage, total_steps=2))
        writer.emit(Metrics(step=1, epoch=0, values={"loss": 0.5}))
        for image in store.images():
            create_mask(folder.path, image.id, image.working_shape)[:] = 2
        writer.end(reason, message)
    folder.log_path.write_text("first line\nlast line\n", encoding="utf-8")
    session.runs.listed.emit()
    return folder


# ---- Train -------------------------------------------------------------------------


def test_training_waits_for_labels(show, jobs):
    page = show(TrainPage)
    assert not page.box.start_button.isEnabled()
    assert "Label some tiles" in page.box.readiness.text()
    label_all(jobs)
    assert page.box.start_button.isEnabled()
    assert "16 of 16 tiles are labelled." in page.box.readiness.text()


def test_without_project_the_page_says_where_to_begin(show, jobs):
    page = show(TrainPage)
    jobs.close_project()
    assert "Open a project on the Data page." in page.box.readiness.text()
    assert not page.box.start_button.isEnabled()


def test_start_launches_with_the_settings_of_the_form(show, jobs, qtbot):
    label_all(jobs)
    page = show(TrainPage)
    page.box.method.value = "seam"
    page.box.form.set_values({"train.epochs": 3})
    ended = []
    jobs.runs.ended.connect(ended.append)
    qtbot.mouseClick(page.box.start_button, LEFT)
    assert not page.box.start_button.isEnabled()
    wait(qtbot, lambda: ended)
    request = RunFolder(ended[0].path).request()
    assert request.stage == "train"
    assert request.config["train"]["method"] == "seam"
    assert request.config["train"]["epochs"] == 3
    assert request.revision == jobs.store.revision
    assert page.box.start_button.isEnabled()
    assert page.curves.series("loss").points()[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert find_layer(jobs.viewer, "shuffled") is not None


def test_the_licence_of_a_backbone_stands_below_it(show, jobs):
    page = show(TrainPage)
    box = page.box
    assert box.licence.isHidden()
    box.form.set_values({"train.backbone": "hf-hub:paige-ai/Virchow2"})
    assert not box.licence.isHidden()
    assert "Virchow2: CC BY-NC-ND 4.0" in box.licence.text()
    field = box.form.widget("train.backbone").native
    rows = field.parentWidget().layout()
    below = rows.getWidgetPosition(field)[0] + 1
    assert rows.getWidgetPosition(box.licence)[0] == below
    for name in ("", "small"):
        box.form.set_values({"train.backbone": name})
        assert box.licence.isHidden()


def test_labels_that_cannot_train_are_refused_before_launch(show, jobs, messages):
    page = show(TrainPage)
    page.box.start()
    assert jobs.runs.runs() == ()
    assert messages[-1] == (
        "Expected labelled tiles, but got none. Label some tiles of every class first.",
        "error",
    )


def test_wrong_settings_cannot_be_started(show, jobs):
    label_all(jobs)
    page = show(TrainPage)
    page.box.form.set_values({"train.learning_rate": "0"})
    assert not page.box.start_button.isEnabled()


def test_last_settings_are_in_the_form(jobs, qtbot):
    config = RunConfig().replace({"train.method": "cam", "train.epochs": 77})
    finished(jobs, "train", config=config)
    page = TrainPage(jobs)
    qtbot.addWidget(page)
    assert page.box.method.value == "cam"
    assert page.box.form.config().train.epochs == 77
    page.runs.settings_wanted.emit(RunConfig().model_dump(mode="json"))
    assert page.box.method.value == "segmix"


def test_settings_of_another_version_are_told(show, jobs, messages):
    page = show(TrainPage)
    page.runs.settings_wanted.emit({"train": {"speed": 3}})
    assert "train.speed" in messages[-1][0]


def test_a_new_page_shows_the_history_of_the_run(jobs, qtbot):
    folder = finished(jobs, "train")
    jobs.runs.watch(folder.path)
    wait(qtbot, lambda: not jobs.runs.is_following)
    page = TrainPage(jobs)
    qtbot.addWidget(page)
    wait(qtbot, lambda: page.curves.series("loss") is not None)


def test_outlines_are_switched(show, jobs):
    page = show(TrainPage)
    page.outline.setChecked(True)
    assert jobs.pictures.outlines_moved_patches


# ---- the bar and the list ------------------------------------------------------------


def test_bar_shows_progress_and_stops(jobs, qtbot, messages):
    bar = RunBar(jobs)
    qtbot.addWidget(bar)
    assert bar.isHidden()
    jobs.runs.start(Job("train", RunConfig(), {}, {"behaviour": "wait"}))
    wait(qtbot, lambda: bar.bar.value() == 3)
    assert not bar.isHidden()
    assert bar.bar.maximum() == 6
    qtbot.mouseClick(bar.stop_button, LEFT)
    assert not bar.stop_button.isEnabled()
    wait(qtbot, lambda: bar.isHidden())
    assert any("stopped. Resume it" in text for text, _ in messages)
    assert ("The batch was halved.", "warning") in messages
    assert any(
        text.startswith("pseudo_masks.gate of gland: 0.4, chosen on 9 tiles of val")
        for text, _ in messages
    )


def test_a_deaf_run_can_be_killed(show, jobs, qtbot, messages):
    bar = show(RunBar)
    jobs.runs._patience = 0.05
    jobs.runs.start(Job("train", RunConfig(), {}, {"behaviour": "deaf"}))
    wait(qtbot, lambda: bar.bar.value() == 3)
    qtbot.mouseClick(bar.stop_button, LEFT)
    wait(qtbot, lambda: bar.stop_button.text() == "Kill")
    qtbot.mouseClick(bar.stop_button, LEFT)
    wait(qtbot, lambda: bar.isHidden())
    assert not jobs.runs.is_running


def test_failures_are_told_with_their_remedy(show, jobs, qtbot, messages):
    bar = show(RunBar)
    jobs.runs.start(Job("train", RunConfig(), {}, {"behaviour": "fail"}))
    wait(qtbot, lambda: any("smaller batch size" in text for text, _ in messages))
    assert bar.isHidden()


def test_a_death_is_told_with_what_to_do(show, jobs, qtbot, messages):
    bar = show(RunBar)
    jobs.runs.start(Job("train", RunConfig(), {}, {"behaviour": "die"}))
    wait(qtbot, lambda: any("Resume it on" in text for text, _ in messages))
    assert not any("step 3" in text for text, _ in messages)
    assert bar.isHidden()


def test_old_ends_are_no_news(show, jobs, messages, qtbot):
    bar = show(RunBar)
    folder = finished(jobs, "train", reason="failed", message="Old trouble.")
    jobs.runs.watch(folder.path)
    wait(qtbot, lambda: not jobs.runs.is_following)
    assert not any("Old trouble" in text for text, _ in messages)
    assert bar.isHidden()


def test_list_has_the_newest_first_and_explains_failures(show, jobs):
    runs = show(RunList)
    assert runs.tree.isHidden()
    finished(jobs, "train", reason="failed", message="No memory. Use a smaller batch.")
    failed = jobs.runs.runs()[0].path
    finished(jobs, "cams")
    assert runs.tree.topLevelItem(0).text(0) == "Compute CAMs"
    runs.select(failed)
    assert runs.message == "No memory. Use a smaller batch."
    assert "last line" in runs._log.toPlainText()
    assert not runs.resume_button.isHidden()
    runs.report_button.click()
    assert "No memory." in QGuiApplication.clipboard().text()


def test_outdated_runs_are_marked(show, jobs, qtbot):
    runs = show(RunList)
    finished(jobs, "train")
    assert runs.message == ""
    label_all(jobs)
    wait(qtbot, lambda: "changed since" in runs.message)


def test_resume_and_settings_of_the_list(show, jobs, qtbot, messages):
    runs = show(RunList)
    jobs.runs.start(Job("train", RunConfig(), {}, {"behaviour": "die"}))
    wait(qtbot, lambda: not jobs.runs.is_following)
    assert "ended without a word" in runs.message
    with qtbot.waitSignal(runs.settings_wanted) as caught:
        runs.settings_button.click()
    assert caught.args[0]["train"]["epochs"] == 8
    jobs.runs.start(Job("train", RunConfig(), {}, {"behaviour": "wait"}))
    wait(qtbot, lambda: jobs.runs.current.step == 3)
    jobs.runs.stop()
    wait(qtbot, lambda: not jobs.runs.is_following)
    runs.select(jobs.runs.current.path)
    runs.resume_button.click()
    wait(qtbot, lambda: not jobs.runs.is_following)
    assert jobs.runs.current.state == "completed"
    assert runs.resume_button.isHidden()
    runs.show_button.click()
    wait(qtbot, lambda: not jobs.runs.is_following)


# ---- Masks ---------------------------------------------------------------------------


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
    wait(qtbot, lambda: jobs.runs.latest("pseudo-masks") is not None)
    wait(qtbot, lambda: not jobs.runs.is_following)
    stages = [info.stage for info in jobs.runs.runs()]
    assert stages == ["pseudo-masks", "cams", "train"]


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
    assert jobs.masks.correction.brush == 2
    palette.accept_button.click()
    wait(qtbot, lambda: "1 accepted, 0 corrected of 16" in review.progress.format())
    jobs.masks.correction.paint_with(255)
    assert palette._group.checkedId() == 255
    jobs.add_class("fat")
    assert palette._group.button(4).text() == "4  fat"
    palette.close_button.click()
    assert review.palette_box.isHidden()
    review.tree.itemClicked.emit(review.tree.topLevelItem(3), 0)
    assert jobs.masks.correction.is_open
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
    assert jobs.masks.base.stage == "pseudo-masks"


# ---- Export --------------------------------------------------------------------------


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
    jobs.intake.add([slide_file.rename(slide_file.with_name("second.tif"))])
    page = show(ExportPage)
    page.format.value = "generic"
    page.only_shown.setChecked(True)
    ended = []
    jobs.runs.ended.connect(ended.append)
    page.export_button.click()
    wait(qtbot, lambda: ended)
    request = RunFolder(ended[0].path).request()
    assert request.inputs == {"pseudo-masks": masks.path}
    shown = [image.id for image in jobs.store.images(jobs.active_source.id)]
    assert request.options == {"format": "generic", "image_ids": shown}


def test_exported_files_are_listed_and_shown(show, jobs):
    exports = jobs.store.exports_path
    exports.mkdir()
    tifffile.imwrite(exports / "slide.ome.tif", np.ones((128, 160), np.uint8))
    page = show(ExportPage)
    item = page.files.topLevelItem(0)
    assert item.text(0) == "slide.ome.tif"
    page.files.setCurrentItem(item)
    page.show_button.click()
    assert find_layer(jobs.viewer, "mask").name == "slide.ome.tif"


# ---- words and the badge -------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "verdict", "text"),
    [
        ("2.15 on cpu, Python 3.11", Verdict.OK, "CPU"),
        ("2.15 on cpu, cuda:0 (H200), Python 3.11", Verdict.OK, "GPU"),
        ("2.15 on cpu, mps, Python 3.11", Verdict.OK, "GPU"),
        ("No module named 'torch'", Verdict.FAIL, "no torch"),
    ],
)
def test_badge(qtbot, session, message, verdict, text):
    badge = DeviceBadge(session)
    qtbot.addWidget(badge)
    badge.show_check(Check("torch", verdict, message, "Install it."))
    assert badge.text() == text
    assert message in badge.toolTip()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (40, "40 s"), (170, "3 min"), (7500, "2 h 5 min")],
)
def test_duration_text(seconds, text):
    assert run_texts.duration_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(10, "1 kB"), (3_400_000, "3.4 MB")])
def test_size_text(size, text):
    assert run_texts.size_text(size) == text


def test_unknown_stages_keep_their_name():
    assert run_texts.stage_title("evaluate") == "evaluate"
