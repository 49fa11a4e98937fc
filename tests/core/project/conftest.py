from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from segmix_core.project.records import NewImage, Source, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore


def new_slide(path: Path, rows: int, cols: int, edge: int = 64) -> NewImage:
    row, col = np.divmod(np.arange(rows * cols), cols)
    size = np.full_like(row, edge)
    return NewImage(
        path=path,
        height=rows * edge,
        width=cols * edge,
        mpp_y=0.5,
        mpp_x=0.5,
        downsample=1.0,
        group=path.stem,
        boxes=np.column_stack((row * edge, col * edge, size, size)),
        rows=row,
        cols=col,
    )


def add_slide(
    store: ProjectStore, rows: int = 3, cols: int = 4, name: str = "slide"
) -> Source:
    path = store.path.parent / f"{name}.tif"
    image = new_slide(path, rows, cols)
    return store.add_source(
        SourceKind.SLIDE, path, name, TilingPlan(64, 64, 0.5), [image]
    )


def add_folder(
    store: ProjectStore, names: list[str], edge: int = 96, folder: str = "images"
) -> Source:
    path = store.path.parent / folder
    images = [
        NewImage(
            path=path / name,
            height=edge,
            width=edge,
            mpp_y=None,
            mpp_x=None,
            downsample=1.0,
            group="",
            boxes=np.array([[0, 0, edge, edge]]),
            rows=np.array([0]),
            cols=np.array([i]),
        )
        for i, name in enumerate(names)
    ]
    return store.add_source(
        SourceKind.FOLDER, path, folder, TilingPlan(edge, edge), images
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProjectStore]:
    with ProjectStore.create(tmp_path / "p.segmix", ["gland", "stroma"]) as opened:
        yield opened


@pytest.fixture
def slide_store(store: ProjectStore) -> ProjectStore:
    add_slide(store)
    return store


@pytest.fixture
def folder_store(store: ProjectStore) -> ProjectStore:
    add_folder(store, ["a.png", "b.png", "c.png"])
    return store


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write_text(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_text
