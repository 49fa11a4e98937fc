"""Label maps of single tiles as PNG, with the same class file as a TIFF."""

from pathlib import Path

import numpy as np
from PIL import Image

from segmix_core.export.failures import write_error
from segmix_core.export.label_info import LabelImageInfo, colormap_of, sidecar_content
from segmix_core.export.label_strips import LabelArray
from segmix_core.files import write_atomically, write_json


def write_label_png(
    path: Path, labels: LabelArray, *, info: LabelImageInfo, palette: bool = False
) -> Path:
    """Write a label map as PNG of class indices and its class file.

    Parameters
    ----------
    path
        ``*.png``; its folder is made if need be.
    labels
        (H, W) uint8 class indices.
    info
        Classes, pixel size and origin.
    palette
        Store the class colours with the indices. Most viewers then show colours, but
        OpenCV and imageio hand out the colours instead of the indices.

    Returns
    -------
    Path
        The class file ``<name>.classes.json`` beside ``path``.

    Raises
    ------
    JobError
        If the file cannot be written; an earlier one stays as it was.
    ValueError
        If the name does not end in .png or the labels are not (H, W) uint8.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"Expected a name ending in .png, got {path.name}")
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(f"Expected (H, W) uint8, got {labels.shape} {labels.dtype}")
    image = Image.fromarray(labels)
    if palette:
        colors = (colormap_of(info.table) // 257).astype(np.uint8)
        image.putpalette(colors.T.tobytes())
    sidecar = path.with_name(f"{path.stem}.classes.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: image.save(file, "PNG"))
        write_json(sidecar, sidecar_content(info))
    except OSError as error:
        raise write_error(path, error) from error
    return sidecar
