"""Pixels of tiles, kept once decoded."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from segmix_core.errors import SlideError
from segmix_core.files import image_stem
from segmix_core.geometry import Box
from segmix_core.project.records import ImageRecord
from segmix_core.slides.group_stains import GroupStains, MeasuredStains
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.region import read_region
from segmix_core.slides.slide import RgbArray, Slide
from segmix_core.slides.tissue import sample_tissue

T = TypeVar("T", bound=np.generic)


class TileReader:
    """Reads tiles at working resolution.

    Tiles are kept until ``cache_bytes`` are used, and then those stay: an epoch reads
    every tile once in random order, so dropping the oldest tile for the newest would
    only exchange a hit for a miss. May be used from several threads; readings wait
    for each other.

    Parameters
    ----------
    images
        The images that tiles may come from.
    cache_bytes
        Memory for decoded tiles; 0 keeps none.
    max_open
        Files open at the same time.
    normalize_stain
        Give all groups of images the same colors; see
        :mod:`segmix_core.slides.stain`.
    tile_px
        Edge of the tiles of each source, in working pixels, by the source's id; a
        source without is one of whole images. What is a slide depends on it.
    measured
        Stains that are known already, with ``normalize_stain``.

    Attributes
    ----------
    stains
        Of the images; None: they are read as they are.
    """

    def __init__(
        self,
        images: Sequence[ImageRecord],
        *,
        cache_bytes: int = 1 << 30,
        max_open: int = 8,
        normalize_stain: bool = False,
        tile_px: Mapping[int, int] | None = None,
        measured: MeasuredStains[int] | None = None,
    ) -> None:
        if cache_bytes < 0 or max_open < 1:
            raise ValueError(
                f"Expected bytes >= 0 and files >= 1, got {cache_bytes}, {max_open}"
            )
        self._images = {image.id: image for image in images}
        self._bytes_left = cache_bytes
        self._max_open = max_open
        self._tiles: dict[tuple[int, Box], RgbArray] = {}
        self._slides: OrderedDict[int, Slide] = OrderedDict()
        self.stains: GroupStains[int] | None = None
        if normalize_stain:
            groups = {image.id: _stain_group(image) for image in images}
            areas = {image.id: prod(image.working_shape) for image in images}
            edges = tile_px or {}
            tiles = {
                image.id: edges[image.source_id] ** 2
                if image.source_id in edges
                else areas[image.id]
                for image in images
            }
            self.stains = GroupStains(
                groups, areas, tiles, self._look, measured=measured
            )
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files and forget all tiles."""
        with self._lock:
            while self._slides:
                self._slides.popitem()[1].close()
            self._tiles.clear()

    def image(self, image_id: int) -> ImageRecord:
        """Return the record of an image.

        Raises
        ------
        ValueError
            If it is not one of this reader's.
        """
        try:
            return self._images[image_id]
        except KeyError:
            raise ValueError(f"Expected a known image, got id {image_id}") from None

    def working_box(self, image_id: int, box: Box) -> Box:
        """Return a level-0 box in pixels of the image's working grid."""
        return box.scaled(1 / self.image(image_id).downsample)

    def read(
        self, image_id: int, box: Box, tile_px: int
    ) -> tuple[RgbArray, tuple[int, int]]:
        """Return a tile, continued by reflection to ``tile_px`` pixels an edge.

        Parameters
        ----------
        image_id, box
            Where, in level-0 pixels.
        tile_px
            Edge of the result, in working pixels.

        Returns
        -------
        tile, valid
            (tile_px, tile_px, 3) uint8; (rows, columns) before padding.

        Raises
        ------
        SlideError
            Naming the file, if it cannot be read.
        ValueError
            If the tile is larger than ``tile_px``.
        """
        pixels = self.read_pixels(image_id, box)
        return pad_tile(pixels, tile_px), (pixels.shape[0], pixels.shape[1])

    def read_pixels(self, image_id: int, box: Box) -> RgbArray:
        """Return a tile as it is: (h, w, 3) uint8, not to be written to.

        Raises
        ------
        SlideError
            Naming the file, if it cannot be read.
        """
        record = self.image(image_id)
        key = image_id, box
        with self._lock:
            if (known := self._tiles.get(key)) is not None:
                return known
            pixels = self._decode(record, box)
            pixels.flags.writeable = False
            if pixels.nbytes <= self._bytes_left:
                self._tiles[key] = pixels
                self._bytes_left -= pixels.nbytes
            return pixels

    def read_around(self, image_id: int, box: Box, margin: int) -> RgbArray:
        """Return a tile with what is around it; nothing is kept.

        Parameters
        ----------
        image_id, box
            Where, in level-0 pixels.
        margin
            Working pixels on all sides; beyond the image they continue by reflection.

        Returns
        -------
        RgbArray
            (h + 2 margin, w + 2 margin, 3) uint8.

        Raises
        ------
        SlideError
            Naming the file, if it cannot be read.
        """
        record = self.image(image_id)
        tile = self.working_box(image_id, box)
        wanted = tile.grown(margin)
        inside = wanted.intersect(Box(0, 0, *record.working_shape))
        whole = Box(0, 0, record.height, record.width)
        with self._lock:
            pixels = self._decode(
                record,
                inside.scaled(record.downsample).intersect(whole),
                (inside.height, inside.width),
            )
        before = (inside.y - wanted.y, inside.x - wanted.x)
        after = (wanted.bottom - inside.bottom, wanted.right - inside.right)
        extra = [*zip(before, after, strict=True), (0, 0)]
        return np.pad(pixels, extra, mode="reflect")

    def _decode(
        self, record: ImageRecord, box: Box, shape: tuple[int, int] | None = None
    ) -> RgbArray:
        working = self.working_box(record.id, box)
        try:
            pixels = read_region(
                self._open(record), box, shape or (working.height, working.width)
            )
            if self.stains is not None:
                pixels = self.stains.of(record.id)(pixels)
        except SlideError as error:
            if str(record.path) in str(error):
                raise
            message = f"{error.message.rstrip('.')} ({record.path})."
            raise SlideError(message, error.hint) from error
        except OSError as error:
            raise SlideError(
                f"{record.path} cannot be read ({error}).",
                "Check that its disk or network share is connected.",
            ) from error
        return np.ascontiguousarray(pixels)

    def _look(self, image_id: int) -> RgbArray | None:
        record = self.image(image_id)
        try:
            return sample_tissue(self._open(record), record.downsample)
        except (SlideError, OSError):
            # Its own tiles will tell; those of other images have nothing to do with it.
            return None

    def _open(self, record: ImageRecord) -> Slide:
        if record.id in self._slides:
            self._slides.move_to_end(record.id)
            return self._slides[record.id]
        slide = open_slide(record.path)
        if slide.level_shapes[0] != (record.height, record.width):
            found = " x ".join(str(edge) for edge in slide.level_shapes[0])
            slide.close()
            raise SlideError(
                f"{record.path} is now {found} pixels, not {record.height} x "
                f"{record.width} as when it was added.",
                "Restore the file, or add it again.",
            )
        if len(self._slides) >= self._max_open:
            self._slides.popitem(last=False)[1].close()
        self._slides[record.id] = slide
        return slide


def _stain_group(image: ImageRecord) -> str:
    """Return the group whose stain an image has; itself, unless a person grouped it."""
    # Images are grouped by their file names at first, which other folders have, too.
    is_named = image.group not in ("", image_stem(image.path))
    return image.group if is_named else f"image {image.id}"


def pad_tile(pixels: npt.NDArray[T], tile_px: int) -> npt.NDArray[T]:
    """Reflect an array below and to the right, to ``tile_px`` pixels an edge.

    Parameters
    ----------
    pixels
        (h, w, ...), not empty.
    tile_px
        Edge of the result.

    Raises
    ------
    ValueError
        If the array is larger already.
    """
    height, width = pixels.shape[:2]
    if height > tile_px or width > tile_px:
        raise ValueError(f"Expected at most {tile_px} pixels, got {height} x {width}")
    if height == width == tile_px:
        return pixels
    extra = [(0, tile_px - height), (0, tile_px - width)]
    extra += [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, extra, mode="reflect")
