"""The content of an import as one journal entry."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from segmix_core.project.drafts import (
    Draft,
    Ids,
    States,
    draft_boxes,
    draft_image_texts,
    draft_labels,
    hidden_boxes,
)
from segmix_core.project.journal import Part
from segmix_core.project.records import KEEP, LabelState, TissueClass


@dataclass(frozen=True, slots=True, eq=False)
class NewWindows:
    """Tiles that replace those of an image.

    Attributes
    ----------
    boxes
        (n, 4) int64: y, x, height, width in level-0 pixels.
    rows, cols
        (n,) int64.
    states
        (n, C) int8 of LabelState.
    """

    image_id: int
    boxes: Ids
    rows: Ids
    cols: Ids
    states: States


@dataclass(frozen=True, slots=True, eq=False)
class ImportContent:
    """Everything one import changes.

    Attributes
    ----------
    description
        A sentence for the user.
    tile_ids, states
        (n,) int64 and (n, C) int8: labels of tiles that exist; KEEP leaves a label.
    splits, groups
        By image id.
    windows
        New tiles, with their labels.
    tile_px
        New tile size in working pixels, by source id; stride is the same.
    """

    description: str
    tile_ids: Ids
    states: States
    splits: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)
    windows: Sequence[NewWindows] = ()
    tile_px: Mapping[int, int] = field(default_factory=dict)


def draft_import(
    database: sqlite3.Connection,
    content: ImportContent,
    classes: Sequence[TissueClass],
) -> Draft:
    """Return one change with all of ``content`` that differs from the project."""
    labels = draft_labels(database, content.tile_ids, content.states, classes)
    drafts = [
        labels,
        _draft_texts(database, "split", content.splits),
        _draft_texts(database, "group", content.groups),
    ]
    parts = [part for draft in drafts for part in draft.parts]
    for windows in content.windows:
        parts += _window_parts(database, windows, parts)
    parts += _plan_parts(database, content.tile_px)
    image_ids = {image_id for draft in drafts for image_id in draft.image_ids}
    image_ids |= {windows.image_id for windows in content.windows}
    return Draft(content.description, tuple(parts), tuple(sorted(image_ids)))


def _draft_texts(
    database: sqlite3.Connection,
    column: Literal["split", "group"],
    texts: Mapping[int, str],
) -> Draft:
    ids = np.array(list(texts), np.int64)
    return draft_image_texts(database, column, ids, list(texts.values()))


def _window_parts(
    database: sqlite3.Connection, windows: NewWindows, before: Sequence[Part]
) -> Iterator[Part]:
    shown = database.execute(
        "SELECT id FROM tile WHERE image_id = ? AND shown", (windows.image_id,)
    ).fetchall()
    old = np.array([row[0] for row in shown], np.int64)
    rows = hidden_boxes(windows.image_id, windows.boxes, windows.rows, windows.cols)
    written = [part for part in before if part.kind == "boxes"]
    added = draft_boxes(database, rows, written)
    new = added.keys
    yield added
    was_shown = np.repeat(np.array([1, 0], np.uint8), (len(old), len(new)))
    yield Part("tiles", np.concatenate((old, new)), was_shown, 1 - was_shown)
    known = (windows.states >= 0).any(1)
    if known.any():
        states = np.where(
            windows.states[known] == KEEP, LabelState.UNKNOWN, windows.states[known]
        ).astype(np.int8)
        yield Part("labels", new[known], np.full_like(states, -1), states)


def _plan_parts(
    database: sqlite3.Connection, tile_px: Mapping[int, int]
) -> Iterator[Part]:
    for source_id, size in tile_px.items():
        before = database.execute(
            "SELECT tile_px, stride_px FROM source WHERE id = ?", (source_id,)
        ).fetchone()
        if before != (size, size):
            keys = np.array([source_id], np.int64)
            yield Part("plan", keys, np.array(before), np.array((size, size)))
