"""The borders of tiles, as a handful of lines instead of a rectangle a tile."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segmix._compat import canvas_color
from napari_segmix.layers.own_layers import tag

if TYPE_CHECKING:
    from napari.layers import Vectors
    from napari.viewer import Viewer

    from napari_segmix.model.placement import Placement

_THIN = 0.02
"""Width of a line on a slide, as a share of a cell."""
_MARK = 0.06
MARK_COLOR = "#00b7ff"
_CORNERS = np.array(
    [[[0, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 1], [0, -1]], [[1, 0], [-1, 0]]], float
)
"""Border of a unit cell as four vectors: start and direction, (y, x)."""


def border_lines(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the borders of the occupied cells, as few long lines.

    Parameters
    ----------
    occupied
        (R, C): which cells hold a tile.

    Returns
    -------
    ndarray
        (n, 2, 2) float64: start (y, x) and direction (dy, dx), in cells.
    """
    flat = _horizontal_runs(occupied)
    upright = _horizontal_runs(occupied.T)[:, :, ::-1]
    return np.concatenate([flat, upright])


def _horizontal_runs(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    padded = np.pad(occupied, ((1, 1), (0, 0)))
    edges = padded[:-1] | padded[1:]  # (R + 1, C): the line above row r
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    lines = np.zeros((len(rows), 2, 2))
    lines[:, 0, 0], lines[:, 0, 1] = rows, starts
    lines[:, 1, 1] = ends - starts
    return lines


def add_grid(
    viewer: "Viewer",
    placement: "Placement",
    occupied: npt.NDArray[np.bool_],
    source: int,
) -> "Vectors":
    """Draw the borders: thin on a slide; in a gallery they are the gaps."""
    is_gallery = placement.gap > 0
    return viewer.add_vectors(
        border_lines(occupied),
        name="Tile grid",
        metadata=tag("grid", source=source),
        edge_width=placement.gap / placement.pitch if is_gallery else _THIN,
        edge_color=canvas_color(viewer) if is_gallery else "#202020",
        opacity=1.0 if is_gallery else 0.5,
        vector_style="line",
        **_cells(placement),
    )


def add_mark(viewer: "Viewer", placement: "Placement", source: int) -> "Vectors":
    """Add the frame around the current tile, not visible yet."""
    return viewer.add_vectors(
        _CORNERS.copy(),
        name="Current tile",
        metadata=tag("mark", source=source),
        edge_width=max(_MARK, placement.gap / placement.pitch),
        edge_color=MARK_COLOR,
        vector_style="line",
        opacity=1.0,
        visible=False,
        **_cells(placement),
    )


def move_mark(mark: "Vectors", cell: tuple[int, int] | None) -> None:
    """Put the frame around a cell, or hide it."""
    mark.visible = cell is not None
    if cell is not None:
        half = float(mark.edge_width) / 2
        lines = _CORNERS.copy()
        # Longer by a width, so that the corners close.
        lines[:, 0] += cell - np.sign(lines[:, 1]) * half
        lines[:, 1] *= 1 + 2 * half
        mark.data = lines


def _cells(placement: "Placement") -> dict[str, object]:
    """Return the transform of a layer whose unit is a cell and origin its corner."""
    edge = placement.pitch * placement.pixel_size
    return {
        "scale": (edge, edge),
        "translate": placement.to_world(0, 0),
        "units": (placement.unit, placement.unit),
    }
