"""Read the maps of a "cams" run for the masks of tiles."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.data.project_tiles import working_boxes
from segmix_core.data.samples import tile_name
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError
from segmix_core.geometry import Box
from segmix_core.inference.cam_canvas import CamCanvas, any_overlap
from segmix_core.inference.evidence import Evidence
from segmix_core.models.shared_maps import reassign_absent
from segmix_core.project.records import ImageRecord, LabelState, TileTable
from segmix_core.runs.results import load_tiles, open_cams
from segmix_core.stages.classes import check_classes
from segmix_core.stages.job import Job


class StoredMaps:
    """The maps of a run by tile id, converted back from bytes."""

    def __init__(self, run: Path) -> None:
        self._columns = columns = load_tiles(run)
        self._cams = open_cams(run)
        self._check(run)
        self._rows = {int(tile): row for row, tile in enumerate(columns["tile_ids"])}
        self._chunk: tuple[int, npt.NDArray[np.uint8]] = (-1, np.empty(0, np.uint8))

    def _check(self, run: Path) -> None:
        columns = self._columns
        count, classes, height, width = self._cams.shape
        wanted: dict[str, tuple[int, ...]] = {
            "valid": (count, 2),
            "scales": (count, classes),
            "probabilities": (count, classes),
            "stride": (),
            "shared_foreground": (),
            "class_names": (classes,),
        }
        wrong = [
            name
            for name, shape in wanted.items()
            if name not in columns or columns[name].shape != shape
        ]
        if not wrong:
            valid = columns["valid"]
            if ((valid < 1) | (valid > (height, width))).any():
                wrong.append("valid")
        if wrong:
            raise JobError(
                f"The CAMs of the run {run.name} are damaged: tiles.npz has an "
                f"invalid {wrong[0]}.",
                "Run 'segmix cams' again.",
            )

    @property
    def tile_ids(self) -> npt.NDArray[np.int64]:
        """Ids (N,) of the tiles; -1 for unreadable ones."""
        return self._columns["tile_ids"]

    @property
    def stride(self) -> int:
        """Working pixels per cell of a map."""
        return int(self._columns["stride"])

    @property
    def shared_foreground(self) -> bool:
        """Whether the maps of a tile add up to its foreground, which classes share."""
        return bool(self._columns["shared_foreground"])

    def check_classes(self, job: Job) -> None:
        """Raise JobError if the classes of project and maps differ."""
        found, wanted = self._cams.shape[1], len(job.class_names)
        if found != wanted:
            raise JobError(
                f"The CAMs have {found} classes, but the project has {wanted}.",
                "Run 'segmix train' and 'segmix cams' again.",
            )
        check_classes(
            job.store,
            self._columns["class_names"].tolist(),
            of="maps",
            hint="run 'segmix train' and 'segmix cams' again.",
            error=JobError,
        )

    def image_ids(self, job: Job) -> set[int]:
        """Return the images with mapped tiles; JobError if there are none."""
        tiles = job.store.tiles()
        found = tiles.image_ids[np.isin(tiles.ids, self.tile_ids)]
        if found.size == 0:
            raise JobError(
                "The CAMs are of tiles that are no longer in the project.",
                "Run 'segmix cams' again.",
            )
        return {int(image_id) for image_id in found}

    def cam(self, tile_id: int) -> npt.NDArray[np.float32]:
        """Return (C, h, w) float32 >= 0 without padding."""
        row = self._rows[tile_id]
        height, width = self._columns["valid"][row]
        values = self._read(row)[:, :height, :width]
        scales = self._columns["scales"][row][:, None, None] / 255
        return np.asarray(values * scales, dtype=np.float32)

    def probabilities(self, tile_id: int) -> npt.NDArray[np.float32]:
        """Return (C,) in 0..1."""
        return np.asarray(self._columns["probabilities"][self._rows[tile_id]])

    def _read(self, row: int) -> npt.NDArray[np.uint8]:
        # Cache chunks: decoding one for each of its tiles is hundreds of times slower.
        size = self._cams.chunks[0]
        number = row // size
        if self._chunk[0] != number:
            self._chunk = (number, self._cams[number * size : (number + 1) * size])
        chunk: npt.NDArray[np.uint8] = self._chunk[1][row - number * size]
        return chunk


class ImageMaps:
    """The maps of the tiles of an image, blended where tiles overlap.

    Tiles may lie anywhere. Where two overlap, both use the mean of their maps, but the
    masks depend on the labels and normalization of each, so they may still differ. When
    masks are written in table order, the last one wins.

    Parameters
    ----------
    image
        The image.
    tiles
        Its tiles; all must have maps.
    maps
        Of the run.
    reader
        Reads the image.

    Attributes
    ----------
    boxes
        Boxes of the tiles on the working grid.
    """

    def __init__(
        self,
        image: ImageRecord,
        tiles: TileTable,
        maps: StoredMaps,
        reader: TileReader,
    ) -> None:
        self._image, self._tiles, self._maps = image, tiles, maps
        self._reader = reader
        self.boxes = working_boxes(tiles, [image])
        self._canvas = self._blend() if any_overlap(self.boxes) else None

    def evidence(self, row: int, *, with_pixels: bool) -> Evidence:
        """Return the evidence for the tile in ``row`` of the table.

        Raises
        ------
        SlideError
            If its pixels are needed and cannot be read.
        """
        tile_id, box = int(self._tiles.ids[row]), self.boxes[row]
        canvas = self._canvas
        rgb = None
        if with_pixels:
            rgb = self._reader.read_pixels(self._image.id, self._tiles.box(row))
        return Evidence(
            self._maps.cam(tile_id) if canvas is None else canvas.read(box),
            self._maps.stride,
            (box.height, box.width),
            self._tiles.labels[row],
            self._maps.probabilities(tile_id),
            rgb,
            self._maps.shared_foreground,
        )

    def name(self, row: int) -> str:
        """Return a readable name of the tile in ``row`` of the table."""
        return tile_name(self._tiles, self._reader, row)

    def _blend(self) -> CamCanvas:
        height, width = self._image.working_shape
        bottom = max(height, *(box.bottom for box in self.boxes))
        right = max(width, *(box.right for box in self.boxes))
        classes = self._tiles.labels.shape[1]
        canvas = CamCanvas(Box(0, 0, bottom, right), classes, self._maps.stride)
        for row, box in enumerate(self.boxes):
            cam, labels = (
                self._maps.cam(int(self._tiles.ids[row])),
                self._tiles.labels[row],
            )
            if self._maps.shared_foreground:
                cam = reassign_absent(cam, labels != LabelState.ABSENT)
            canvas.add(cam, box, labels)
        return canvas
