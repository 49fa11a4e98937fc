"""Tiles as batches, in an order that only seed and epoch decide."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmix_core.data.batch import Batch
from segmix_core.data.color_tables import draw_color_tables, look_up, plain_tables
from segmix_core.data.prefetch import prefetch
from segmix_core.data.randomness import Stream, seeded_generator
from segmix_core.data.samples import Sample, SampleSource
from segmix_core.data.symmetries import IDENTITY, turn_array
from segmix_core.data.tile_reader import pad_tile
from segmix_core.data.unreadable_tiles import UnreadableTiles
from segmix_core.errors import SlideError
from segmix_core.events import Event, Warned

Rows = npt.NDArray[np.int64]
_COLOR_STRENGTH = 0.15
_SYMMETRIES = np.array([0, 6, 3, 5, 1, 7, 2, 4])
"""All eight: quarter turns, then those of the mirror image. Another order would draw
others for the same seed, and published scores could not be repeated."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How tiles become batches.

    Attributes
    ----------
    tile_px
        Edge of the images of a batch; smaller tiles are continued by reflection.
    batch_size
        Most tiles in a batch, over all processes together.
    seed
        Decides order and augmentation.
    in_order
        Take the tiles as they stand in the table instead.
    augment
        Apply a random symmetry and staining to each tile.
    rank, processes
        This process, of how many that train together.
    steps
        Batches in an epoch; None: as many as ``batch_size`` needs.
    """

    tile_px: int
    batch_size: int
    seed: int = 0
    in_order: bool = False
    augment: bool = False
    rank: int = 0
    processes: int = 1
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.tile_px < 1 or self.batch_size < 1:
            raise ValueError(
                f"Expected sizes >= 1, got {self.tile_px}, {self.batch_size}"
            )
        if not 0 <= self.rank < self.processes:
            raise ValueError(f"Expected a rank below {self.processes}, got {self.rank}")


class TileBatches:
    """Batches of an epoch, prepared ahead in a thread.

    The batches of an epoch differ by at most one tile in size, so that none is tiny.
    A tile that cannot be read is replaced by the next of the epoch that can, and a
    warning names it once.

    Parameters
    ----------
    source
        Where tiles come from.
    plan
        How they become batches.
    emit
        Takes warnings, in the thread that takes the batches.
    """

    def __init__(
        self, source: SampleSource, plan: BatchPlan, emit: Callable[[Event], None]
    ) -> None:
        if len(source.ids) == 0:
            raise ValueError("Expected tiles, got none")
        self._source = source
        self._plan = plan
        self._emit = emit
        self._lost = UnreadableTiles(len(source.ids))
        self._warnings: dict[int, Warned] = {}
        self._told: set[int] = set()

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self._plan.steps or -(-len(self._source.ids) // self._plan.batch_size)

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches ``first``, ``first + 1``, ... of an epoch.

        Close the generator, or use it up.

        Raises
        ------
        JobError
            If too many tiles cannot be read.
        ValueError
            If there is no batch ``first``.
        """
        if not 0 <= first < self.steps_per_epoch:
            raise ValueError(
                f"Expected a batch below {self.steps_per_epoch}, got {first}"
            )
        return self._batches(epoch, first)

    def _batches(self, epoch: int, first: int) -> Generator[Batch, None, None]:
        with closing(prefetch(lambda: self._make(epoch, first))) as batches:
            for batch in batches:
                self._warn()
                yield batch

    def _warn(self) -> None:
        for row in sorted(self._warnings.keys() - self._told):
            self._told.add(row)
            self._emit(self._warnings[row])

    def _make(self, epoch: int, first: int) -> Iterator[Batch]:
        order = self.order(epoch)
        steps, count = self.steps_per_epoch, len(order)
        for index in range(first, steps):
            places = np.arange(count * index // steps, count * (index + 1) // steps)
            if self._plan.processes > 1:
                places = self._share(places)
            samples = [self._readable(order, int(place)) for place in places]
            rows = np.array([row for row, _ in samples], np.int64)
            generator = seeded_generator(
                self._plan.seed,
                Stream.AUGMENT,
                epoch * steps + index,
                self._plan.rank,
            )
            yield self._collate(rows, [sample for _, sample in samples], generator)

    def order(self, epoch: int) -> Rows:
        """Return (N,) int64: rows of the table as the epoch takes them."""
        count = len(self._source.ids)
        if self._plan.in_order:
            return np.arange(count)
        generator = seeded_generator(self._plan.seed, Stream.ORDER, epoch)
        rows: Rows = torch.randperm(count, generator=generator).numpy()
        return rows

    def _share(self, places: Rows) -> Rows:
        # Every process gets as many tiles, or they would wait for each other forever.
        each = -(-len(places) // self._plan.processes)
        whole = np.resize(places, each * self._plan.processes)
        return whole[self._plan.rank * each : (self._plan.rank + 1) * each]

    def _readable(self, order: Rows, place: int) -> tuple[int, Sample]:
        for shift in range(len(order)):
            row = int(order[(place + shift) % len(order)])
            if row in self._warnings:
                continue
            try:
                return row, self._source.read(row)
            except SlideError as error:
                name = self._source.name(row)
                self._warnings[row] = self._lost.add(name, error)
        raise AssertionError("a tile, or an error where all are lost")

    def _collate(
        self, rows: Rows, samples: list[Sample], generator: torch.Generator
    ) -> Batch:
        count, edge = len(samples), self._plan.tile_px
        codes, tables = np.full(count, IDENTITY), plain_tables(count)
        if self._plan.augment:
            drawn = torch.randint(0, 8, (count,), generator=generator).numpy()
            codes = _SYMMETRIES[drawn]
            tables = draw_color_tables(count, _COLOR_STRENGTH, generator)
        samples = [_turned(s, int(c)) for s, c in zip(samples, codes, strict=True)]
        images = np.empty((count, edge, edge, 3), np.float32)
        for sample, table, out in zip(samples, tables, images, strict=True):
            look_up(pad_tile(sample.image, edge), table, out)
        source = self._source
        return Batch(
            images=torch.from_numpy(images).permute(0, 3, 1, 2),
            labels=torch.from_numpy(source.labels[rows].astype(np.float32)),
            tile_ids=torch.from_numpy(source.ids[rows].astype(np.int64)),
            valid=torch.tensor([s.image.shape[:2] for s in samples]),
            # Reflected like the pixels: where padding had no weight, networks learned
            # anything at all along these two borders.
            masks=_stack([s.mask for s in samples], edge),
            weights=_stack([s.weight for s in samples], edge),
            corrected=_stack([s.corrected for s in samples], edge),
            names=[source.name(int(row)) for row in rows],
        )


def _turned(sample: Sample, code: int) -> Sample:
    if code == IDENTITY:
        return sample
    mask, weight, corrected = sample.mask, sample.weight, sample.corrected
    return Sample(
        turn_array(sample.image, code),
        None if mask is None else turn_array(mask, code),
        None if weight is None else turn_array(weight, code),
        None if corrected is None else turn_array(corrected, code),
    )


def _stack(parts: Sequence[npt.NDArray[Any] | None], edge: int) -> torch.Tensor | None:
    """Return (B, edge, edge) of what all samples of a source have, or none has."""
    known = [pad_tile(part, edge) for part in parts if part is not None]
    return torch.from_numpy(np.stack(known)) if known else None
