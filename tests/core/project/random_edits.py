"""Edits of every kind, drawn from a seed, of whatever a project holds."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.import_draft import ImportContent, NewWindows
from segmix_core.project.records import Review, Scope, Tissue
from segmix_core.project.restore import restore
from segmix_core.project.snapshots import (
    copy_database,
    list_snapshots,
    snapshot_folder,
)
from segmix_core.project.store import ProjectStore
from tests.core.project.conftest import add_slide

Rng = np.random.Generator
Ids = npt.NDArray[np.int64]
_MOST_CLASSES = 6


def _some_tiles(store: ProjectStore, rng: Rng) -> Ids:
    ids = store.tiles().ids
    return rng.permutation(ids)[: rng.integers(1, 5)]


def _states(store: ProjectStore, rng: Rng, count: int) -> npt.NDArray[np.int8]:
    return rng.integers(-2, 2, (count, len(store.classes()))).astype(np.int8)


def label(store: ProjectStore, rng: Rng) -> None:
    ids = _some_tiles(store, rng)
    store.set_labels(ids, _states(store, rng, len(ids)))


def review(store: ProjectStore, rng: Rng) -> None:
    store.set_reviews(_some_tiles(store, rng), Review(int(rng.integers(3))))


def paint(store: ProjectStore, rng: Rng) -> None:
    for image in store.images()[:1]:
        values = np.full((4, 4), rng.choice([0, 254, 255]), np.uint8)
        store.correct_mask(image.id, Box(int(rng.integers(9)), 0, 4, 4), values)


def add_class(store: ProjectStore, rng: Rng) -> None:
    if len(store.classes()) < _MOST_CLASSES:
        store.add_class(f"class {store.revision}")


def rename_class(store: ProjectStore, rng: Rng) -> None:
    index = int(rng.integers(len(store.classes()))) + 1
    store.rename_class(index, f"name {store.revision}")


def add_source(store: ProjectStore, rng: Rng) -> None:
    add_slide(store, 2, int(rng.integers(1, 4)), f"slide {store.revision}")


def split(store: ProjectStore, rng: Rng) -> None:
    ids = np.array([image.id for image in store.images()], np.int64)
    store.set_splits(ids, rng.choice(["train", "val"], len(ids)).tolist())


def import_labels(store: ProjectStore, rng: Rng) -> None:
    ids = _some_tiles(store, rng)
    splits = {image.id: "test" for image in store.images()[:1]}
    states = _states(store, rng, len(ids))
    store.record_import(ImportContent("Imported labels", ids, states, splits))


def import_windows(store: ProjectStore, rng: Rng) -> None:
    for image in store.images()[:1]:
        edge = int(rng.choice([32, 64]))
        places = np.arange(2)
        boxes = np.column_stack((places * 0, places * edge, *np.full((2, 2), edge)))
        states = _states(store, rng, 2)
        windows = NewWindows(image.id, boxes, places * 0, places, states)
        none = np.zeros(0, np.int64)
        content = ImportContent("Imported", none, states[:0], windows=[windows])
        store.record_import(content)


def cut_tissue(store: ProjectStore, rng: Rng) -> None:
    for image in store.images()[:1]:
        tiles = store.tiles(image.source_id)
        kept = tiles.take(rng.permutation(len(tiles))[: rng.integers(1, 9)])
        tissue = Tissue(rng.random((3, 3)) < 0.5, 64.0, 0.2)
        store.set_tissue(image.id, tissue, kept.boxes, kept.rows, kept.cols)


def _scope(rng: Rng) -> Scope:
    return "labels" if rng.random() < 0.7 else "masks"


def undo(store: ProjectStore, rng: Rng) -> None:
    for _ in range(rng.integers(1, 5)):
        store.undo(_scope(rng))


def redo(store: ProjectStore, rng: Rng) -> None:
    for _ in range(rng.integers(1, 5)):
        store.redo(_scope(rng))


def keep(store: ProjectStore, rng: Rng) -> None:
    folder = snapshot_folder(store.path)
    folder.mkdir(exist_ok=True)
    with store._database.reading() as connection:
        copy_database(connection, folder / f"kept-{store.revision}.sqlite")


def go_back(store: ProjectStore, rng: Rng) -> None:
    found = [s.name for s in list_snapshots(store.path) if s.name.startswith("kept")]
    if found:
        restore(store.path, str(rng.choice(found)))


EDITS: dict[str, Callable[[ProjectStore, Rng], None]] = {
    edit.__name__: edit
    for edit in (
        *(label, review, paint, add_class, rename_class, add_source, split),
        *(import_labels, import_windows, cut_tissue, undo, redo, keep, go_back),
    )
}
OFTEN = ("label", "label", "label", "review", "undo", "redo", "add_class")


def make_edit(store: ProjectStore, name: str, seed: int) -> None:
    """Make an edit of :data:`EDITS`; one that the project refuses is none."""
    try:
        EDITS[name](store, np.random.default_rng(seed))
    except ProjectError:
        return
