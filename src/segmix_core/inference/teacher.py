"""Masks of tiles as a trained network sees them, for the next network to learn from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from segmix_core.data.samples import (
    MaskedSamples,
    MaskOfRow,
    PackedMasks,
    SampleSource,
)
from segmix_core.events import Event, Progress
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.project.records import LabelState

Look = Callable[
    [CamClassifier, Callable[[Event], None]],
    Iterator[tuple[Evidence, PseudoMaskRules] | None],
]
"""Network, taker of warnings -> what its masks are made of, tile by tile.

None stands for a tile that cannot be read.
"""
_REPORT_EVERY = 32


class Listener(Protocol):
    """Who follows the work."""

    def emit(self, event: Event) -> None:
        """Take note of an event."""

    def should_stop(self) -> bool:
        """Say whether the user wants it to end."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """Makes masks of labeled tiles by the rules of pseudo masks.

    What a person has corrected in a tile overrules its mask, and weighs more. A tile
    that cannot be read gets a mask that tells nothing.

    Attributes
    ----------
    samples
        The tiles, as the next network is to see them.
    look
        What a network sees in them: whole tiles, tiles with what is around them, or
        windows of images.
    decided
        (N, C): 1 where a mask tells of a class, present or not. None: where the label
        is known.
    corrections, corrected_weight
        As in :class:`MaskedSamples`.
    agree
        Makes processes that train together stop together: what the first of them was
        asked, of what this one was.
    """

    samples: SampleSource
    look: Look
    decided: npt.NDArray[np.int8] | None = None
    corrections: MaskOfRow | None = None
    corrected_weight: float = 1.0
    agree: Callable[[bool], bool] = bool

    def __call__(self, model: CamClassifier, listener: Listener) -> SampleSource | None:
        """Return the tiles with the masks that the model makes of them.

        None if asked to stop.

        Raises
        ------
        JobError
            If too many tiles cannot be read.
        """
        masks, count = PackedMasks(), len(self.samples.ids)
        for found in self.look(model, listener.emit):
            masks.add(None if found is None else found[0].mask(found[1])[0])
            done = len(masks)
            if done % _REPORT_EVERY and done < count:
                continue
            message = f"masks for the next network: tile {done} of {count}"
            listener.emit(Progress(step=0, total=1, message=message))
            # All processes have to agree: the others would wait for one that ends.
            if self.agree(listener.should_stop()):
                return None
        known = (self.samples.labels != LabelState.UNKNOWN).astype(np.int8)
        return MaskedSamples(
            self.samples,
            masks,
            self.corrections,
            corrected_weight=self.corrected_weight,
            labels=known if self.decided is None else self.decided,
        )
