"""The page Train."""

from qtpy.QtWidgets import QPushButton

from napari_segmix.layers.own_layers import find_layer
from napari_segmix.widgets.train_page import TrainPage
from segmix_core.methods import Cam, SegMixPlus
from segmix_core.runs import RunFolder
from segmix_core.settings import RunSettings
from tests.plugin.runs_of_pages import LEFT, finished, label_all, wait


def test_training_waits_for_labels(show, jobs):
    page = show(TrainPage)
    assert not page.box.start_button.isEnabled()
    assert "Label some tiles" in page.box.readiness.text()
    label_all(jobs)
    assert page.box.start_button.isEnabled()
    assert "16 of 16 tiles are labeled." in page.box.readiness.text()


def test_without_project_the_page_says_where_to_begin(show, jobs):
    page = show(TrainPage)
    jobs.actions.projects.close()
    assert "Open or create one on the Data page." in page.box.readiness.text()
    assert not page.box.start_button.isEnabled()


def test_start_launches_with_the_settings_of_the_form(show, jobs, qtbot):
    label_all(jobs)
    page = show(TrainPage)
    page.box.choose("segmix-plus")
    # The masks that its second network learns from are a part of the training.
    page.box.form.set_values({"train.epochs": 3, "pseudo_masks.background": "score"})
    ended = []
    jobs.actions.runs.ended.connect(ended.append)
    qtbot.mouseClick(page.box.start_button, LEFT)
    assert not page.box.start_button.isEnabled()
    wait(qtbot, lambda: ended)
    request = RunFolder(ended[0].path).request()
    assert request.stage == "train"
    assert request.config["train"]["method"] == "segmix-plus"
    assert request.config["train"]["epochs"] == 3
    assert request.config["pseudo_masks"]["background"] == "score"
    assert request.revision == jobs.model.project.store.revision
    assert page.box.start_button.isEnabled()
    assert jobs.model.runs.curves.series["loss"].points()[0].tolist() == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert find_layer(jobs.viewer, "shuffled") is not None


def test_the_form_shows_the_settings_of_the_chosen_method(show, jobs, qtbot):
    page = show(TrainPage)
    form = page.box.form
    assert form.config().train == SegMixPlus()
    (button,) = [
        b for b in page.box.method.findChildren(QPushButton) if b.text() == "CAM"
    ]
    qtbot.mouseClick(button, LEFT)
    assert form.config().train == Cam()
    assert form.widget("train.rounds").native.isHidden()
    assert form.widget("pseudo_masks.background").native.isHidden()
    assert not form.widget("train.epochs").native.isHidden()


def test_the_license_of_a_backbone_stands_below_it(show, jobs):
    page = show(TrainPage)
    box = page.box
    assert box.license.isHidden()
    box.form.set_values({"train.backbone": "hf-hub:paige-ai/Virchow2"})
    assert not box.license.isHidden()
    assert "Virchow2: CC BY-NC-ND 4.0" in box.license.text()
    field = box.form.widget("train.backbone").native
    rows = field.parentWidget().layout()
    below = rows.getWidgetPosition(field)[0] + 1
    assert rows.getWidgetPosition(box.license)[0] == below
    for name in ("", "small"):
        box.form.set_values({"train.backbone": name})
        assert box.license.isHidden()


def test_labels_that_cannot_train_are_refused_before_launch(show, jobs, messages):
    page = show(TrainPage)
    page.box.start()
    assert jobs.model.runs.infos == ()
    assert messages[-1] == (
        "No tile has a label. Label some tiles of every class first.",
        "error",
    )


def test_wrong_settings_cannot_be_started(show, jobs):
    label_all(jobs)
    page = show(TrainPage)
    page.box.form.set_values({"train.learning_rate": "0"})
    assert not page.box.start_button.isEnabled()


def test_last_settings_are_in_the_form(jobs, qtbot):
    config = RunSettings().replace({"train.method": "cam", "train.epochs": 77})
    finished(jobs, "train", config=config)
    page = TrainPage(jobs.model, jobs.actions)
    qtbot.addWidget(page)
    assert page.box.method.value == "cam"
    assert page.box.form.config().train.epochs == 77
    page.runs.settings_wanted.emit(RunSettings().model_dump(mode="json"))
    assert page.box.method.value == "segmix-plus"


def test_settings_of_another_version_are_told(show, jobs, messages):
    page = show(TrainPage)
    page.runs.settings_wanted.emit({"train": {"speed": 3}})
    assert "segmix-plus has no setting 'speed'" in messages[-1][0]


def test_a_new_page_shows_the_history_of_the_run(jobs, qtbot):
    folder = finished(jobs, "train")
    jobs.actions.runs.watch(folder.path)
    wait(qtbot, lambda: not jobs.actions.runs.is_following)
    page = TrainPage(jobs.model, jobs.actions)
    qtbot.addWidget(page)
    page.show()
    assert page.curves.is_panel_visible("loss")
    # The run is not followed once more.
    assert not jobs.actions.runs.is_following


def test_outlines_are_switched(show, jobs):
    page = show(TrainPage)
    page.outline.setChecked(True)
    assert jobs.model.runs.outlines_moved_patches
