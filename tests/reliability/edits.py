"""Edits of a project, and what the project must hold after them.

An edit is a JSON object that names images and classes instead of ids, so that it can be
drawn in one process, made in a second and checked in a third. :class:`Known` is the
slow, obvious twin of the store: it says what is right after each edit.
"""

import csv
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.project.labels_import import import_labels
from segmix_core.project.records import KEEP, UNCHANGED, Review
from segmix_core.project.store import ProjectStore

Edit = Mapping[str, Any]
Tile = tuple[str, int, int, int, int]
"""Name of the image, then y, x, height and width in level-0 pixels."""
Mask = npt.NDArray[np.uint8]
Scope = Literal["labels", "masks"]

CLASSES = ("gland", "stroma", "lymph")
TILES, TILE_PX, WHOLE_PX = 12, 64, 256
WHOLE = "whole.png"
"""The image that imports cut into windows; the others are tiles as they are."""
_UNTOUCHED = 254
_PEN = (0, 1, 2, 3, 255, _UNTOUCHED, UNCHANGED)


def draw_images(folder: Path, names: Iterable[str], edge: int) -> None:
    """Write images of noise, pink enough to be tissue."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers((150, 60, 110), (230, 140, 200), (edge, edge, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def make_project(folder: Path) -> Path:
    """Make a project of three classes, twelve tiles and one larger image."""
    draw_first_images(folder)
    path = folder / "p.segmix"
    with ProjectStore.create(path, CLASSES) as store:
        add_first_images(store, folder)
    return path


def draw_first_images(folder: Path) -> None:
    """Write the images of a new project."""
    draw_images(folder / "tiles", [f"t{i}.png" for i in range(TILES)], TILE_PX)
    draw_images(folder / "whole", [WHOLE], WHOLE_PX)


def add_first_images(store: ProjectStore, folder: Path) -> None:
    """Add what :func:`draw_first_images` wrote, in one step."""
    add_paths(store, [folder / "tiles", folder / "whole"], tile_px=WHOLE_PX)


@dataclass(frozen=True)
class Known:
    """All that a user would remember of a project.

    Attributes
    ----------
    classes
        Name and color of each class.
    labels
        Each visible tile, with its states; classes that are left out are unknown.
    splits, sizes
        By image: its split, and µm per pixel in y and x or None.
    reviews
        What was said of masks; tiles without a review are left out.
    masks
        By image: corrected pixels, 254 where there are none.
    """

    classes: tuple[tuple[str, str], ...] = ()
    labels: Mapping[Tile, tuple[int, ...]] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    reviews: Mapping[Tile, int] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def differences(self, other: "Known") -> list[str]:
        """Return the names of what differs for somebody who looks at the project."""
        found = [] if self.classes == other.classes else ["classes"]
        count = len(self.classes)
        if _padded(self.labels, count) != _padded(other.labels, count):
            found.append("labels")
        found += [
            name
            for name in ("splits", "sizes")
            if getattr(self, name) != getattr(other, name)
        ]
        if _visible(self.reviews, self.labels) != _visible(other.reviews, other.labels):
            found.append("reviews")
        if any(_masks_differ(self, other, name) for name in self.splits):
            found.append("masks")
        return found


def _padded(
    labels: Mapping[Tile, tuple[int, ...]], count: int
) -> dict[Tile, tuple[int, ...]]:
    return {
        tile: (*states[:count], *(-1,) * (count - len(states)))
        for tile, states in labels.items()
    }


def _visible(reviews: Mapping[Tile, int], labels: Mapping[Tile, Any]) -> dict[Any, int]:
    return {tile: said for tile, said in reviews.items() if said and tile in labels}


def _masks_differ(one: Known, two: Known, image: str) -> bool:
    masks = [known.masks.get(image) for known in (one, two)]
    if masks[0] is masks[1]:
        return False
    first, second = (
        mask if mask is not None else np.uint8(_UNTOUCHED) for mask in masks
    )
    return bool(np.any(first != second))


_DESKS: dict[Scope, tuple[str, ...]] = {
    "labels": ("classes", "labels", "splits", "sizes"),
    "masks": ("reviews", "masks"),
}
Steps = tuple[Known, "Steps"] | None
"""Former states of one desk, the newest first, as a linked list."""


@dataclass(frozen=True)
class Twin:
    """What is known, and what undo and redo would bring back at each desk."""

    now: Known
    done: Mapping[Scope, Steps] = field(
        default_factory=lambda: {"labels": None, "masks": None}
    )
    undone: Mapping[Scope, Steps] = field(
        default_factory=lambda: {"labels": None, "masks": None}
    )

    def after(self, edit: Edit) -> "Twin":
        """Return the twin after an edit."""
        kind = edit["kind"]
        if kind in ("undo", "redo"):
            return self._traveled(kind, edit["scope"])
        new = _EFFECTS[kind](self.now, edit)
        # New windows are new tiles, even where they look like the old ones.
        if kind != "windows" and not new.differences(self.now):
            return self
        scope: Scope = "masks" if kind in ("paint", "review") else "labels"
        return Twin(
            new,
            {**self.done, scope: (self.now, self.done[scope])},
            {**self.undone, scope: None},
        )

    def _traveled(self, kind: str, scope: Scope) -> "Twin":
        back, forth = (
            (self.done, self.undone) if kind == "undo" else (self.undone, self.done)
        )
        step = back[scope]
        if step is None:
            return self
        former, rest = step
        there = {name: getattr(former, name) for name in _DESKS[scope]}
        back = {**back, scope: rest}
        forth = {**forth, scope: (self.now, forth[scope])}
        now = replace(self.now, **there)
        return Twin(now, back, forth) if kind == "undo" else Twin(now, forth, back)


def _after_labels(now: Known, edit: Edit) -> Known:
    labels = dict(now.labels)
    for tile in map(_tile, edit["tiles"]):
        labels[tile] = _with_state(labels[tile], edit["class"], edit["state"])
    return replace(now, labels=labels)


def _with_state(states: tuple[int, ...], index: int, state: int) -> tuple[int, ...]:
    new = [*states, *(-1,) * (index - len(states))]
    new[index - 1] = state
    return tuple(new)


def _tile(content: Iterable[Any]) -> Tile:
    image, y, x, height, width = content
    return str(image), int(y), int(x), int(height), int(width)


def _after_import(now: Known, edit: Edit) -> Known:
    labels = dict(now.labels)
    for image, state in edit["rows"].items():
        [tile] = [tile for tile in labels if tile[0] == image]
        labels[tile] = _with_state(labels[tile], edit["class"], state)
    return replace(now, labels=labels)


def _after_windows(now: Known, edit: Edit) -> Known:
    labels = {tile: v for tile, v in now.labels.items() if tile[0] != WHOLE}
    edge, index = edit["edge"], edit["class"]
    for (y, x), state in zip(_corners(edge), edit["states"], strict=True):
        labels[WHOLE, y, x, edge, edge] = _with_state((), index, state)
    return replace(now, labels=labels)


def _corners(edge: int) -> list[tuple[int, int]]:
    starts = range(0, WHOLE_PX, edge)
    return [(y, x) for y in starts for x in starts]


def _after_class(now: Known, edit: Edit) -> Known:
    classes = list(now.classes)
    if edit["kind"] == "add class":
        classes.append((edit["name"], edit["color"]))
    else:
        name, color = classes[edit["class"] - 1]
        new = edit.get("name", name), edit.get("color", color)
        classes[edit["class"] - 1] = new
    return replace(now, classes=tuple(classes))


def _after_add(now: Known, edit: Edit) -> Known:
    names = [image["name"] for image in edit["images"]]
    return replace(
        now,
        labels={
            **now.labels,
            **{(name, 0, 0, TILE_PX, TILE_PX): () for name in names},
        },
        splits={**now.splits, **dict.fromkeys(names, "train")},
        sizes={**now.sizes, **dict.fromkeys(names)},
    )


def _after_review(now: Known, edit: Edit) -> Known:
    new = {_tile(tile): int(edit["said"]) for tile in edit["tiles"]}
    return replace(now, reviews={**now.reviews, **new})


def _after_paint(now: Known, edit: Edit) -> Known:
    image, box, values = edit["image"], Box(*edit["box"]), stroke(edit)
    old = now.masks.get(image)
    shape = (WHOLE_PX,) * 2 if image == WHOLE else (TILE_PX,) * 2
    mask = np.full(shape, _UNTOUCHED, np.uint8) if old is None else old.copy()
    part = mask[box.slices]
    part[values != UNCHANGED] = values[values != UNCHANGED]
    return replace(now, masks={**now.masks, image: mask})


def stroke(edit: Edit) -> Mask:
    """Return the pixels of a "paint" edit: one value, or a mix of all."""
    _, _, height, width = edit["box"]
    if edit["value"] is not None:
        return np.full((height, width), edit["value"], np.uint8)
    rng = np.random.default_rng(edit["seed"])
    return rng.choice(np.array(_PEN, np.uint8), (height, width))


_EFFECTS: dict[str, Callable[[Known, Edit], Known]] = {
    "label": _after_labels,
    "import": _after_import,
    "windows": _after_windows,
    "add class": _after_class,
    "rename class": _after_class,
    "recolor class": _after_class,
    "add": _after_add,
    "split": lambda now, edit: replace(
        now, splits={**now.splits, edit["image"]: edit["split"]}
    ),
    "pixel size": lambda now, edit: replace(
        now, sizes={**now.sizes, edit["image"]: tuple(edit["mpp"])}
    ),
    "review": _after_review,
    "paint": _after_paint,
}


def observe(store: ProjectStore) -> Known:
    """Return all that a project holds."""
    images = {image.id: image for image in store.images()}
    table = store.tiles()
    tiles = [
        _tile((images[image_id].path.name, *box))
        for image_id, box in zip(
            table.image_ids.tolist(), table.boxes.tolist(), strict=True
        )
    ]
    masks = {
        image.path.name: store.corrections(image.id, Box(0, 0, *image.working_shape))
        for image in images.values()
    }
    return Known(
        classes=tuple((entry.name, entry.color) for entry in store.classes()),
        labels=dict(zip(tiles, map(tuple, table.labels.tolist()), strict=True)),
        splits={image.path.name: image.split for image in images.values()},
        sizes={
            image.path.name: None
            if image.mpp_y is None or image.mpp_x is None
            else (image.mpp_y, image.mpp_x)
            for image in images.values()
        },
        reviews=dict(zip(tiles, table.reviews.tolist(), strict=True)),
        masks=masks,
    )


class EditMaker:
    """Draws edits that fit what is known.

    Parameters
    ----------
    seed
        Of the drawing.
    folder
        Where tables to import and images to add are written.
    name
        Part of every new name, so that several makers never take the same.
    without
        Kinds of edits that are not drawn.
    """

    def __init__(
        self, seed: int, folder: Path, name: str = "", without: Iterable[str] = ()
    ) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.name = name
        self._without = set(without)
        self._number = 0

    def draw(self, twin: Twin) -> Edit:
        """Return an edit; it may change nothing."""
        makers = (
            (34, self.draw_label),
            (26, self._paint),
            (8, self._review),
            (12, self._undo),
            (4, self._redo),
            (5, self._class),
            (4, self._import),
            (2, self._windows),
            (3, self._split),
            (2, self._size),
            (1, self._add),
        )
        weights, choices = zip(*makers, strict=True)
        [chosen] = self.chance.choices(choices, weights)
        edit = chosen(twin)
        if edit is None or edit["kind"] in self._without:
            return self.draw_label(twin)
        return edit

    def _new(self, noun: str) -> str:
        self._number += 1
        return f"{noun}{self.name}-{self._number}"

    def _some(self, tiles: Iterable[Tile], most: int) -> list[Tile]:
        ordered = sorted(tiles)
        count = min(len(ordered), self.chance.randint(1, most))
        return self.chance.sample(ordered, count)

    def draw_label(self, twin: Twin) -> Edit:
        """Return an edit of labels."""
        return {
            "kind": "label",
            "tiles": self._some(twin.now.labels, 8),
            "class": self.chance.randint(1, len(twin.now.classes)),
            "state": self.chance.choice((-1, 0, 1, 1)),
        }

    def _paint(self, twin: Twin) -> Edit:
        image = self.chance.choice([*sorted(twin.now.splits), WHOLE])
        edge = WHOLE_PX if image == WHOLE else TILE_PX
        y, x = self.chance.randrange(edge), self.chance.randrange(edge)
        mixed = self.chance.random() < 0.4
        return {
            "kind": "paint",
            "image": image,
            "box": [
                *(y, x),
                self.chance.randint(1, edge - y),
                self.chance.randint(1, edge - x),
            ],
            "value": None if mixed else self.chance.choice(_PEN[:-1]),
            "seed": self.chance.randrange(2**31),
        }

    def _review(self, twin: Twin) -> Edit:
        # The tiles of the whole image come and go with its windows.
        tiles = (tile for tile in twin.now.labels if tile[0] != WHOLE)
        return {
            "kind": "review",
            "tiles": self._some(tiles, 3),
            "said": self.chance.choice([int(review) for review in Review]),
        }

    def _undo(self, twin: Twin) -> Edit | None:
        scope = self.chance.choice(("labels", "masks"))
        return {"kind": "undo", "scope": scope} if twin.done[scope] else None

    def _redo(self, twin: Twin) -> Edit | None:
        scope = self.chance.choice(("labels", "masks"))
        return {"kind": "redo", "scope": scope} if twin.undone[scope] else None

    def _class(self, twin: Twin) -> Edit:
        color = f"#{self.chance.randrange(16**6):06x}"
        kind = self.chance.choice(("add class", "rename class", "recolor class"))
        if kind == "add class" and len(twin.now.classes) < 8:
            return {"kind": kind, "name": self._new("class"), "color": color}
        index = self.chance.randint(1, len(twin.now.classes))
        if kind == "recolor class":
            return {"kind": kind, "class": index, "color": color}
        return {"kind": "rename class", "class": index, "name": self._new("class")}

    def _import(self, twin: Twin) -> Edit:
        images = sorted(set(twin.now.splits) - {WHOLE})
        chosen = self.chance.sample(images, self.chance.randint(1, len(images)))
        return {
            "kind": "import",
            "table": str(self.folder / f"{self._new('labels')}.csv"),
            "class": self.chance.randint(1, len(twin.now.classes)),
            "rows": {image: self.chance.randint(0, 1) for image in chosen},
        }

    def _windows(self, twin: Twin) -> Edit:
        edge = self.chance.choice((64, 128))
        states = [self.chance.randint(0, 1) for _ in _corners(edge)]
        return {
            "kind": "windows",
            "table": str(self.folder / f"{self._new('windows')}.csv"),
            "class": self.chance.randint(1, len(twin.now.classes)),
            "edge": edge,
            "states": states,
        }

    def _split(self, twin: Twin) -> Edit:
        return {
            "kind": "split",
            "image": self.chance.choice(sorted(twin.now.splits)),
            "split": self.chance.choice(("train", "val", "test")),
        }

    def _size(self, twin: Twin) -> Edit:
        mpp = self.chance.choice((0.25, 0.5, 1.0))
        return {
            "kind": "pixel size",
            "image": self.chance.choice(sorted(twin.now.splits)),
            "mpp": [mpp, mpp * self.chance.choice((1.0, 1.5))],
        }

    def _add(self, twin: Twin) -> Edit | None:
        if len(twin.now.splits) > 60:
            return None
        folder = self.folder / self._new("more")
        names = [f"{folder.name}-{i}.png" for i in range(2)]
        draw_images(folder, names, TILE_PX)
        return {
            "kind": "add",
            "folder": str(folder),
            "images": [{"name": name} for name in names],
        }


class GoneError(Exception):
    """An image or tile of an edit is not in the project any more."""


def perform(store: ProjectStore, edit: Edit) -> Any:
    """Make an edit in a project; return what the store says.

    Raises
    ------
    GoneError
        If somebody else has taken away what it is about.
    """
    return _DOORS[edit["kind"]](store, edit)


def _ids_of(store: ProjectStore, tiles: Iterable[Iterable[Any]]) -> Any:
    names = {image.id: image.path.name for image in store.images()}
    table = store.tiles()
    places = {
        _tile((names.get(image_id, ""), *box)): tile_id
        for tile_id, image_id, box in zip(
            table.ids.tolist(),
            table.image_ids.tolist(),
            table.boxes.tolist(),
            strict=True,
        )
    }
    found = [places.get(_tile(tile)) for tile in tiles]
    if None in found:
        raise GoneError
    return np.array(found, np.int64)


def _image_id(store: ProjectStore, name: str) -> int:
    for image in store.images():
        if image.path.name == name:
            return image.id
    raise GoneError


def _do_label(store: ProjectStore, edit: Edit) -> Any:
    ids, classes = _ids_of(store, edit["tiles"]), store.classes()
    if edit["class"] > len(classes):
        raise GoneError
    states = np.full((len(ids), len(classes)), KEEP, np.int8)
    states[:, edit["class"] - 1] = edit["state"]
    return store.set_labels(ids, states, classes)


def _do_paint(store: ProjectStore, edit: Edit) -> Any:
    image_id = _image_id(store, edit["image"])
    return store.correct_mask(image_id, Box(*edit["box"]), stroke(edit))


def _class_name(store: ProjectStore, edit: Edit) -> str:
    classes = store.classes()
    if edit["class"] > len(classes):
        raise GoneError
    return classes[edit["class"] - 1].name


def write_labels(store: ProjectStore, edit: Edit) -> Path:
    """Write the table of an "import" or "windows" edit."""
    name = _class_name(store, edit)
    if edit["kind"] == "import":
        rows = [["filename", f"is_{name}"], *map(list, edit["rows"].items())]
    else:
        edge = edit["edge"]
        rows = [["filename", "x", "y", "size", f"is_{name}"]]
        for (y, x), state in zip(_corners(edge), edit["states"], strict=True):
            rows.append([WHOLE, x, y, edge, state])
    write_table(Path(edit["table"]), rows)
    return Path(edit["table"])


def _do_import(store: ProjectStore, edit: Edit) -> Any:
    return import_labels(store, write_labels(store, edit))


def _do_windows(store: ProjectStore, edit: Edit) -> Any:
    table = write_labels(store, edit)
    return import_labels(store, table, kind="windows", replace=True)


def write_table(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


_DOORS: dict[str, Callable[[ProjectStore, Edit], Any]] = {
    "label": _do_label,
    "paint": _do_paint,
    "import": _do_import,
    "windows": _do_windows,
    "review": lambda store, edit: store.set_reviews(
        _ids_of(store, edit["tiles"]), Review(edit["said"])
    ),
    "undo": lambda store, edit: store.undo(edit["scope"]),
    "redo": lambda store, edit: store.redo(edit["scope"]),
    "add class": lambda store, edit: store.add_class(edit["name"], edit["color"]),
    "rename class": lambda store, edit: store.rename_class(edit["class"], edit["name"]),
    "recolor class": lambda store, edit: store.recolor_class(
        edit["class"], edit["color"]
    ),
    "split": lambda store, edit: store.set_splits(
        np.array([_image_id(store, edit["image"])]), [edit["split"]]
    ),
    "pixel size": lambda store, edit: store.set_mpp(
        np.array([_image_id(store, edit["image"])]), *edit["mpp"]
    ),
    "add": lambda store, edit: add_paths(store, [Path(edit["folder"])]),
}


def make_edits(project: Path, edits: Iterable[Edit], acknowledged: Path) -> None:
    """Make edits one after the other; acknowledge each."""
    acknowledge = acknowledger(acknowledged)
    with ProjectStore.open(project) as store:
        for edit in edits:
            perform(store, edit)
            acknowledge()


def acknowledger(acknowledged: Path) -> Callable[[], object]:
    """Return a function that acknowledges an edit by one more byte in a file."""
    file = os.open(acknowledged, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    return lambda: os.write(file, b".")


def count_acknowledged(acknowledged: Path) -> int:
    """Return how many edits have been acknowledged."""
    return acknowledged.stat().st_size if acknowledged.exists() else 0
