"""Which images have their stain in common, and which is it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
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
_TILES_OF_A_SLIDE = 8
_ONE_IMAGE_PX = 300_000
"""Pixels of an image that has a stain of its own although nobody has cut it. The
colours of less, of a tile or a cell, are what it shows: normalising them would hide
it."""
_LEAST_PX = 20_000

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Alone(Generic[Key]):
    """The group of a slide, whatever groups are called."""

    key: Key


@dataclass(frozen=True, slots=True)
class MeasuredStains(Generic[Key]):
    """What was measured once, for those who have to see the same colours again.

    Attributes
    ----------
    images
        Stain of each image that was asked for; None: it stays as it is.
    common
        What groups without a stain of their own have, such as new ones.
    """

    images: Mapping[Key, Stain | None]
    common: Stain | None


class GroupStains(Generic[Key]):
    """A normaliser for each slide, and for each group of smaller images: a case.

    A slide is an image with room for several tiles. Of one case, each slide was
    stained by itself.

    A group is measured when its first image is asked for. Where a group is a single
    small image, or next to nothing, it does not tell its stain from what it shows, and
    it is taken to have what all images have in common. Where all groups are such,
    images stay as they are.

    Parameters
    ----------
    groups
        Group of each image, by the image's key.
    areas
        Pixels of each image, at the resolution that tiles are read at.
    tile_areas
        Pixels of a tile of each image.
    look
        Returns pixels (H, W, 3) of an image by its key: all of it, or places with
        tissue, at the resolution that tiles are read at. None: it cannot be read, and
        the others tell the stain.
    typical
        Images that tell what all have in common; None: all.
    measured
        Known already, and not measured again.
    """

    def __init__(
        self,
        groups: Mapping[Key, str],
        areas: Mapping[Key, int],
        tile_areas: Mapping[Key, int],
        look: Callable[[Key], RgbArray | None],
        *,
        typical: Sequence[Key] | None = None,
        measured: MeasuredStains[Key] | None = None,
    ) -> None:
        slides = {
            key
            for key, area in areas.items()
            if area >= max(_LEAST_PX, _TILES_OF_A_SLIDE * tile_areas[key])
        }
        self._groups: dict[Key, Hashable] = {
            key: _Alone(key) if key in slides else group
            for key, group in groups.items()
        }
        self._look = look
        self._typical = list(groups) if typical is None else typical
        self._members: dict[Hashable, list[Key]] = {}
        for key, group in self._groups.items():
            self._members.setdefault(group, []).append(key)
        self._of_their_own = {
            group
            for group, members in self._members.items()
            if members[0] in slides
            or sum(areas[key] for key in members)
            >= (_LEAST_PX if len(members) > 1 else _ONE_IMAGE_PX)
        }
        self._known = dict(measured.images) if measured else {}
        self._common = [measured.common] if measured else []
        self._normalisers: dict[Stain | None, StainNormaliser] = {}

    def of(self, key: Key) -> StainNormaliser:
        """Return what normalises an image."""
        if key not in self._known:
            self._known[key] = self._stain_of(self._groups[key])
        stain = self._known[key]
        if stain not in self._normalisers:
            self._normalisers[stain] = StainNormaliser(stain)
        return self._normalisers[stain]

    def measured(self) -> MeasuredStains[Key]:
        """Return what is known by now."""
        return MeasuredStains(dict(self._known), self._of_all())

    def _stain_of(self, group: Hashable) -> Stain | None:
        members = self._members[group]
        known = [key for key in members if key in self._known]
        if known:
            return self._known[known[0]]
        if group not in self._of_their_own:
            return self._of_all()
        return self._measure(_spread(members, _OF_A_GROUP)) or self._of_all()

    def _of_all(self) -> Stain | None:
        if not self._common:
            stain = None
            if self._of_their_own:
                stain = self._measure(_spread(self._typical, _OF_ALL))
            self._common.append(stain)
        return self._common[0]

    def _measure(self, keys: Sequence[Key]) -> Stain | None:
        found = [
            find_tissue_colors(image)
            for key in keys
            if (image := self._look(key)) is not None
        ]
        enough = sum(colors.count for colors in found) >= _LEAST_PX
        return measure_stain(found) if enough else None


def _spread(keys: Sequence[Key], most: int) -> list[Key]:
    """Return at most so many keys, evenly spread."""
    count = min(most, len(keys))
    return [keys[index * len(keys) // count] for index in range(count)]
