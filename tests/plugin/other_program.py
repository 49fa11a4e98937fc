"""A program beside the window: does what is asked on stdin with a project of its own.

Each line is a JSON list: a verb of :data:`VERBS` and its arguments. The answer is a
line with "done", after the change is in the file.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.intake.tissue import paint_tissue, read_tissue
from segmix_core.project.labels_import import import_labels
from segmix_core.project.records import Review
from segmix_core.project.restore import restore
from segmix_core.project.store import ProjectStore
from tests.core.project.random_edits import make_edit


def label(store: ProjectStore, tile_id: int, states: list[int]) -> None:
    store.set_labels(np.array([tile_id]), np.array([states], np.int8))


def paint(store: ProjectStore, image_id: int, box: list[int], value: int) -> None:
    values = np.full(box[2:], value, np.uint8)
    store.correct_mask(image_id, Box(*box), values)


def review(store: ProjectStore, tile_id: int) -> None:
    store.set_reviews(np.array([tile_id]), Review.ACCEPTED)


def add_source(store: ProjectStore, path: str, tile_px: int) -> None:
    add_paths(store, [Path(path)], tile_px=tile_px)


def import_windows(store: ProjectStore, table: str) -> None:
    import_labels(store, Path(table), kind="windows", replace=True)


def set_mpp(store: ProjectStore, mpp: float) -> None:
    store.set_mpp(np.array([image.id for image in store.images()]), mpp)


def erase_tissue(store: ProjectStore, image_id: int, columns: int) -> None:
    """Make the right columns of a slide's tissue mask glass."""
    base = read_tissue(store, image_id)
    height, width = base.mask.shape
    box = Box(0, width - columns, height, columns)
    paint_tissue(store, image_id, box, np.zeros((height, columns), np.uint8), base)


VERBS: dict[str, Callable[..., object]] = {
    "add class": ProjectStore.add_class,
    "rename class": ProjectStore.rename_class,
    "undo": ProjectStore.undo,
    "redo": ProjectStore.redo,
    "label": label,
    "paint": paint,
    "review": review,
    "add source": add_source,
    "import windows": import_windows,
    "set mpp": set_mpp,
    "erase tissue": erase_tissue,
    "relocate": lambda store, i, path: store.relocate(i, Path(path)),
    "set setting": ProjectStore.set_setting,
    "edit": make_edit,
}


def main(project: Path) -> None:
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        if verb == "restore":
            restore(project, *arguments)
        else:
            with ProjectStore.open(project) as store:
                VERBS[verb](store, *arguments)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
