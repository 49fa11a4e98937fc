"""P2, patch tags: windows with several tags.

The foreground is where a tag other than the background tag has the largest map; there
is no threshold.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folder import (
    BenchmarkFolder,
    LabeledImage,
    LabeledWindow,
)
from benchmarks.quality.protocol import BoolArray, Item, MapsOf, MaskArray, Protocol
from segmix_core.errors import ConfigError
from segmix_core.inference.pseudo_rules import Background, PseudoMaskRules
from segmix_core.project.records import IGNORE_INDEX
from segmix_core.settings import PseudoMaskSettings

BACKGROUND_TAGS = ("non", "no_", "background", "other", "rest")
"""Beginnings of the names of tags that mean "no class here"."""


class PatchTagProtocol(Protocol):
    """P2."""

    def __init__(self, folder: BenchmarkFolder) -> None:
        edges = [window.box.height for window in folder.windows]
        super().__init__(replace(folder, window_px=max(edges, default=None)))

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the tags."""
        return self.folder.tag_names

    @property
    def background(self) -> Background:
        """There is none: it has a tag."""
        return "none"

    @property
    def foreground_tags(self) -> tuple[int, ...]:
        """Columns of the tags that mean foreground.

        Raises
        ------
        ConfigError
            If all tags or none are background tags.
        """
        names = self.folder.tag_names
        found = tuple(
            column
            for column, name in enumerate(names)
            if not name.startswith(BACKGROUND_TAGS)
        )
        if not 0 < len(found) < len(names):
            raise ConfigError(
                "patches.csv does not have one tag for foreground and one for "
                f"background, but {', '.join(names)}.",
                "Start the name of the background tag with 'non' or 'background', "
                "such as has_nongland.",
            )
        return found

    def training_items(self) -> Sequence[LabeledWindow]:
        """Return the windows of train images."""
        return [w for w in self.folder.windows if w.split == "train"]

    def fit_threshold(self, maps_of: MapsOf) -> float | None:
        """Return None: the largest map wins."""
        return None

    def foreground(
        self, image: LabeledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return where a foreground tag has the largest map."""
        return np.isin(maps.argmax(axis=0), self.foreground_tags)

    def pseudo_rules(
        self, threshold: float | None, settings: PseudoMaskSettings
    ) -> PseudoMaskRules:
        """Return rules by which the largest map wins."""
        return PseudoMaskRules(
            background=self.background,
            normalization=settings.normalization,
            margin=settings.margin,
            min_object_px=settings.min_object_px,
            min_hole_px=settings.min_hole_px,
        )

    def as_foreground(self, mask: MaskArray) -> MaskArray:
        """Return the foreground tags as foreground, other tags as background.

        No tag, in windows without any, stays background.
        """
        values = np.array(self.foreground_tags) + 1
        known = np.isin(mask, values).astype(np.uint8)
        return np.where(mask == IGNORE_INDEX, np.uint8(IGNORE_INDEX), known)

    def columns_of(self, item: Item, foreground: BoolArray) -> MaskArray:
        """Return the tag of each side; 255 where several of the item may be meant."""
        inside = self._only_tag(item, is_foreground=True)
        outside = self._only_tag(item, is_foreground=False)
        return np.where(foreground, np.uint8(inside), np.uint8(outside))

    @property
    def decides_all(self) -> bool:
        """It does: a pixel of one tag is none of the others."""
        return True

    def _only_tag(self, item: Item, *, is_foreground: bool) -> int:
        side = [
            column
            for column in range(len(self.label_names))
            if (column in self.foreground_tags) == is_foreground
        ]
        # A tag may be missing that covers too little of the window to be given.
        found = [column for column in side if item.labels[column] == 1] or side
        return found[0] + 1 if len(found) == 1 else IGNORE_INDEX
