import threading
import unicodedata
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.records import (
    KEEP,
    ChangeKind,
    NewImage,
    Review,
    SourceKind,
    TilingPlan,
)
from segmix_core.project.store import ProjectStore
from tests.core.project.plain_images import add_images


def test_create_and_reopen(tmp_path: Path) -> None:
    path = tmp_path / "new" / "p.segmix"
    with ProjectStore.create(path, [" gland ", "stroma"], ["#AABBCC", "#000000"]):
        pass
    with ProjectStore.open(path) as store:
        assert [(c.index, c.name, c.color) for c in store.classes()] == [
            (1, "gland", "#aabbcc"),
            (2, "stroma", "#000000"),
        ]
        assert store.revision == 0
        assert not store.can_undo("labels")
        assert not store.can_redo("labels")
        assert store.undo() is None
        assert store.redo() is None
        assert not store.is_read_only
        assert store.runs_path == path / "runs"
        assert store.exports_path == path / "exports"
        assert len(store.tiles()) == 0
    assert not list(path.glob(".*"))


def test_project_is_not_overwritten(store: ProjectStore) -> None:
    with pytest.raises(ProjectError, match="already contains a project"):
        ProjectStore.create(store.path, ["a"])


def test_create_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ProjectError, match="cannot be created"):
        ProjectStore.create(tmp_path / "file", ["a"])


def test_names_and_colors_have_the_same_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        ProjectStore.create(tmp_path / "p", ["a", "b"], ["#000000"])


def test_open_nothing(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no file project\.sqlite"):
        ProjectStore.open(tmp_path)


def test_images_and_tiles(slide_store: ProjectStore, tmp_path: Path) -> None:
    (source,) = slide_store.sources()
    (image,) = slide_store.images(source.id)
    assert source.kind is SourceKind.SLIDE
    assert source.path == image.path == tmp_path / "slide.tif"
    assert source.plan == TilingPlan(64, 64, 0.5)
    assert (image.height, image.width, image.group) == (192, 256, "slide")
    assert image.split == "train"
    assert slide_store.image(image.id) == image
    tiles = slide_store.tiles(source.id)
    assert tiles.ids.tolist() == list(range(1, 13))
    assert (tiles.image_ids == image.id).all()
    assert tiles.box(5) == Box(64, 64, 64, 64)
    assert (tiles.rows[5], tiles.cols[5]) == (1, 1)
    assert tiles.labels.shape == (12, 2)
    assert (tiles.labels == -1).all()
    assert (tiles.reviews == Review.NONE).all()
    with pytest.raises(ProjectError, match="Image 99 is no longer in the project"):
        slide_store.image(99)


def test_labels_are_stored_once(slide_store: ProjectStore) -> None:
    ids = np.array([7, 2, 5])
    states = np.array([[1, 0], [-1, 1], [0, 0]], np.int8)
    change = slide_store.set_labels(ids, states)
    assert change is not None
    assert change.kind == "labels"
    assert change.image_ids == (1,)
    assert slide_store.set_labels(ids, states) is None
    assert slide_store.revision == change.id
    tiles = slide_store.tiles()
    assert np.array_equal(tiles.labels[ids - 1], states)
    assert (np.delete(tiles.labels, ids - 1, 0) == -1).all()
    assert slide_store.set_labels(np.empty(0), np.empty((0, 2), np.int8)) is None


@pytest.mark.parametrize(
    ("ids", "states", "message"),
    [
        ([1], [[1, 0, 0]], "shape"),
        ([1], [[2, 0]], "-1, 0 or 1"),
        ([1, 1], [[0, 0], [1, 1]], "duplicates"),
    ],
)
def test_wrong_labels(
    slide_store: ProjectStore, ids: list[int], states: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        slide_store.set_labels(np.array(ids), np.array(states, np.int8))
    assert slide_store.revision == 1


def test_descriptions_are_sentences(slide_store: ProjectStore) -> None:
    slide_store.set_labels(np.array([1, 2]), np.array([[1, -1]] * 2, np.int8))
    slide_store.set_labels(np.array([1]), np.array([[0, 1]], np.int8))
    slide_store.set_reviews(np.array([1]), Review.ACCEPTED)
    slide_store.undo()
    slide_store.redo()
    assert [change.description for change in slide_store.history(6)] == [
        "Redid: Accepted 1 mask",
        "Undid: Accepted 1 mask",
        "Accepted 1 mask",
        "Changed the labels of 1 tile",
        "Set gland to present in 2 tiles",
        "Added slide with 1 image and 12 tiles",
    ]
    assert len(slide_store.history(2)) == 2


def test_classes_change_and_come_back(slide_store: ProjectStore) -> None:
    slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    added = slide_store.add_class("tumour")
    assert added.index == 3
    assert slide_store.tiles().labels[0].tolist() == [1, 0, -1]
    slide_store.set_labels(np.array([1]), np.array([[1, 0, 1]], np.int8))
    slide_store.rename_class(1, "Gland")
    slide_store.recolor_class(1, "#123456")
    assert slide_store.classes()[0].name == "Gland"
    assert slide_store.classes()[0].color == "#123456"
    for _ in range(4):
        slide_store.undo()
    assert [entry.name for entry in slide_store.classes()] == ["gland", "stroma"]
    assert slide_store.tiles().labels[0].tolist() == [1, 0]
    for _ in range(4):
        slide_store.redo()
    assert slide_store.tiles().labels[0].tolist() == [1, 0, 1]
    assert slide_store.classes()[0].color == "#123456"
    slide_store.rename_class(1, "Gland")
    assert not slide_store.can_redo("labels")


def test_unknown_class_index(store: ProjectStore) -> None:
    with pytest.raises(ValueError, match="class index"):
        store.rename_class(3, "x")
    with pytest.raises(ValueError, match="class index"):
        store.recolor_class(0, "#000000")


def test_undone_source_is_hidden(slide_store: ProjectStore) -> None:
    slide_store.undo()
    assert slide_store.sources() == ()
    assert slide_store.images() == ()
    assert len(slide_store.tiles()) == 0
    with pytest.raises(ProjectError, match="1 of the 1 tiles are no longer in"):
        slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    slide_store.redo()
    assert len(slide_store.tiles()) == 12


def test_reviews_and_splits(slide_store: ProjectStore) -> None:
    slide_store.set_reviews(np.array([1, 2]), Review.ACCEPTED)
    change = slide_store.set_reviews(np.array([1, 2, 3]), Review.ACCEPTED)
    assert change is not None
    assert change.description == "Accepted 1 mask"
    assert slide_store.set_reviews(np.array([1]), Review.ACCEPTED) is None
    assert slide_store.tiles().reviews[:4].tolist() == [1, 1, 1, 0]
    slide_store.set_splits(np.array([1]), ["val"])
    assert slide_store.image(1).split == "val"
    slide_store.undo()
    assert slide_store.image(1).split == "train"
    assert slide_store.set_splits(np.array([1]), ["train"]) is None


def test_wrong_splits(slide_store: ProjectStore) -> None:
    with pytest.raises(ValueError, match="Splits must"):
        slide_store.set_splits(np.array([1]), ["training"])
    with pytest.raises(ValueError, match="No image has the id"):
        slide_store.set_splits(np.array([9]), ["val"])


def test_settings(store: ProjectStore) -> None:
    assert store.setting("theme", "light") == "light"
    store.set_setting("theme", {"name": "därk", "sizes": [1, 2]})
    store.set_setting("theme", {"name": "dark"})
    assert store.setting("theme") == {"name": "dark"}
    assert store.revision == 0


def test_undo_goes_on_after_a_restart(slide_store: ProjectStore) -> None:
    for state in (0, 1):
        slide_store.set_labels(np.array([1]), np.full((1, 2), state, np.int8))
    slide_store.undo()
    slide_store.close()
    with ProjectStore.open(slide_store.path) as store:
        assert store.tiles().labels[0].tolist() == [0, 0]
        assert store.can_redo("labels")
        store.redo()
        assert store.tiles().labels[0].tolist() == [1, 1]
        store.undo()
        store.undo()
        assert store.tiles().labels[0].tolist() == [-1, -1]


def test_edit_after_undo_drops_redo_but_loses_nothing(
    slide_store: ProjectStore,
) -> None:
    slide_store.set_labels(np.array([1]), np.array([[1, 1]], np.int8))
    slide_store.undo()
    slide_store.set_labels(np.array([2]), np.array([[0, 0]], np.int8))
    assert not slide_store.can_redo("labels")
    assert [change.description for change in slide_store.history(3)] == [
        "Changed the labels of 1 tile",
        "Undid: Changed the labels of 1 tile",
        "Changed the labels of 1 tile",
    ]


def test_the_last_change_of_each_kind_is_known(slide_store: ProjectStore) -> None:
    only_source = dict.fromkeys(get_args(ChangeKind), 0) | {"source": 1}
    assert slide_store.last_changes() == only_source
    slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    slide_store.set_reviews(np.array([1]), Review.ACCEPTED)
    slide_store.correct_mask(1, Box(0, 0, 2, 2), np.ones((2, 2), np.uint8))
    found = only_source | {"labels": 2, "review": 3, "mask": 4}
    assert slide_store.last_changes() == found
    for scope in ("masks", "masks", "labels"):
        slide_store.undo(scope)
    found = only_source | {"mask": 5, "review": 6, "labels": 7}
    assert slide_store.last_changes() == found
    slide_store.redo()
    assert slide_store.last_changes() == found | {"labels": 8}


def test_threads_share_a_store(slide_store: ProjectStore) -> None:
    def label(tile: int) -> None:
        for state in (0, 1, 0, 1):
            slide_store.set_labels(np.array([tile]), np.full((1, 2), state, np.int8))
            slide_store.tiles()

    threads = [threading.Thread(target=label, args=(tile,)) for tile in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (slide_store.tiles().labels[:5] == 1).all()
    assert slide_store.revision == 1 + 5 * 4


def test_moved_project_finds_its_images(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "far.tif"
    home = tmp_path / "home"
    with ProjectStore.create(home / "p.segmix", ["a"]) as store:
        for path in (home / "p.segmix/in.tif", home / "s/beside.tif", outside):
            image = _image(path)
            store.add_source(SourceKind.SLIDE, path, "s", TilingPlan(8, 8), [image])
    home.rename(tmp_path / "moved")
    with ProjectStore.open(tmp_path / "moved" / "p.segmix") as store:
        assert [image.path for image in store.images()] == [
            tmp_path / "moved/p.segmix/in.tif",
            tmp_path / "moved/s/beside.tif",
            outside,
        ]


def test_relocate(tmp_path: Path, folder_store: ProjectStore) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "a.png").touch()
    with pytest.raises(ProjectError, match=r"2 files of images .* such as b\.png"):
        folder_store.relocate(1, new)
    (new / "b.png").touch()
    (new / "C.tif").touch()
    (new / "c.jpg").touch()
    with pytest.raises(ProjectError, match=r"files: new/C\.tif or new/c\.jpg"):
        folder_store.relocate(1, new)
    (new / "c.jpg").unlink()
    (new / "sub").mkdir()
    (new / "sub" / "c.png").touch()
    folder_store.relocate(1, new)
    assert folder_store.image(3).path == new / "C.tif"
    with pytest.raises(ProjectError, match="does not exist"):
        folder_store.relocate(1, new / "nowhere")
    assert folder_store.sources()[0].path == new
    assert folder_store.image(2).path == new / "b.png"
    with pytest.raises(ProjectError, match="Source 7 was removed"):
        folder_store.relocate(7, new)


def test_a_file_is_that_of_one_image(tmp_path: Path, store: ProjectStore) -> None:
    add_images(store, tmp_path / "old", ["a.png", "a.tif"])
    new = tmp_path / "new"
    new.mkdir()
    (new / "a.jpg").touch()
    with pytest.raises(ProjectError, match="matches several images"):
        store.relocate(1, new)


def test_relocate_to_a_disk_with_other_unicode(
    tmp_path: Path, store: ProjectStore
) -> None:
    add_images(store, tmp_path / "old", ["pr\u00e4parat.png"])
    name = unicodedata.normalize("NFD", "pr\u00e4parat.png")
    new = tmp_path / "new"
    new.mkdir()
    (new / name).touch()
    store.relocate(1, new)
    assert store.image(1).path == new / name


def test_relocate_one_slide(tmp_path: Path, slide_store: ProjectStore) -> None:
    new = tmp_path / "renamed.tif"
    new.touch()
    slide_store.relocate(1, new)
    assert slide_store.image(1).path == slide_store.sources()[0].path == new


@pytest.mark.parametrize(
    "wrong",
    [
        {"boxes": np.zeros((1, 3), np.int64)},
        {"rows": np.zeros(2, np.int64)},
        {"split": "training"},
        {"downsample": 0.5},
    ],
)
def test_wrong_new_image(wrong: dict[str, object]) -> None:
    image = _image(Path("a.tif"))
    values = {name: getattr(image, name) for name in NewImage.__slots__}
    with pytest.raises(ValueError, match=r"must be|do not match"):
        NewImage(**{**values, **wrong})


def _image(path: Path) -> NewImage:
    return NewImage(
        path=path,
        height=8,
        width=8,
        mpp_y=None,
        mpp_x=None,
        downsample=1.0,
        group="g",
        boxes=np.array([[0, 0, 8, 8]]),
        rows=np.array([0]),
        cols=np.array([0]),
    )


def test_a_class_in_strokes_is_not_taken_back(slide_store: ProjectStore) -> None:
    """Also where its pixels are covered: masks must be undone first, and can be."""
    box = Box(0, 0, 4, 4)
    slide_store.add_class("third")
    slide_store.correct_mask(1, box, np.full((4, 4), 3, np.uint8))
    slide_store.correct_mask(1, box, np.full((4, 4), 1, np.uint8))
    with pytest.raises(ProjectError, match="third"):
        slide_store.undo("labels")
    slide_store.undo("masks")
    with pytest.raises(ProjectError, match="third"):
        slide_store.undo("labels")
    slide_store.undo("masks")
    assert slide_store.undo("labels") is not None
    slide_store.add_class("another")
    with pytest.raises(ProjectError, match="class"):
        slide_store.redo("masks")
    assert slide_store.correct_mask(1, box, np.ones((4, 4), np.uint8)) is not None
    assert slide_store.undo("masks") is not None
    assert slide_store.undo("labels") is not None


def test_edits_of_classes_that_have_gone(slide_store: ProjectStore) -> None:
    """Another window took a class back and added another with its index."""
    slide_store.add_class("third")
    known = slide_store.classes()
    edit = np.array([[KEEP, KEEP, 1]], np.int8)
    box, values = Box(0, 0, 1, 1), np.array([[3]], np.uint8)
    slide_store.undo("labels")
    with pytest.raises(ProjectError, match="third"):
        slide_store.set_labels(np.array([1]), edit, known)
    slide_store.add_class("another")
    with pytest.raises(ProjectError, match="third"):
        slide_store.set_labels(np.array([1]), edit, known)
    with pytest.raises(ProjectError, match="third"):
        slide_store.correct_mask(1, box, values, known)
    # What is said of the other classes is stored.
    edit[0] = 1, KEEP, KEEP
    assert slide_store.set_labels(np.array([1]), edit, known)
    slide_store.rename_class(3, "renamed")
    now = slide_store.classes()
    slide_store.rename_class(3, "again")
    assert slide_store.set_labels(np.array([1]), np.array([[KEEP] * 2 + [0]]), now)
    assert slide_store.tiles().labels[0].tolist() == [1, -1, 0]


def test_kept_labels_are_those_of_the_moment(slide_store: ProjectStore) -> None:
    with ProjectStore.open(slide_store.path) as other:
        other.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    slide_store.set_labels(np.array([1]), np.array([[KEEP, 1]], np.int8))
    slide_store.set_labels(np.array([1]), np.array([[0]], np.int8))
    assert slide_store.tiles().labels[0].tolist() == [0, 1]


def test_pixel_sizes_are_set_and_taken_back(slide_store: ProjectStore) -> None:
    ids = np.array([1])
    change = slide_store.set_mpp(ids, 0.25, 0.5)
    assert change is not None
    assert change.description == "Set the pixel size of 1 image to 0.25 x 0.5 µm"
    image = slide_store.image(1)
    assert (image.mpp_y, image.mpp_x) == (0.25, 0.5)
    assert image.mpp == pytest.approx(0.125**0.5)
    assert slide_store.set_mpp(ids, 0.25, 0.5) is None
    with pytest.raises(ProjectError, match="0 x 0"):
        slide_store.set_mpp(ids, 0)
    for size in (0.049, 20.1, float("nan")):
        with pytest.raises(ProjectError, match=r"Use 0\.05 to 20 µm"):
            slide_store.set_mpp(ids, 0.25, size)
    slide_store.undo("labels")
    image = slide_store.image(1)
    assert (image.mpp_y, image.mpp_x) == (0.5, 0.5)


def test_a_source_that_there_is_not(slide_store: ProjectStore) -> None:
    with pytest.raises(ProjectError, match="Source 9"):
        slide_store.source(9)
