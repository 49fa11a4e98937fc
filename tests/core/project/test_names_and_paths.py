import os
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

from segmix_core.errors import ProjectError
from segmix_core.project.class_rules import (
    checked_color,
    checked_name,
    default_color,
    is_color,
)
from segmix_core.project.importers.label_rows import split_name
from segmix_core.project.importers.report import crossing_groups
from segmix_core.project.paths import actual_path, moved_path, stored_path
from segmix_core.project.records import MAX_CLASSES, TissueClass
from segmix_core.project.store import ProjectStore


def test_crossing_groups() -> None:
    groups, splits = ["b", "a", "b", "", ""], ["val", "train", "train", "val", "test"]
    assert crossing_groups(groups, splits) == ("b",)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Training", "train"), (" valid ", "val"), ("test", "test"), ("x", None)],
)
def test_split_names(text: str, name: str | None) -> None:
    assert split_name(text) == name


def test_default_colors_are_all_different() -> None:
    colors = [default_color(i) for i in range(MAX_CLASSES)]
    assert all(is_color(color) for color in colors)
    assert len(set(colors)) == MAX_CLASSES


# Machado, Oliveira & Fernandes (2009), table 1, severity 1, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.mark.parametrize("vision", VISION)
def test_default_colors_for_any_color_vision(vision: str) -> None:
    rgb = np.array([tuple(bytes.fromhex(default_color(i)[1:])) for i in range(32)])
    linear = np.where(
        rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4
    )
    seen = np.clip(linear @ VISION[vision].T, 0, 1)
    encoded = np.where(
        seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055
    )
    lab = rgb2lab(encoded[None])[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 999 * np.eye(32)
    # A just noticeable difference is about 2.3.
    assert distance[:16, :16].min() > 15
    assert distance.min() > 10


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "_", "_ _"])
def test_wrong_names(name: str) -> None:
    with pytest.raises(ProjectError, match="cannot be the name"):
        checked_name(name, [])


@pytest.mark.parametrize("name", ["GLAND", "gland_", "tumor  bed", "tumor_bed"])
def test_names_that_cannot_be_told_apart_are_refused(
    store: ProjectStore, name: str
) -> None:
    store.add_class("tumor bed")
    with pytest.raises(ProjectError, match=f"' and '{name}' are too similar"):
        store.add_class(name)
    with pytest.raises(ProjectError, match="are too similar"):
        store.rename_class(2, f" {name} ")
    with pytest.raises(ProjectError, match="are too similar"):
        ProjectStore.create(store.path / "new", ["gland", "tumor bed", name])


def test_names_with_other_signs_are_other_names(store: ProjectStore) -> None:
    for name in ("CD8+", "CD8-", "CD8", "T-cell", "T cell", "Tcell", "1-2", "12"):
        assert store.add_class(name).name == name


def test_names_are_composed(store: ProjectStore) -> None:
    assert store.add_class("e\u0301pithelium").name == "\u00e9pithelium"
    with pytest.raises(ProjectError, match="too similar"):
        store.add_class("\u00e9pithelium")


def test_at_most_250_classes() -> None:
    many = [TissueClass(i + 1, str(i), "#000000") for i in range(MAX_CLASSES)]
    with pytest.raises(ProjectError, match="at most 250"):
        checked_name("one more", many)


@pytest.mark.parametrize("color", ["red", "#12345", "#12345g", ""])
def test_wrong_colors(color: str) -> None:
    with pytest.raises(ProjectError, match="#rrggbb"):
        checked_color(color)


def test_paths_near_the_project_are_relative(tmp_path: Path) -> None:
    project = tmp_path / "a" / "p"
    for path, text in (
        (project / "x.tif", "x.tif"),
        (tmp_path / "a" / "s" / "x.tif", "../s/x.tif"),
        (tmp_path / "x.tif", (tmp_path / "x.tif").as_posix()),
    ):
        assert stored_path(path, project) == text
        assert actual_path(text, project) == path


def test_moved_paths() -> None:
    old, new = Path("/a/old"), Path("/b/new")
    assert moved_path(old / "s" / "x.png", old, new) == new / "s" / "x.png"
    assert moved_path(old, old, new) == new
    assert moved_path(Path("/c/x.png"), old, new) == new / "x.png"


@pytest.mark.parametrize(
    "path",
    [
        *("/w/p.segmix", "/w", "/", "/x.png", "/w/x.png", "/w/p.segmix/x.png"),
        *("/w/p.segmix/a/b/x.png", "/w/a/../b/x.png", "/v/x.png", "/w/p.segmix2/x.png"),
        *("/w/a b/\u00e9.png", "/w/./x.png", "/v/w/p.segmix/x.png"),
    ],
)
def test_paths_come_back(path: str) -> None:
    project = Path("/w/p.segmix")
    stored = stored_path(Path(path), project)
    normal = Path(os.path.normpath(path))
    assert actual_path(stored, project) == normal
    is_near = normal.is_relative_to("/w")
    assert Path(stored).is_absolute() != is_near
    # The project and what lies beside it can be moved together.
    if is_near:
        moved = actual_path(stored, Path("/new/p.segmix"))
        assert moved == Path("/new") / normal.relative_to("/w")


def test_a_damaged_path_is_of_a_missing_file(tmp_path: Path) -> None:
    path = actual_path("../sli\0de.svs", tmp_path / "p.segmix")
    assert path == tmp_path / "sli\ufffdde.svs"
    assert not path.exists()
