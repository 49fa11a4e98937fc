"""Labels in the names of files: the digits in brackets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.project.importers.brackets import PRESETS, bracket_digits
from segmix_core.project.labels_import import import_labels
from segmix_core.project.store import ProjectStore
from tests.core.project.plain_images import add_images

Write = Callable[[str, str], Path]


def labels_of(store: ProjectStore) -> list[list[int]]:
    labels: list[list[int]] = store.tiles().labels.tolist()
    return labels


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500+0[1101].png", "1101"),
        ("1031280-2300-27920-[1 0 0 1].png", "1001"),
        ("1122944-38522-48331-[0, 0, 1].png", "001"),
        ("a[2].png", None),
        ("a[1]b.png", None),
        ("a.png", None),
    ],
)
def test_bracket_digits(name: str, digits: str | None) -> None:
    assert bracket_digits(name) == digits


NAMES = ["x[1 0 0 1].png", "y[0100].png"]


@pytest.fixture
def bracket_store(tmp_path: Path) -> ProjectStore:
    store = ProjectStore.create(
        tmp_path / "q.segmix", ["Necrosis", "tumor epithelium", "stroma", "LYM", "fat"]
    )
    add_images(store, tmp_path / "set" / "training", NAMES)
    for folder in ("training", "val/mask"):
        (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (tmp_path / "set" / "training" / name).touch()
    (tmp_path / "set" / "val" / "mask" / "z[1111].png").touch()
    (tmp_path / "set" / "training" / "plain.png").touch()
    return store


@pytest.mark.parametrize(
    ("preset", "first", "second"),
    [
        ("luad-histoseg", [0, 1, 1, 0, -1], [1, 0, 0, 0, -1]),
        ("bcss-wsss", [1, 1, 0, 0, -1], [0, 0, 1, 0, -1]),
    ],
)
def test_presets_order_the_digits(
    bracket_store: ProjectStore,
    tmp_path: Path,
    preset: str,
    first: list[int],
    second: list[int],
) -> None:
    with bracket_store as store:
        if preset == "bcss-wsss":
            store.rename_class(2, "Tumour")
        store.set_splits(np.array([1, 2]), ["test", "test"])
        report = import_labels(store, tmp_path / "set", preset=preset)
        assert (report.images, report.labels) == (2, 8)
        assert labels_of(store) == [first, second]
        assert store.image(1).split == "train"
        unused = (
            "1 image file without digits in brackets was skipped, such as plain.png."
        )
        assert report.notes[0] == unused


def test_bracket_problems(bracket_store: ProjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with bracket_store as store:
        with pytest.raises(ProjectError, match="No data set was chosen"):
            import_labels(store, folder)
        with pytest.raises(ProjectError, match="'other'"):
            import_labels(store, folder, kind="brackets", preset="other")
        store.rename_class(2, "tumor")
        with pytest.raises(ProjectError, match="no class 'normal'"):
            import_labels(store, folder, preset="wsss4luad")
        store.rename_class(5, "normal")
        with pytest.raises(ProjectError, match="names without 3 digits"):
            import_labels(store, folder, preset="wsss4luad")
        store.add_class("tum")
        with pytest.raises(ProjectError, match="'tumor' and 'tum' both match"):
            import_labels(store, folder, preset="wsss4luad")
        (folder / "test").mkdir()
        (folder / "test" / "y[010].png").touch()
        store.rename_class(6, "other")
        with pytest.raises(ProjectError, match=r"in the project \(test/y\[010\]"):
            import_labels(store, folder, preset="wsss4luad")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ProjectError, match="empty has no labels"):
            import_labels(
                store, tmp_path / "empty", kind="brackets", preset="bcss-wsss"
            )
        with pytest.raises(ProjectError, match="no file names with digits"):
            import_labels(store, tmp_path / "empty")
        assert set(PRESETS) == {"bcss-wsss", "luad-histoseg", "wsss4luad"}
