"""Pictures of runs in the viewer: the shuffled batch and class activation maps."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segmix._compat import camera
from napari_segmix.actions.background import Background
from napari_segmix.actions.runs import RunActions
from napari_segmix.layers.canvas import Canvas
from napari_segmix.layers.mosaics import Bytes, Mosaic, cam_mosaic, shuffled_mosaic
from napari_segmix.layers.own_layers import find_layer, remove_layers
from napari_segmix.layers.preview_layers import (
    CAM,
    SHUFFLED,
    color_cams,
    remove_previews,
    show_cams,
    show_shuffled,
)
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from napari_segmix.model.placement import Placement
from napari_segmix.model.run_info import RunInfo
from napari_segmix.model.runs import Pictures
from napari_segmix.model.tile_tables import rows_of
from segmix_core.errors import JobError
from segmix_core.runs import RunState
from segmix_core.runs.results import load_tiles, open_cams

if TYPE_CHECKING:
    from pathlib import Path

    from segmix_core.project.records import TileTable, TissueClass
    from segmix_core.stored_arrays import StoredArray

_MOST_TILES = 20_000
"""Tiles whose CAMs are shown; of more, every k-th."""
_BRIGHT_PERCENT = 98.0
_BATCH_ON_SCREEN_PX = 640.0


class PictureActions:
    """Shows what the followed run draws, and all CAMs after the stage "cams".

    Parameters
    ----------
    model
        What is shown.
    background
        Reads in threads.
    canvas
        Gets the layers.
    runs
        Delivers the pictures.
    """

    def __init__(
        self, model: Model, background: Background, canvas: Canvas, runs: RunActions
    ) -> None:
        self._project = model.project
        self._runs = model.runs
        self._notices = model.notices
        self._background = background
        self._viewer = canvas.viewer
        self._classes: tuple[TissueClass, ...] = ()
        runs.previews.connect(self._on_previews)
        runs.ended.connect(self._on_ended)
        model.changes.happened.connect(self._on_change)

    def outline_moved_patches(self, wanted: bool) -> None:
        """Frame the patches of the shuffled batch that came from another tile."""
        self._runs.outlines_moved_patches = wanted
        self._show_shuffled()

    def look_at_batch(self) -> None:
        """Move the view to the shuffled batch."""
        layer = find_layer(self._viewer, SHUFFLED)
        if layer is None:
            self._notices.say("There is no shuffled batch yet: train with a shuffle.")
            return
        layer.visible = True
        low, high = layer.extent.world[:, -2:]
        view = camera(self._viewer)
        view.center = (view.center[0], *((low + high) / 2))
        view.zoom = _BATCH_ON_SCREEN_PX / float(max(high - low))

    def clear(self) -> None:
        """Remove the pictures from the viewer; the next ones come by themselves."""
        self._runs.pictures.clear()
        remove_previews(self._viewer)

    def show_all_cams(self, path: "Path") -> None:
        """Show the CAMs of all tiles of the shown source from a "cams" run."""
        project, viewer = self._project, self._viewer
        tiles, place = project.tiles, project.placement
        if tiles is None or place is None or not project.classes:
            return

        def show(mosaic: Mosaic | None) -> None:
            if mosaic is not None and project.placement is place:
                show_cams(viewer, mosaic, place, project.classes)

        work = partial(read_cams, path, tiles, place)
        self._background.run("Reading class activation maps…", work, show)

    def _show_shuffled(self) -> None:
        pictures, place = self._runs.pictures, self._project.placement
        if "shuffled" not in pictures or place is None:
            return
        step, arrays = pictures["shuffled"]
        patch_size = int(arrays["patch_size"])
        pixels = shuffled_mosaic(
            arrays["images"],
            arrays["sources"],
            patch_size,
            positions=arrays.get("positions"),
            outline=self._runs.outlines_moved_patches,
        )
        facts = {
            "step": float(step),
            "patch_size": float(patch_size),
            "shuffle_ratio": float(arrays["shuffle_ratio"]),
        }
        show_shuffled(self._viewer, pixels, place, facts)

    def _show_cams(self) -> None:
        project, pictures = self._project, self._runs.pictures
        tiles, place = project.tiles, project.placement
        if "cam" not in pictures or tiles is None or place is None:
            return
        _, arrays = pictures["cam"]
        rows, kept = rows_of(tiles, arrays["tile_ids"])
        cams = arrays["cams"][kept]
        if len(rows) and cams.shape[1] == len(project.classes):
            mosaic = cam_mosaic(place, rows, cams.__getitem__, cams.shape[1:])
            show_cams(self._viewer, mosaic, place, project.classes)

    def _on_previews(self, previews: Pictures) -> None:
        self._runs.pictures |= previews
        if "shuffled" in previews:
            self._show_shuffled()
        if "cam" in previews:
            self._show_cams()

    def _on_ended(self, info: RunInfo) -> None:
        if info.stage == "cams" and info.state is RunState.COMPLETED:
            self.show_all_cams(info.path)

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.PROJECT in topics:
            self.clear()
        if Topic.FOLLOWED in topics:
            info = self._runs.followed
            if info is not None and info.stage == "train" and info.is_running:
                remove_previews(self._viewer)
        if Topic.CLASSES in topics:
            self._keep_classes()
        if Topic.SHOWN in topics:
            remove_previews(self._viewer)
            self._show_shuffled()
            self._show_cams()

    def _keep_classes(self) -> None:
        """Take new names and colors; remove the maps of classes that have gone."""
        viewer, classes = self._viewer, self._project.classes
        since = {entry.index: entry.since for entry in classes}
        gone = [c.index for c in self._classes if since.get(c.index) != c.since]
        for index in gone:
            remove_layers(viewer, CAM, tissue_class=index)
        if gone:
            self._runs.pictures.pop("cam", None)
        self._classes = classes
        color_cams(viewer, classes)


def read_cams(path: "Path", tiles: "TileTable", placement: Placement) -> Mosaic | None:
    """Return the CAMs of a "cams" run at the places of a source's tiles.

    None if the run has no tile of the source. Each map is scaled by its own largest
    value; ``scales`` of the run weigh them against each other again.

    Raises
    ------
    JobError
        If the run has no CAMs.
    """
    cams, columns = open_cams(path), load_tiles(path)
    rows, kept = rows_of(tiles, columns["tile_ids"])
    every = max(1, -(-len(rows) // _MOST_TILES))
    rows, kept = rows[::every], kept[::every]
    if not len(rows):
        return None
    if cams.shape[0] != len(columns["tile_ids"]):
        raise JobError(
            f"The run {path.name} has {cams.shape[0]} CAMs for "
            f"{len(columns['tile_ids'])} tiles.",
            "Run 'segmix cams' again.",
        )
    maps: Bytes = _read_rows(cams, kept)
    weights = _weights(columns["scales"][kept]) if "scales" in columns else None
    valid = columns.get("valid")

    def one(i: int) -> Bytes:
        picture = maps[i]
        if weights is not None:
            picture = (picture * weights[i, :, None, None]).astype(np.uint8)
        if valid is not None:
            height, width = valid[kept[i]]
            picture = picture[:, :height, :width]
        return np.asarray(picture, np.uint8)

    return cam_mosaic(placement, rows, one, maps.shape[1:])


def _read_rows(cams: "StoredArray", rows: npt.NDArray[np.int64]) -> Bytes:
    """Return the maps (n, C, h, w) in some rows, chunk by chunk."""
    maps = np.zeros((len(rows), *cams.shape[1:]), np.uint8)
    size = cams.chunks[0]
    for number in np.unique(rows // size):
        mine = rows // size == number
        chunk = cams[int(number) * size : (int(number) + 1) * size]
        maps[mine] = chunk[rows[mine] - number * size]
    return maps


def _weights(scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (n, C or 1) in 0..1: how bright the largest value of a map is."""
    columns = scales.reshape(len(scales), -1)
    # A single hot tile would leave all others dark.
    bright = float(np.percentile(columns, _BRIGHT_PERCENT))
    return np.asarray(np.clip(columns / max(bright, 1e-6), 0, 1), np.float32)
