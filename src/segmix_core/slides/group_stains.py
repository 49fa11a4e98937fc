"""Which images have their stain in common, and which is it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from segmix_core.slides.slide import RgbArray
from segmix_core.slides.stain import (
    Stain,
    StainNormaliser,
    find_tissue_colors,
    measure_stain,
)

_OF_A_GROUP, _OF_ALL = 16, 64
"""Images that are looked at, at most."""
_ONE_IMAGE_PX = 300_000
"""Pixels of an image that has a stain of its own. The colours of less, of a tile or a
cell, are what it shows: normalising them would hide it."""
_LEAST_PX = 20_000

Key = TypeVar("Key", bound=Hashable)


class GroupStains(Generic[Key]):
    """A normaliser for each group of images: a slide, or a case.

    A group is measured when its first image is asked for. Where a group is a single
    small image, nothing tells its stain from what it shows, and it is taken to have
    what all images have in common. Where all groups are, images stay as they are.

    Parameters
    ----------
    groups
        Group of each image, by the image's key.
    areas
        Pixels of each image, at the resolution that tiles are read at.
    look
        Returns pixels (H, W, 3) of an image by its key: all of it, or places with
        tissue, at the resolution that tiles are read at. None: it cannot be read, and
        the others tell the stain.
    """

    def __init__(
        self,
        groups: Mapping[Key, str],
        areas: Mapping[Key, int],
        look: Callable[[Key], RgbArray | None],
    ) -> None:
        self._groups, self._look = groups, look
        self._members: dict[str, list[Key]] = {}
        for key, group in groups.items():
            self._members.setdefault(group, []).append(key)
        self._of_their_own = {
            group
            for group, members in self._members.items()
            if len(members) > 1 or areas[members[0]] >= _ONE_IMAGE_PX
        }
        self._known: dict[str, StainNormaliser] = {}
        self._common: StainNormaliser | None = None

    def of(self, key: Key) -> StainNormaliser:
        """Return what normalises an image."""
        group = self._groups[key]
        if group not in self._known:
            stain = None
            if group in self._of_their_own:
                stain = self._measure(_spread(self._members[group], _OF_A_GROUP))
            self._known[group] = StainNormaliser(stain) if stain else self._of_all()
        return self._known[group]

    def _of_all(self) -> StainNormaliser:
        if self._common is None:
            stain = None
            if self._of_their_own:
                stain = self._measure(_spread(list(self._groups), _OF_ALL))
            self._common = StainNormaliser(stain)
        return self._common

    def _measure(self, keys: Sequence[Key]) -> Stain | None:
        seen = [self._look(key) for key in keys]
        found = [find_tissue_colors(image) for image in seen if image is not None]
        enough = sum(image.count for image in found) >= _LEAST_PX
        return measure_stain(found) if enough else None


def _spread(keys: Sequence[Key], most: int) -> list[Key]:
    """Return at most so many keys, evenly spread."""
    count = min(most, len(keys))
    return [keys[index * len(keys) // count] for index in range(count)]
