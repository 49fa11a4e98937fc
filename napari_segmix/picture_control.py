"""Pictures of runs in the viewer: the shuffled batch and class activation maps."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segmix._compat import camera
from napari_segmix.layers.keys import find_layer, remove_layers
from napari_segmix.layers.mosaics import Bytes, Mosaic, cam_mosaic, shuffled_mosaic
from napari_segmix.layers.placement import Placement
from napari_segmix.layers.preview_layers import (
    CAM,
    SHUFFLED,
    color_cams,
    remove_previews,
    show_cams,
    show_shuffled,
)
from napari_segmix.tile_tables import rows_of
from segmix_core.errors import JobError
from segmix_core.runs import RunState
from segmix_core.runs.results import load_tiles, open_cams

if TYPE_CHECKING:
    from pathlib import Path

    from napari_segmix.run_info import RunInfo
    from napari_segmix.session import Session
    from segmix_core.project.records import TileTable, TissueClass
    from segmix_core.stored_arrays import StoredArray

Pictures = dict[str, tuple[int, dict[str, Any]]]
_MOST_TILES = 20_000
"""Tiles whose CAMs are shown; of more, every k-th."""
_BRIGHT_PERCENT = 98.0
_BATCH_ON_SCREEN_PX = 640.0


class PictureControl:
    """Shows what the followed run draws, and all CAMs after the stage "cams"."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._outlines = False
        self._newest: Pictures = {}
        self._classes: tuple[TissueClass, ...] = ()
        session.runs.previews.connect(self._on_previews)
        session.runs.began.connect(self._on_began)
        session.runs.ended.connect(self._on_ended)
        session.project_changed.connect(self.clear)
        session.active_source_changed.connect(self._on_source)
        session.classes_changed.connect(self._on_classes)

    @property
    def outlines_moved_patches(self) -> bool:
        """Whether patches that came from another tile are framed."""
        return self._outlines

    def outline_moved_patches(self, wanted: bool) -> None:
        """Frame the patches of the shuffled batch that came from another tile."""
        self._outlines = wanted
        self._show_shuffled()

    def look_at_batch(self) -> None:
        """Move the view to the shuffled batch."""
        layer = find_layer(self._session.viewer, SHUFFLED)
        if layer is None:
            self._session.say("There is no shuffled batch yet: train with a shuffle.")
            return
        layer.visible = True
        low, high = layer.extent.world[:, -2:]
        view = camera(self._session.viewer)
        view.center = (view.center[0], *((low + high) / 2))
        view.zoom = _BATCH_ON_SCREEN_PX / float(max(high - low))

    def clear(self) -> None:
        """Remove the pictures from the viewer; the next ones come by themselves."""
        self._newest.clear()
        remove_previews(self._session.viewer)

    def show_all_cams(self, path: "Path") -> None:
        """Show the CAMs of all tiles of the shown source from a "cams" run."""
        session, tiles, place = self._session, self._session.tiles, self._placement
        if tiles is None or place is None or not session.classes:
            return

        def show(mosaic: Mosaic | None) -> None:
            if mosaic is not None and self._placement is place:
                show_cams(session.viewer, mosaic, place, session.classes)

        work = partial(read_cams, path, tiles, place)
        session.in_background("Reading class activation maps…", work, show)

    @property
    def _placement(self) -> Placement | None:
        return self._session.placement

    def _show_shuffled(self) -> None:
        if "shuffled" not in self._newest or self._placement is None:
            return
        step, arrays = self._newest["shuffled"]
        patch_size = int(arrays["patch_size"])
        pixels = shuffled_mosaic(
            arrays["images"],
            arrays["sources"],
            patch_size,
            positions=arrays.get("positions"),
            outline=self._outlines,
        )
        facts = {
            "step": float(step),
            "patch_size": float(patch_size),
            "shuffle_ratio": float(arrays["shuffle_ratio"]),
        }
        show_shuffled(self._session.viewer, pixels, self._placement, facts)

    def _show_cams(self) -> None:
        session, tiles, place = self._session, self._session.tiles, self._placement
        if "cam" not in self._newest or tiles is None or place is None:
            return
        _, arrays = self._newest["cam"]
        rows, kept = rows_of(tiles, arrays["tile_ids"])
        cams = arrays["cams"][kept]
        if len(rows) and cams.shape[1] == len(session.classes):
            mosaic = cam_mosaic(place, rows, cams.__getitem__, cams.shape[1:])
            show_cams(session.viewer, mosaic, place, session.classes)

    def _on_previews(self, previews: Pictures) -> None:
        self._newest |= previews
        if "shuffled" in previews:
            self._show_shuffled()
        if "cam" in previews:
            self._show_cams()

    def _on_began(self, info: "RunInfo") -> None:
        self._newest.clear()
        if info.stage == "train" and info.is_running:
            remove_previews(self._session.viewer)

    def _on_ended(self, info: "RunInfo") -> None:
        if info.stage == "cams" and info.state is RunState.COMPLETED:
            self.show_all_cams(info.path)

    def _on_source(self) -> None:
        remove_previews(self._session.viewer)
        self._show_shuffled()
        self._show_cams()

    def _on_classes(self) -> None:
        viewer, classes = self._session.viewer, self._session.classes
        since = {entry.index: entry.since for entry in classes}
        gone = [c.index for c in self._classes if since.get(c.index) != c.since]
        for index in gone:
            remove_layers(viewer, CAM, tissue_class=index)
        if gone:
            self._newest.pop("cam", None)
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
