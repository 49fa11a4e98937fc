"""Find which images share a stain, and measure it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from segmix_core.slides.slide import RgbArray
from segmix_core.slides.stain import (
    Stain,
    StainNormalizer,
    find_tissue_colors,
    measure_stain,
)

_OF_A_GROUP, _OF_ALL = 16, 64
"""Most images that are measured."""
_TILES_OF_A_SLIDE = 8
_ONE_IMAGE_PX = 300_000
"""An image with this many pixels has its own stain even if it is a single tile. The
colors of a smaller one, a tile or a cell, are its content, and normalizing would hide
it."""
_LEAST_PX = 20_000

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Alone(Generic[Key]):
    """Group key of a slide; differs from all group names."""

    key: Key


@dataclass(frozen=True, slots=True)
class MeasuredStains(Generic[Key]):
    """Measured stains, stored so that later stages use the same colors.

    Attributes
    ----------
    images
        Stain of each image that was requested; None: left unchanged.
    common
        Stain of groups that have none of their own, such as new groups.
    """

    images: Mapping[Key, Stain | None]
    common: Stain | None


class GroupStains(Generic[Key]):
    """Normalizers for each slide, and for each group (case) of smaller images.

    A slide is an image with room for several tiles. Slides have separate stains even if
    they belong to the same case.

    A group is measured when its first image is requested. A group of a single small
    image, or with few pixels, cannot separate stain from content, so it gets the common
    stain of all images. If all groups are like that, images are left unchanged.

    Parameters
    ----------
    groups
        Group of each image, by the image's key.
    areas
        Pixels of each image, at the resolution of the tiles.
    tile_areas
        Pixels of a tile of each image.
    look
        Returns pixels (H, W, 3) of an image by its key: all of it, or places with
        tissue, at the resolution of the tiles. None: it cannot be read and is skipped.
    typical
        Images that define the common stain; None: all.
    measured
        Known stains, which are not measured again.
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
        self._normalizers: dict[Stain | None, StainNormalizer] = {}

    def of(self, key: Key) -> StainNormalizer:
        """Return the normalizer of an image."""
        if key not in self._known:
            self._known[key] = self._stain_of(self._groups[key])
        stain = self._known[key]
        if stain not in self._normalizers:
            self._normalizers[stain] = StainNormalizer(stain)
        return self._normalizers[stain]

    def measured(self) -> MeasuredStains[Key]:
        """Return the stains measured so far."""
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
    """Return a limited number of keys, evenly spaced."""
    count = min(most, len(keys))
    return [keys[index * len(keys) // count] for index in range(count)]
