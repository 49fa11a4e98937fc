"""Match ground truth masks to images, and check that they fit."""

import struct
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.files import JsonError, image_stem, printable, read_json
from segmix_core.project.importers.report import count_text
from segmix_core.project.matching import ImageMatcher, shortest_paths
from segmix_core.project.records import IGNORE_INDEX, ImageRecord

MaskArray = npt.NDArray[np.uint8]
_TIFF = frozenset({".tif", ".tiff", ".btf", ".tf2", ".tf8"})
_SUFFIXES = _TIFF | {".png", ".bmp", ".gif"}
MAX_PIXELS = 1 << 33
_FEW_PIXELS, _FINER = 1 << 24, 4
_NAMED = 3
_LEVELS = 12
_CROPPED = "; it looks cropped to the scanner bounds"
_EITHER = "; it could be of the whole image or of the scanner bounds"
_UNKNOWN = "without an image in the project"
_ELSEWHERE = "because their folders are not those of the images"
_UNMASKED = "without a mask in the run"
# Errors of the readers on damaged files; those of decoders are RuntimeErrors.
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    RuntimeError,
    TypeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class KnownMasks:
    """Ground truth masks with their images, and notes on unused files."""

    pairs: tuple[tuple[ImageRecord, Path], ...]
    notes: tuple[str, ...] = ()


def find_known_masks(
    images: Sequence[ImageRecord], masked: frozenset[int], truth: Path
) -> KnownMasks:
    """Return the mask files at ``truth`` with their images.

    Parameters
    ----------
    images
        All images of the project; files are matched by their paths.
    masked
        Ids of the images with a mask to compare with.
    truth
        A mask file, for the image with its name, or else for the only image in
        ``masked``; or a folder of masks, with subfolders if names repeat.

    Raises
    ------
    ProjectError
        If ``truth`` does not exist, a file matches several images, or an image has
        several files.
    """
    if not truth.exists():
        raise ProjectError(
            f"{truth} does not exist.", "Choose the folder of ground truth masks."
        )
    if truth.is_file():
        return _of_file(images, masked, truth)
    own = {image.path for image in images}
    files = sorted(
        path
        for path in truth.rglob("*")
        # Images of the project may lie beside their masks.
        if path.suffix.lower() in _SUFFIXES
        and not path.name.startswith(".")
        and path.absolute() not in own
        and path.is_file()
    )
    return _pair(images, masked, files, truth)


def read_mask_file(path: Path, max_pixels: int = MAX_PIXELS) -> MaskArray:
    """Return the full-size indices of a mask TIFF or PNG, (H, W) uint8.

    Raises
    ------
    ProjectError
        If the file is not an image with one channel of whole numbers from 0 to 255, of
        any bit depth, or its header states more than ``max_pixels``; ``reason`` says
        why without the name of the file.
    """
    try:
        values = _read(path, max_pixels)
    except _DAMAGED as error:
        raise _no_mask(path, _why_damaged(error)) from error
    why_not = _why_no_indices(values)
    if why_not:
        raise _no_mask(path, why_not)
    return values.astype(np.uint8, copy=False)


def _no_mask(path: Path, reason: str) -> ProjectError:
    error = ProjectError(
        f"{printable(path.name)} cannot be read as a mask: {reason}.",
        "Use a TIFF or PNG of class indices.",
    )
    error.reason = reason
    return error


def _why_damaged(error: Exception) -> str:
    if isinstance(error, (UnidentifiedImageError, tifffile.TiffFileError)):
        return "it is not an image"
    words = printable(" ".join(reason_of(error).split()))
    return words[:200].rstrip(".") or "it is damaged"


def _why_no_indices(values: npt.NDArray[np.generic]) -> str:
    """Return why pixels are not class indices, or ""."""
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        return "it has colors, not class indices"
    if values.ndim != 2:
        return f"it has {_times(values.shape)} values, not one channel"
    if not values.size:
        return f"it has {_times(values.shape)} pixels"
    # Some programs save 1 bit, or 16 bits with small values.
    if values.dtype.kind not in "bui":
        return f"its pixels are not whole numbers ({values.dtype})"
    if values.dtype != np.uint8:
        for value in (values.min(), values.max()):
            if not 0 <= int(value) <= IGNORE_INDEX:
                depth = 8 * values.dtype.itemsize
                return (
                    f"it has the value {value} ({depth} bits), and indices end at 255"
                )
    return ""


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def most_pixels(image: ImageRecord) -> int:
    """Return the most pixels that a ground truth mask of ``image`` may have.

    Masks may be finer than the image, within limits: a small file can state more pixels
    than fit into memory.
    """
    return max(_FEW_PIXELS, _FINER**2 * image.height * image.width)


def why_not_of(
    mask: MaskArray, image: ImageRecord, num_classes: int, path: Path
) -> str | None:
    """Return why a mask cannot belong to ``image`` in a project of C classes, or None.

    Parameters
    ----------
    mask
        (H, W) class indices.
    image
        The image; the mask has to cover all of it. If the scanner bounds have the same
        aspect ratio as the image, a mask with a size of the image (level 0, working
        grid, halves of these) is complete, and one with a size of the bounds is not;
        an ambiguous one is refused.
    num_classes
        C.
    path
        The file; its ``.classes.json`` may state the origin of the mask.
    """
    values = np.unique(mask)
    wrong = values[(values > num_classes) & (values != IGNORE_INDEX)]
    if wrong.size:
        return f"the value {int(wrong[0])}, but classes are 1 to {num_classes}"
    height, width = mask.shape
    if _scales_to(height, width, image.height, image.width):
        guess = _why_cropped((height, width), image, path)
        if not guess:
            return None
    elif _scales_to(width, height, image.height, image.width):
        guess = "; it looks transposed"
    elif image.bounds and _scales_to(
        height, width, image.bounds.height, image.bounds.width
    ):
        guess = _CROPPED
    else:
        guess = ""
    return (
        f"{height} x {width} pixels (height x width), but the image has "
        f"{image.height} x {image.width}{guess}"
    )


def _why_cropped(shape: tuple[int, int], image: ImageRecord, path: Path) -> str:
    """Return why a mask with the aspect ratio of the image may be cropped, or ""."""
    frame, bounds = (image.height, image.width), image.bounds
    stated = _stated_place(path)
    if stated is not None:
        origin, downsample = stated
        is_whole = _is_size(shape, frame, downsample)
        # The file may be left from an earlier export, so its size has to match.
        if is_whole and origin == (0, 0):
            return ""
        if not is_whole and origin != (0, 0):
            return _CROPPED
    part = frame if bounds is None else (bounds.height, bounds.width)
    if part == frame or not _scales_to(*shape, *part):
        return ""
    if not _is_own_size(shape, part, image.downsample):
        whole = _is_own_size(shape, frame, image.downsample)
        return "" if whole else _EITHER
    return _EITHER if _is_own_size(shape, frame, image.downsample) else _CROPPED


def _stated_place(path: Path) -> tuple[tuple[float, float], float] | None:
    """Return the origin (y, x) and downsample that ``.classes.json`` states, if any."""
    try:
        content = read_json(path.with_name(f"{image_stem(path)}.classes.json"))
        origin = content["origin"]
        place = float(origin["y"]), float(origin["x"])
        downsample = float(content["downsample"])
    except (OSError, JsonError, LookupError, TypeError, ValueError):
        return None
    return (place, downsample) if downsample > 0 else None


def _is_own_size(
    shape: tuple[int, int], whole: tuple[int, int], downsample: float
) -> bool:
    """Return whether a mask is a level of ``whole``, of level 0 or the working grid."""
    return any(
        _is_size(shape, whole, scale * 2**level)
        for scale in {1.0, downsample}
        for level in range(_LEVELS)
    )


def _is_size(shape: tuple[int, int], whole: tuple[int, int], downsample: float) -> bool:
    return all(
        abs(size - edge / downsample) < 1
        for size, edge in zip(shape, whole, strict=True)
    )


def fit_to(mask: MaskArray, shape: tuple[int, int]) -> MaskArray:
    """Resize a mask to ``shape`` by nearest neighbor."""
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return np.asarray(mask[rows[:, None], cols])


def first_names(names: Sequence[str]) -> str:
    """Return the first few names in one line."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _of_file(
    images: Sequence[ImageRecord], masked: frozenset[int], truth: Path
) -> KnownMasks:
    only = [image for image in images if image.id in masked]
    match = ImageMatcher(images).find(truth.name)
    if len(only) != 1 or match.item is not None or match.is_ambiguous:
        return _pair(images, masked, [truth], truth.parent)
    name = shortest_paths([only[0].path])
    note = f"{truth.name} was compared with {name}, the only image with a mask."
    return KnownMasks(((only[0], truth),), (note,))


def _pair(
    images: Sequence[ImageRecord],
    masked: frozenset[int],
    files: Sequence[Path],
    folder: Path,
) -> KnownMasks:
    matcher = ImageMatcher(images)
    found: dict[int, tuple[ImageRecord, Path]] = {}
    unused: dict[str, list[str]] = defaultdict(list)
    for path in files:
        name = path.relative_to(folder).as_posix()
        match = matcher.find(name)
        if match.is_ambiguous:
            candidates = shortest_paths([image.path for image in match.candidates])
            raise ProjectError(
                f"The ground truth mask {name} matches several images: {candidates}.",
                "Put the masks into folders named like those of the images.",
            )
        if match.item is None and match.candidates:
            candidates = shortest_paths([image.path for image in match.candidates])
            unused[_ELSEWHERE].append(f"{name} is not {candidates}")
        elif match.item is None:
            unused[_UNKNOWN].append(name)
        elif match.item.id not in masked:
            unused[_UNMASKED].append(name)
        else:
            _, other = found.setdefault(match.item.id, (match.item, path))
            if other != path:
                raise ProjectError(
                    f"{other.relative_to(folder).as_posix()} and {name} are both "
                    f"ground truth masks of {shortest_paths([match.item.path])}.",
                    "Keep one of them.",
                )
    notes = [
        f"{count_text(len(names), 'ground truth mask')} skipped, {why} "
        f"({first_names(names)})."
        for why, names in unused.items()
    ]
    return KnownMasks(tuple(found.values()), tuple(notes))


def _read(path: Path, max_pixels: int) -> npt.NDArray[np.generic]:
    if path.suffix.lower() in _TIFF:
        with tifffile.TiffFile(path) as tiff:
            level = tiff.series[0].levels[0]
            _check_pixels(prod(level.shape), max_pixels)
            return np.asarray(level.asarray())
    with warnings.catch_warnings():
        # Pillow's warning about large images is meant for web servers.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            _check_pixels(image.width * image.height, max_pixels)
            return np.asarray(image)


def _check_pixels(count: int, most: int) -> None:
    if count > most:
        raise ValueError(f"it has {count:,} pixels, and at most {most:,} are read")


def _scales_to(height: int, width: int, to_height: int, to_width: int) -> bool:
    """Return whether both sides have the same scale, up to a pixel of rounding."""
    low = max((height - 1) / to_height, (width - 1) / to_width)
    high = min((height + 1) / to_height, (width + 1) / to_width)
    return low < high
