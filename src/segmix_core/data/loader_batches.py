"""Batches of a program's own loader, such as a PyTorch ``DataLoader``."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmix_core.curriculum.patch_sizes import TILE_STEP
from segmix_core.data.arrays import as_labels, as_rgb
from segmix_core.data.batch import Batch
from segmix_core.data.randomness import Stream, derive_seed
from segmix_core.data.samples import ArraySamples
from segmix_core.data.tile_reader import pad_tile
from segmix_core.errors import DataError
from segmix_core.events import Event, Warned
from segmix_core.geometry import next_multiple

Pairs = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]


class LoaderBatches:
    """Batches of (images, labels) in the form that trainings take.

    An epoch is one pass of the loader. Where the loader shuffles with torch's own
    random numbers, seed and epoch decide its order.

    Parameters
    ----------
    loader
        Iterable as often as asked, with a length. Images as for
        :func:`segmix_core.data.arrays.as_rgb`, of one size or smaller than those of the
        first batch; labels as for :func:`segmix_core.data.arrays.as_labels`.
    class_names
        Of the label columns.
    seed
        Decides the order.
    emit
        Takes warnings.

    Attributes
    ----------
    tile_px
        Edge of the images of a batch: that of the first, up to a multiple of 16;
        smaller ones are continued by reflection.
    batch_size
        Images in the first batch.
    steps_per_epoch
        Batches in an epoch.

    Raises
    ------
    DataError
        If the loader can be read only once, has no length or no images.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        class_names: Sequence[str],
        *,
        seed: int,
        emit: Callable[[Event], None],
    ) -> None:
        self._loader, self._names = loader, class_names
        self._seed, self._emit = seed, emit
        self.steps_per_epoch = _count(loader)
        images, _ = next(self._read(0))
        self.batch_size = len(images)
        self.tile_px = next_multiple(max(images.shape[1:3]), TILE_STEP)

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches ``first``, ``first + 1``, ... of an epoch.

        Raises
        ------
        DataError
            If images or labels do not fit, or the loader yields fewer batches than its
            length says.
        """
        seen, step = np.zeros((2, len(self._names)), bool), 0
        with closing(self._read(epoch, first)) as pairs:
            for step, (images, labels) in enumerate(pairs, start=first + 1):
                seen |= [(labels == 1).any(axis=0), (labels == 0).any(axis=0)]
                if epoch == first == 0 and step == self.steps_per_epoch:
                    self._warn(seen)
                yield self._batch(images, labels, step)
        if step < self.steps_per_epoch:
            raise DataError(
                f"The loader has {step} batches, but a length of "
                f"{self.steps_per_epoch}.",
                "Correct its length.",
            )

    def collect(self) -> ArraySamples:
        """Read the loader once more, and return its images as bytes in memory.

        Raises
        ------
        DataError
            As for :meth:`batches`.
        """
        kept: list[npt.NDArray[np.uint8]] = []
        states = []
        with closing(self._read(0)) as pairs:
            for images, labels in pairs:
                kept += list(images)
                states.append(labels)
        return ArraySamples(kept, np.concatenate(states))

    def _read(self, epoch: int, first: int = 0) -> Generator[Pairs, None, None]:
        for number, content in enumerate(self._started(epoch)):
            if number == self.steps_per_epoch:
                return
            if number >= first:
                yield self._checked(content)

    def _started(self, epoch: int) -> Iterator[Any]:
        # A sampler draws its seed when the first batch of an epoch is asked for.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self._seed, Stream.ORDER, epoch))
            batches = iter(self._loader)
            first = next(batches, None)
        if first is None:
            raise DataError("The loader is empty.", "Pass at least one batch.")
        yield first
        yield from batches

    def _checked(self, content: Any) -> Pairs:
        if not isinstance(content, (tuple, list)) or len(content) != 2:
            raise DataError(
                "A batch of the loader is not a pair of images and labels.",
                "Yield (images, labels) for each batch.",
            )
        images = as_rgb(content[0])
        return images, as_labels(content[1], len(images), len(self._names))

    def _batch(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int8], step: int
    ) -> Batch:
        count, height, width = images.shape[:3]
        edge = self.tile_px
        if max(height, width) > edge:
            raise DataError(
                f"Images of {height} x {width} pixels are larger than those of the "
                "first batch.",
                "Yield images of one size.",
            )
        pixels = np.stack([pad_tile(image, edge) for image in images])
        first = (step - 1) * self.batch_size
        return Batch(
            images=torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255,
            labels=torch.from_numpy(labels.astype(np.float32)),
            tile_ids=torch.arange(first, first + count),
            valid=torch.tensor([[height, width]]).repeat(count, 1),
            names=[f"image {number + 1} of batch {step}" for number in range(count)],
        )

    def _warn(self, seen: npt.NDArray[np.bool_]) -> None:
        """Tell of classes that no image of the epoch has, or that all have."""
        for has, text in zip(seen, ("present", "absent"), strict=True):
            names = [self._names[index] for index in np.flatnonzero(~has).tolist()]
            if names:
                message = (
                    f"No image is labeled {text} for {', '.join(names)}. Nothing can "
                    "be learned of it."
                )
                self._emit(Warned(message=message))


def _count(loader: Iterable[Any]) -> int:
    if not isinstance(loader, Iterable):
        raise DataError(
            f"{type(loader).__name__} gives no batches.",
            "Pass a DataLoader, or a list of (images, labels) batches.",
        )
    if isinstance(loader, Iterator):
        raise DataError(
            "This loader can be read only once, but every epoch reads it.",
            "Pass a DataLoader, or a list of (images, labels) batches.",
        )
    try:
        count = len(loader)  # type: ignore[arg-type]
    except TypeError as error:
        raise DataError(
            "The loader has no length, so its epochs have no number of steps.",
            "Pass a DataLoader of a data set with a length, or a list of batches.",
        ) from error
    if count == 0:
        raise DataError("The loader is empty.", "Pass at least one batch.")
    return count
