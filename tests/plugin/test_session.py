from pathlib import Path

import numpy as np
import pytest

from napari_segmix import session as session_module
from napari_segmix.layers.own_layers import find_layer, find_layers
from napari_segmix.session import Session, session_for
from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.store import ProjectStore

Messages = list[tuple[str, str]]


def label(session: Session, row: int, state: list[int]) -> None:
    session.actions.labels.set_labels(np.array([row]), np.array([state], np.int8))


def test_one_session_a_viewer(make_napari_viewer_proxy) -> None:
    viewer = make_napari_viewer_proxy()
    first = session_for(viewer)
    # Plugins get a new proxy of the viewer each time.
    again = type(viewer)(viewer.__wrapped__)
    assert again is not viewer
    assert session_for(again) is first
    first.close()
    first.close()
    assert first not in session_module._SESSIONS


def test_without_a_project_everything_is_empty(session: Session) -> None:
    assert session.model.project.path is None
    assert session.model.project.classes == ()
    assert session.model.project.sources == ()
    assert session.model.project.tiles is None
    assert session.model.project.placement is None
    assert session.model.project.label_counts.total == 0
    with pytest.raises(ProjectError, match="No project is open"):
        session.model.project.require()


def test_verbs_without_a_project_say_what_to_do(
    session: Session, messages: Messages, slide_file: Path
) -> None:
    session.actions.history.undo("labels")
    session.actions.classes.add("fat")
    session.actions.sources.add([slide_file])
    session.actions.sources.import_labels(slide_file)
    session.actions.labels.next_unlabeled()
    session.actions.projects.close()
    assert len(messages) == 4
    assert all("open" in text for text, _ in messages)


def test_a_new_project_is_open(project: Session, tmp_path: Path) -> None:
    assert project.model.project.path == tmp_path / "p.segmix"
    assert [entry.name for entry in project.model.project.classes] == [
        "gland",
        "stroma",
        "lymphoid",
    ]


def test_a_project_that_cannot_be_opened_leaves_the_open_one(
    project: Session, messages: Messages, tmp_path: Path
) -> None:
    assert not project.actions.projects.open(tmp_path / "nothing here")
    assert messages[-1][1] == "error"
    assert project.model.project.path == tmp_path / "p.segmix"
    assert not project.actions.projects.create(tmp_path / "p.segmix", ["gland"])


def test_layers_of_a_slide(slide_session: Session) -> None:
    viewer = slide_session.viewer
    tiles = find_layer(viewer, "tiles")
    assert tiles is not None
    assert tiles.data.shape == (4, 5)
    assert viewer.layers.selection.active is tiles
    assert slide_session.model.project.placement is not None
    assert slide_session.model.project.placement.unit == "um"
    image = find_layer(
        viewer, "image", source=slide_session.model.project.sources[0].id
    )
    assert image is not None
    assert np.allclose(image.scale, 0.5)


def test_layers_are_found_when_renamed(slide_session: Session) -> None:
    viewer = slide_session.viewer
    for layer in viewer.layers:
        layer.name = "mine"
    slide_session.actions.projects.close()
    assert len(viewer.layers) == 0


def test_layers_of_the_user_stay(slide_session: Session) -> None:
    own = slide_session.viewer.add_labels(np.zeros((4, 4), int))
    own.metadata["segmix"] = "not ours"
    slide_session.actions.projects.close()
    assert list(slide_session.viewer.layers) == [own]
    assert find_layers(slide_session.viewer, "tiles") == []


def test_a_deleted_tile_layer_loses_no_label(slide_session: Session) -> None:
    label(slide_session, 0, [1, 0, 0])
    viewer = slide_session.viewer
    for layer in tuple(viewer.layers):
        viewer.layers.remove(layer)
    label(slide_session, 1, [0, 1, 0])
    slide_session.actions.labels.go_to(1)
    slide_session.actions.sources.show(slide_session.model.project.sources[0].id)
    layer = find_layer(viewer, "tiles")
    assert layer is not None
    assert layer.data[0].tolist() == [0, 1, 2, 0, 0]


def test_labels_survive_and_are_shown_on_reopening(slide_session: Session) -> None:
    label(slide_session, 2, [0, 0, 1])
    path = slide_session.model.project.path
    assert path is not None
    slide_session.actions.projects.close()
    assert slide_session.actions.projects.open(path)
    assert slide_session.model.project.tiles is not None
    assert slide_session.model.project.tiles.labels[2].tolist() == [
        0,
        0,
        1,
    ]
    assert slide_session.model.project.label_counts.labeled == 1
    assert (
        slide_session.model.project.counts_of(
            slide_session.model.project.sources[0].id
        ).total
        == 16
    )


def test_undo_and_redo_are_the_journals(
    slide_session: Session, messages: Messages
) -> None:
    changes = []
    slide_session.actions.history.changed.connect(changes.append)
    label(slide_session, 0, [1, 0, 0])
    slide_session.actions.history.undo("labels")
    assert slide_session.model.project.label_counts.labeled == 0
    layer = find_layer(slide_session.viewer, "tiles")
    assert layer is not None
    assert not layer.data.any()
    slide_session.actions.history.redo("labels")
    assert layer.data[0, 1] == 1
    assert [change.kind for change in changes] == ["labels", "labels"]
    slide_session.actions.history.redo("labels")
    assert messages[-1] == (
        "There is nothing to redo in labels, classes and images.",
        "info",
    )


def test_whether_the_labels_can_train(slide_session: Session) -> None:
    with pytest.raises(ProjectError, match="Label some tiles"):
        slide_session.model.project.check_trainable()
    label(slide_session, 0, [1, 1, 1])
    slide_session.model.project.check_trainable()
    slide_session.actions.history.undo("labels")
    slide_session.actions.history.undo("labels")
    with pytest.raises(ProjectError, match="Add a slide"):
        slide_session.model.project.check_trainable()
    slide_session.actions.projects.close()
    with pytest.raises(ProjectError, match="Data page"):
        slide_session.model.project.check_trainable()


def test_undoing_a_mask_is_told(slide_session: Session) -> None:
    changes = []
    slide_session.actions.history.changed.connect(changes.append)
    assert slide_session.model.project.store is not None
    image = slide_session.model.project.store.images()[0].id
    box = Box(0, 0, 2, 3)
    slide_session.model.project.store.correct_mask(
        image, box, np.ones((2, 3), np.uint8)
    )
    slide_session.actions.history.undo("masks")
    assert [change.kind for change in changes] == ["mask"]
    assert (slide_session.model.project.store.corrections(image, box) == 254).all()


def test_undoing_the_source_removes_its_layers(slide_session: Session) -> None:
    slide_session.actions.history.undo("labels")
    assert slide_session.model.project.active_source is None
    assert len(slide_session.viewer.layers) == 0
    slide_session.actions.history.redo("labels")
    assert slide_session.model.project.active_source is not None


def test_classes_can_be_added_renamed_and_colored(
    slide_session: Session, messages: Messages
) -> None:
    label(slide_session, 0, [1, 1, 0])
    slide_session.actions.classes.add("fat")
    slide_session.actions.classes.rename(1, "crypt")
    slide_session.actions.classes.recolor(1, "#123456")
    assert [entry.name for entry in slide_session.model.project.classes][::3] == [
        "crypt",
        "fat",
    ]
    layer = find_layer(slide_session.viewer, "tiles")
    assert layer is not None
    color = layer.colormap.color_dict[1]
    assert np.allclose(color[:3], np.array([0x12, 0x34, 0x56]) / 255)
    slide_session.actions.classes.rename(1, "stroma")
    assert messages[-1][1] == "error"
    slide_session.actions.history.undo("labels")
    slide_session.actions.history.undo("labels")
    assert slide_session.model.project.classes[0].name == "gland"


def test_an_edit_from_elsewhere_fails_softly(
    slide_session: Session, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: ProjectStore, *_: object) -> None:
        raise ProjectError("The disk is full.", "Free some space.")

    monkeypatch.setattr(ProjectStore, "set_labels", refuse)
    layer = find_layer(slide_session.viewer, "tiles")
    assert layer is not None
    layer.paint((0, 1), 1)
    assert messages[-1] == (
        "The disk is full. Free some space.",
        "error",
    )
    assert not layer.data.any()


def test_a_missing_slide_is_told_and_its_labels_are_shown(
    slide_session: Session, slide_file: Path, messages: Messages
) -> None:
    path = slide_session.model.project.path
    assert path is not None
    slide_session.actions.projects.close()
    slide_file.unlink()
    slide_session.actions.projects.open(path)
    assert [level for _, level in messages].count("error") == 1
    assert find_layer(slide_session.viewer, "image") is None
    assert find_layer(slide_session.viewer, "tiles") is not None


def test_errors_that_are_not_ours_are_unexpected(
    session: Session, messages: Messages, caplog: pytest.LogCaptureFixture
) -> None:
    session.model.notices.report(KeyError("x"))
    assert messages == [("Unexpected error: 'x'", "error")]
    assert "Unexpected error" in caplog.text
