"""Masks of the training tiles, as the network that was trained last sees them."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segmix_core.data.batch import Batch
from segmix_core.data.lost_tiles import LostTiles
from segmix_core.data.samples import MaskSamples, SampleSource, tile_name
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import SlideError
from segmix_core.events import Event, Progress
from segmix_core.geometry import Box
from segmix_core.inference.cam_maps import CamResult
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import resolve_precision
from segmix_core.project.records import IGNORE_INDEX, LabelState, TileTable
from segmix_core.stages.asked_tiles import ask_tiles
from segmix_core.stages.job import Job, Stopped
from segmix_core.stages.mask_rules import rules_of
from segmix_core.stages.weights import launch_fabric, prepare_device
from segmix_core.training.task import Listener

FloatArray = npt.NDArray[np.float32]
MaskArray = npt.NDArray[np.uint8]


class PackedMasks:
    """Masks in memory, compressed: those of 100,000 tiles take less than a slide."""

    def __init__(self) -> None:
        self._packed: dict[tuple[int, Box], bytes] = {}

    def add(self, image_id: int, box: Box, mask: MaskArray) -> None:
        """Keep the mask (h, w) of a box on the working grid of an image."""
        self._packed[image_id, box] = zlib.compress(mask.tobytes(), level=1)

    def __call__(self, image_id: int, box: Box) -> MaskArray:
        """Return the mask (h, w) of a box that was added."""
        content = zlib.decompress(self._packed[image_id, box])
        return np.frombuffer(content, np.uint8).reshape(box.height, box.width)


@dataclass(frozen=True, slots=True)
class Teacher:
    """Makes masks of labelled tiles by the rules of pseudo masks, for the next network.

    What a person has corrected in a tile overrules its mask, and weighs more. A tile
    that cannot be read gets a mask that tells nothing.

    Attributes
    ----------
    job
        With the settings of CAMs and pseudo masks.
    tiles, reader
        Which tiles, and their pixels as the networks see them.
    raw
        Reads the pixels as they are: what glass is, and where edges are, they tell.
    edge
        Of a batch's images.
    """

    job: Job
    tiles: TileTable
    reader: TileReader
    raw: TileReader
    edge: int

    def __call__(self, model: CamClassifier, listener: Listener) -> SampleSource:
        """Return the tiles with the masks that the model makes of them.

        Raises
        ------
        JobError
            If too many tiles cannot be read.
        Stopped
            If the user asks to stop.
        """
        machine = self.job.config.machine
        device = prepare_device(machine)
        model, fabric = model.to(device), launch_fabric(machine, device)
        count, done = len(self.tiles), 0
        masks, lost = PackedMasks(), LostTiles(count)
        asked = ask_tiles(
            model,
            self.tiles,
            self.reader,
            self.edge,
            self.job.config.cams,
            listener.emit,
            resolve_precision(machine.precision, device),
        )
        with closing(asked) as running:
            for batch, found in running:
                made = self._masks(batch, found, model, done, lost, listener.emit)
                for mask in made:
                    masks.add(int(self.tiles.image_ids[done]), self._box(done), mask)
                    done += 1
                text = f"masks for the next network: tile {done} of {count}"
                listener.emit(Progress(step=0, total=1, message=text))
                # All processes have to agree: the others would wait for one that ends.
                if fabric.broadcast(listener.should_stop()):
                    raise Stopped
        known = (self.tiles.labels != LabelState.UNKNOWN).astype(np.int8)
        return MaskSamples(
            replace(self.tiles, labels=known),
            self.reader,
            masks,
            self.job.store.corrections,
            corrected_weight=self.job.config.segmenter.corrected_weight,
        )

    def _box(self, row: int) -> Box:
        image_id = int(self.tiles.image_ids[row])
        return self.reader.working_box(image_id, self.tiles.box(row))

    def _masks(
        self,
        batch: Batch,
        found: CamResult,
        model: CamClassifier,
        first: int,
        lost: LostTiles,
        emit: Callable[[Event], None],
    ) -> Iterator[MaskArray]:
        """Yield the masks of the rows from ``first`` on that a batch has."""
        cams, sure = found.cam.cpu().numpy(), found.probabilities.cpu().numpy()
        for index, tile_id in enumerate(batch.tile_ids.tolist()):
            row = first + index
            if tile_id != self.tiles.ids[row]:
                # It could not be read, and another tile has taken its place.
                yield self._undecided(row)
                continue
            try:
                mask = self._mask(row, cams[index], sure[index], model)
            except SlideError as error:
                # The network still has it in memory.
                emit(lost.add(tile_name(self.tiles, self.raw, row), error))
                mask = self._undecided(row)
            yield mask

    def _mask(
        self, row: int, cam: FloatArray, sure: FloatArray, model: CamClassifier
    ) -> MaskArray:
        image_id, box = int(self.tiles.image_ids[row]), self._box(row)
        image = self.raw.image(image_id)
        # What was continued beyond a small tile is not a part of it.
        high, wide = (-(-edge // model.stride) for edge in (box.height, box.width))
        mask, _ = make_pseudo_mask(
            cam[:, :high, :wide],
            (box.height, box.width),
            self.tiles.labels[row],
            sure,
            self.raw.read_pixels(image_id, self.tiles.box(row)),
            rules=rules_of(self.job.config.pseudo_masks, image.working_mpp),
            stride=model.stride,
            shared_foreground=model.shared_foreground,
        )
        return mask

    def _undecided(self, row: int) -> MaskArray:
        box = self._box(row)
        return np.full((box.height, box.width), IGNORE_INDEX, np.uint8)
