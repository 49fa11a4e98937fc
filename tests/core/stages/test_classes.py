import numpy as np
import pytest

from segmix_core.errors import CheckpointError, JobError
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import load_tiles, save_tiles
from segmix_core.stages.classes import check_classes, check_mask_classes


@pytest.fixture
def store(tmp_path):
    with ProjectStore.create(tmp_path / "a.segmix", ("gland", "stroma")) as store:
        yield store


def check(store, *found, fewer=False):
    check_classes(
        store,
        found,
        of="weights",
        hint="train again.",
        error=CheckpointError,
        fewer=fewer,
    )


def test_a_class_is_known_by_all_its_names(store):
    check(store, "gland", "stroma")
    store.rename_class(1, "tumour")
    store.rename_class(2, "gland")
    for first in ("gland", "tumour"):
        check(store, first, "stroma")
        check(store, first, "gland")
    with pytest.raises(CheckpointError) as caught:
        check(store, "stroma", "gland")
    assert str(caught.value) == (
        "The classes of the weights have changed: stroma is now tumour. Train again."
    )
    store.undo()
    check(store, "tumour", "gland")


def test_another_class_with_the_same_index_is_another_class(store):
    store.add_class("necrosis")
    store.rename_class(3, "fat")
    check(store, "gland", "stroma", "necrosis")
    for _ in range(2):
        store.undo()
    store.add_class("muscle")
    with pytest.raises(CheckpointError, match=r"necrosis is now muscle"):
        check(store, "gland", "stroma", "necrosis")
    store.undo()
    with pytest.raises(CheckpointError, match="muscle was removed"):
        check(store, "gland", "stroma", "muscle")
    store.redo()
    check(store, "gland", "stroma", "muscle")


def test_an_added_class_may_be_missing_where_that_is_allowed(store):
    store.add_class("fat")
    check(store, "gland", "stroma", fewer=True)
    with pytest.raises(CheckpointError, match="fat is new"):
        check(store, "gland", "stroma")


def test_runs_say_their_classes(folder):
    runs = [folder.run(stage) for stage in ("cams", "pseudo-masks")]
    for run in runs:
        assert load_tiles(run.path)["class_names"].tolist() == ["plain", "striped"]
    masks = runs[1].path
    with folder.store() as store:
        store.add_class("third")
        check_mask_classes(store, masks)
        columns = load_tiles(masks)
        save_tiles(masks, {**columns, "class_names": np.array(["plain", "other"])})
        with pytest.raises(JobError, match=r"other is now striped.*Make them again"):
            check_mask_classes(store, masks)
    for stage in ("train-segmenter", "export"):
        with pytest.raises(JobError, match="other is now striped"):
            folder.attempt(stage, inputs={"pseudo-masks": masks})
    del columns["class_names"]
    save_tiles(masks, columns)
    with (
        folder.store() as store,
        pytest.raises(JobError, match=r"do not say which classes.*Make them again"),
    ):
        check_mask_classes(store, masks)
