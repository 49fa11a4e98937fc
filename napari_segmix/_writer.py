"""Save a Labels layer as a mask: TIFF, OME-TIFF or PNG."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.project.records import IGNORE_INDEX, TissueClass

_MICROMETER = {"um", "µm", "μm", "micrometer", "micron"}


def write_mask(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a 2-D Labels layer with values 0..255, and return the file.

    TIFFs are tiled pyramids that carry the class names and, where the layer is in
    micrometers, the size of a pixel.

    Raises
    ------
    ProjectError
        If the layer is not a mask, or holds tile labels.
    JobError
        If the file cannot be written.
    """
    mask = _as_mask(data, meta)
    target = Path(path)
    if target.suffix.lower() == ".png":
        _write_png(target, mask)
    else:
        _write_tiff(target, mask, meta)
    return [path]


def _as_mask(data: Any, meta: dict[str, Any]) -> npt.NDArray[np.uint8]:
    if _facts(meta).get("role") == "tiles":
        raise ProjectError(
            "Tile labels cannot be saved as a mask: one pixel is a whole tile.",
            "They are already stored in the project. Save masks on the Export page.",
        )
    # Multiscale data is a sequence of levels, the first the largest.
    level = data[0] if isinstance(data, list | tuple) else data
    labels = np.asarray(level)
    if labels.ndim != 2 or labels.size == 0:
        raise ProjectError(
            f"The layer has the shape {labels.shape}, not two dimensions.",
            "Choose a layer that shows one image.",
        )
    if labels.min() < 0 or labels.max() > IGNORE_INDEX:
        raise ProjectError(
            f"The layer has values from {labels.min()} to {labels.max()}; a mask has "
            "0 to 255.",
            "Save instance labels with napari's own writer.",
        )
    return labels.astype(np.uint8)


def _facts(meta: dict[str, Any]) -> dict[str, Any]:
    content = meta.get("metadata", {}).get("segmix", {})
    return content if isinstance(content, dict) else {}


def _write_png(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    from PIL import Image

    from segmix_core.files import write_atomically

    write_atomically(path, lambda file: Image.fromarray(mask).save(file, format="PNG"))


def _write_tiff(path: Path, mask: npt.NDArray[np.uint8], meta: dict[str, Any]) -> None:
    from segmix_core.export.label_info import LabelImageInfo
    from segmix_core.export.label_tiff import row_bands, write_label_tiff

    values = [int(v) for v in np.unique(mask) if 0 < v < IGNORE_INDEX]
    names = _facts(meta).get("classes", {})
    classes = tuple(
        TissueClass(value, str(names.get(value, f"class {value}")), "#808080")
        for value in values
    )
    is_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    write_label_tiff(
        path,
        row_bands(mask),
        shape=(mask.shape[0], mask.shape[1]),
        info=LabelImageInfo(classes, *_pixel_size(meta), source=meta["name"]),
        layout="ome" if is_ome else "generic",
    )


def _pixel_size(meta: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return µm per pixel, y and x; None where the layer's unit is not the µm."""
    units, scale = meta.get("units"), meta.get("scale")
    if units is None or scale is None or str(units[-1]) not in _MICROMETER:
        return None, None
    return float(scale[-2]), float(scale[-1])
