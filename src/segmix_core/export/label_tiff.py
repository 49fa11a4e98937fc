"""Write pyramidal label TIFFs while the labels arrive.

Two layouts, because no single one works in all programs: ``"ome"`` (pyramid in
SubIFDs: QuPath, Bio-Formats, napari) and ``"generic"`` (pyramid as top-level pages:
OpenSlide, ASAP). Pixels are plain class indices without a palette, since some readers
return palette colors instead of indices.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
import tifffile

from segmix_core.disk_errors import export_error
from segmix_core.errors import ProjectError
from segmix_core.export.label_info import (
    NAMESPACE,
    LabelImageInfo,
    check_xml,
    parse_classes,
    sidecar_content,
    xml_text,
)
from segmix_core.export.label_strips import (
    STRIP_ROWS,
    HalfSizeSpool,
    LabelArray,
    strips_from_boxes,
    tiles_of,
)
from segmix_core.files import write_atomically, write_json
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX

Layout = Literal["ome", "generic"]

_SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


def write_label_tiff(
    path: Path,
    boxes: Iterable[tuple[Box, LabelArray]],
    *,
    shape: tuple[int, int],
    info: LabelImageInfo,
    layout: Layout = "ome",
) -> Path:
    """Write a tiled, deflate-compressed, pyramidal label TIFF and its class file.

    Levels halve (nearest neighbor) until one tile of 512 px holds them. Only
    the strips of 512 rows that incoming boxes can still reach are in memory; lower
    levels wait compressed in a hidden file beside the target. The file gets its name
    only when it is complete; until then an earlier file is not touched.

    Parameters
    ----------
    path
        ``*.ome.tif`` for the layout "ome", any other ``*.tif`` for "generic".
    boxes
        Rectangles of the label map with (h, w) labels, top to bottom: their ``y``
        never decreases. Pixels outside all of them are 255. See
        :func:`~segmix_core.export.label_strips.strips_from_boxes`.
    shape
        (height, width) of the label map, each >= 1.
    info
        Classes, pixel size and origin.
    layout
        Where the pyramid is stored: see the top of this module.

    Returns
    -------
    Path
        The class file ``<name>.classes.json`` beside ``path``.

    Raises
    ------
    JobError
        If the file cannot be written, e.g. because the disk is full.
    ValueError
        If the suffix does not match the layout, the shape is empty, or the boxes are
        not in order.
    """
    path = Path(path)
    _check(path, shape, layout)
    sidecar = sidecar_path(path)

    def write(file: IO[bytes]) -> None:
        strips = strips_from_boxes(_marked(boxes), shape, IGNORE_INDEX)
        tags = _first_page_tags(info, layout)
        _write_levels(file, strips, shape, tags, _common_tags(info), path.parent)
        if layout == "ome":
            _check_description(file)
        # A full disk does no harm until here; only the rename is left.
        file.flush()
        os.fsync(file.fileno())
        write_json(sidecar, sidecar_content(info))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
    except _SourceError as failed:
        raise failed.error from None
    except OSError as error:
        raise export_error(path, error) from error
    return sidecar


def sidecar_path(path: Path) -> Path:
    """Return the path of the class file of a label TIFF: ``<name>.classes.json``."""
    return path.with_name(f"{_stem(path)}.classes.json")


def row_bands(labels: npt.NDArray[np.uint8]) -> Iterator[tuple[Box, LabelArray]]:
    """Yield a sliceable label map (H, W), such as a zarr array, as full rows."""
    height, width = labels.shape
    for y in range(0, height, STRIP_ROWS):
        box = Box(y, 0, min(STRIP_ROWS, height - y), width)
        yield box, np.asarray(labels[y : box.bottom])


def read_label_tiff_classes(path: Path) -> dict[int, str]:
    """Return class index -> name, as written by :func:`write_label_tiff`.

    Raises
    ------
    ProjectError
        If the file is not a TIFF or has no class names.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            description = tiff.pages.first.description
    except (OSError, tifffile.TiffFileError) as error:
        raise _no_classes(path, f"cannot be read ({error})") from error
    names = parse_classes(description)
    if not names:
        raise _no_classes(path, "has no class names")
    return names


def _no_classes(path: Path, what: str) -> ProjectError:
    return ProjectError(
        f"{path.name} {what}.",
        "Choose a label TIFF exported by SegMix.",
    )


class _SourceError(Exception):
    """An OSError from the source of the labels, not from the written file."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _marked(
    boxes: Iterable[tuple[Box, LabelArray]],
) -> Iterator[tuple[Box, LabelArray]]:
    try:
        yield from boxes
    except OSError as error:
        raise _SourceError(error) from error


def _check(path: Path, shape: tuple[int, int], layout: Layout) -> None:
    is_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    if _stem(path) == path.name or is_ome != (layout == "ome"):
        wanted = "*.ome.tif" if layout == "ome" else "*.tif, not *.ome.tif,"
        raise ValueError(
            f"Layout {layout!r} needs a name like {wanted}, not {path.name}"
        )
    if min(shape) < 1:
        raise ValueError(f"The shape must be at least 1 x 1, not {shape}")


def _stem(path: Path) -> str:
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (height, width) of each level, halved upwards until one tile is enough."""
    shapes = [shape]
    while max(shapes[-1]) > STRIP_ROWS:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return shapes


def needs_bigtiff(shape: tuple[int, int]) -> bool:
    """Return whether offsets may exceed 4 GiB if nothing can be compressed."""
    tiles = (
        -(-height // STRIP_ROWS) * -(-width // STRIP_ROWS)
        for height, width in level_shapes(shape)
    )
    return sum(tiles) * STRIP_ROWS**2 > _CLASSIC_TIFF_BYTES


def _write_levels(
    file: IO[bytes],
    strips: Iterator[LabelArray],
    shape: tuple[int, int],
    first_tags: dict[str, Any],
    tags: Callable[[int], dict[str, Any]],
    folder: Path,
) -> None:
    shapes = level_shapes(shape)
    is_ome = "description" not in first_tags
    with (
        ExitStack() as spools,
        tifffile.TiffWriter(file, bigtiff=needs_bigtiff(shape), ome=is_ome) as tiff,
    ):
        for level, level_shape in enumerate(shapes):
            source = strips
            if level + 1 < len(shapes):
                spool = spools.enter_context(closing(HalfSizeSpool(folder)))
                source, strips = spool.passing(strips), spool.strips()
            own = {"subfiletype": 1, "metadata": None} if level else first_tags
            if is_ome and level == 0:
                own = {**own, "subifds": len(shapes) - 1}
            tiff.write(tiles_of(source), shape=level_shape, **own, **tags(level))


def _check_description(file: IO[bytes]) -> None:
    file.flush()
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        check_xml(tiff.pages.first.description)
    file.seek(0, os.SEEK_END)


def _common_tags(info: LabelImageInfo) -> Callable[[int], dict[str, Any]]:
    tags: dict[str, Any] = {
        "dtype": np.uint8,
        "tile": (STRIP_ROWS, STRIP_ROWS),
        "compression": "zlib",
        "photometric": "minisblack",
        # By default tifffile collects 256 MB of tiles for its threads.
        "buffersize": 2**24,
        "software": "SegMix",
    }

    def of_level(level: int) -> dict[str, Any]:
        if info.mpp_y is None or info.mpp_x is None:
            return tags
        # OpenSlide reads pixels per centimetre as mpp; 1 cm = 10 000 µm.
        per_cm = tuple(1e4 / (mpp * 2**level) for mpp in (info.mpp_x, info.mpp_y))
        return {**tags, "resolutionunit": "CENTIMETER", "resolution": per_cm}

    return of_level


def _first_page_tags(info: LabelImageInfo, layout: Layout) -> dict[str, Any]:
    names = {str(entry.index): entry.name for entry in info.table}
    if layout == "generic":
        # TIFF text is ASCII: json escapes the rest.
        return {"description": json.dumps({NAMESPACE: names}), "metadata": None}
    metadata: dict[str, Any] = {
        "axes": "YX",
        "Name": xml_text(info.source) or "labels",
        "Channel": {"Name": ["class index"]},
        "MapAnnotation": {
            "Namespace": NAMESPACE,
            **{index: xml_text(name) for index, name in names.items()},
        },
    }
    for axis, mpp in (("X", info.mpp_x), ("Y", info.mpp_y)):
        if mpp is not None:
            metadata[f"PhysicalSize{axis}"] = mpp
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    return {"metadata": metadata}
