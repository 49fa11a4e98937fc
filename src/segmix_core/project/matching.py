r"""Match names to images, files and classes: one rule for all of SegMix.

Nothing is guessed. A name means what it matches exactly. Only where nothing matches
exactly is a fallback used, and only if it leaves a single candidate among all images
(or files, or classes). Otherwise nothing matches, and the candidates are returned.

Names are compared in Unicode's composed form (NFC), so that "é" of a Mac is "é".

**Images and files.** A path is its folders and its file name; "/" and "\" separate
them, and ".", "..", drive letters and network shares are ignored. Two paths agree if
they are equal from the end over the length of the shorter one: "a/x.png" agrees with
"/data/a/x.png" and "x.png", never with "/data/b/x.png". An exact match is
case-sensitive; a path that is equal as a whole comes first. The fallback ignores case
and the ending of the file name (one of :data:`ENDINGS`; ".ome.tif" is one ending).

**Classes.** An exact match ignores upper and lower case only. In the fallback, spaces
and "_" are alike. Every other sign counts: "CD8+" is not "CD8-", and "T-cell" is not
"T cell".
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import PurePath
from typing import Generic, TypeVar

from segmix_core.files import image_stem
from segmix_core.project.records import ImageRecord, TissueClass

ENDINGS = frozenset(
    {".bif", ".bmp", ".btf", ".czi", ".dcm", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg",
     ".jpg", ".mrxs", ".ndpi", ".ome", ".png", ".qptiff", ".scn", ".svs", ".svslide",
     ".tf2", ".tf8", ".tif", ".tiff", ".vms", ".vmu", ".webp"}
)  # fmt: skip
"""Suffixes of image files; "tile_1.5" has none."""
Parts = tuple[str, ...]
_SHOWN = 3
_MAX_CANDIDATES = 16
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Match(Generic[_Item]):
    """The result of a search by name.

    Attributes
    ----------
    item
        The one match; None if there is none or more than one.
    candidates
        Where ``item`` is None: the first things that the name fits equally well, or
        that have this name but in another folder or with other signs.
    is_ambiguous
        Whether the candidates match equally well.
    """

    item: _Item | None
    candidates: tuple[_Item, ...] = ()
    is_ambiguous: bool = False


class PathMatcher(Generic[_Item]):
    """Finds things by path, by the rule of this module."""

    def __init__(self, items: Iterable[tuple[PurePath, _Item]]) -> None:
        self._items: list[_Item] = []
        self._paths: list[Parts] = []
        self._whole: dict[Parts, list[int]] = defaultdict(list)
        for path, item in items:
            parts = path_parts(str(path))
            if parts:
                self._whole[parts].append(len(self._items))
                self._items.append(item)
                self._paths.append(parts)

    # Most names match exactly, and most tables need one of these only.
    @cached_property
    def _exact(self) -> "_PathIndex":
        return _PathIndex(self._paths, _written)

    @cached_property
    def _alike(self) -> "_PathIndex":
        return _PathIndex(self._paths, _alike)

    def find(self, text: str) -> Match[_Item]:
        """Find ``text``, a path or file name."""
        parts = path_parts(text)
        if not parts:
            return Match(None)
        exact = self._whole.get(parts) or self._exact.fitting(parts)
        fits = exact or self._alike.fitting(parts)
        places = fits or self._alike.fitting(parts[-1:])
        found = tuple(self._items[place] for place in places[:_MAX_CANDIDATES])
        if len(fits) == 1:
            return Match(found[0])
        return Match(None, candidates=found, is_ambiguous=bool(fits))


class ImageMatcher(PathMatcher[ImageRecord]):
    """Finds an image of a project by path or file name."""

    def __init__(self, images: Iterable[ImageRecord]) -> None:
        super().__init__((image.path, image) for image in images)


class ClassMatcher:
    """Finds a class of a project by name, by the rule of this module."""

    def __init__(self, classes: Sequence[TissueClass]) -> None:
        self.names = tuple(entry.name for entry in classes)
        self._exact, self._alike, self._letters = (
            _by_key(self.names, key) for key in (_folded, class_key, _letters)
        )

    def find(self, text: str) -> Match[int]:
        """Find the label column (class index - 1) named ``text``."""
        exact = self._exact.get(_folded(text), ())
        fits = exact or self._alike.get(class_key(text), ())
        if len(fits) == 1:
            return Match(fits[0])
        candidates = fits or self._letters.get(_letters(text), ())
        return Match(None, candidates=tuple(candidates), is_ambiguous=bool(fits))


def path_parts(text: str) -> Parts:
    """Return folders and file name of a path of any system, in Unicode's form NFC."""
    text = unicodedata.normalize("NFC", text.strip()).replace("\\", "/")
    parts: list[str] = []
    for part in re.sub(r"^[A-Za-z]:/", "/", text).split("/"):
        if part == "..":
            # Nothing is known of the folders above the first one.
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    # //server/share is a place on a network as D: is one on a machine.
    is_share = text.startswith("//") and len(parts) > 2
    return tuple(parts[2:] if is_share else parts)


def class_key(name: str) -> str:
    """Return the form of a class name that must be unique in a project."""
    return re.sub(r"[\s_]+", "_", _folded(name)).strip("_")


def shortest_paths(paths: Sequence[PurePath]) -> str:
    """Return the first few paths, each shortened as far as it stays unique.

    At least one folder is shown, since the file names are the same.
    """
    first = paths[:_SHOWN]
    texts = []
    for path in first:
        length = 2
        while length < len(path.parts) and any(
            other != path and other.parts[-length:] == path.parts[-length:]
            for other in first
        ):
            length += 1
        texts.append(PurePath(*path.parts[-length:]).as_posix())
    return " or ".join(texts) + (" or ..." if len(paths) > _SHOWN else "")


class _PathIndex:
    """Index of paths by their last parts; ``spell`` normalizes what is compared."""

    def __init__(
        self, paths: Sequence[Parts], spell: Callable[[Parts], tuple[Parts, Parts]]
    ) -> None:
        self._spell = spell
        self._folders: list[Parts] = []
        # By folder and name: the same file name may exist in every folder.
        self._places: dict[tuple[str | None, str], list[int]] = defaultdict(list)
        for place, parts in enumerate(paths):
            folders, names = spell(parts)
            self._folders.append(folders)
            folder = folders[-1] if folders else ""
            for name in names:
                self._places[None, name].append(place)
                self._places[folder, name].append(place)

    def fitting(self, parts: Parts) -> list[int]:
        """Return the places of the paths that agree with ``parts``."""
        folders, names = self._spell(parts)
        # "" are paths without a folder: they agree with any.
        keys = (folders[-1], "") if folders else (None,)
        found = (
            place
            for key in keys
            for name in names
            for place in self._places.get((key, name), ())
            if _agree(folders, self._folders[place])
        )
        # A name may come with and without its ending.
        return list(dict.fromkeys(islice(found, 2 * _MAX_CANDIDATES)))


def _agree(first: Parts, second: Parts) -> bool:
    pairs = zip(reversed(first), reversed(second), strict=False)
    return all(one == other for one, other in pairs)


def _written(parts: Parts) -> tuple[Parts, Parts]:
    return parts[:-1], parts[-1:]


def _alike(parts: Parts) -> tuple[Parts, Parts]:
    *folders, name = (part.strip() for part in _folded("/".join(parts)).split("/"))
    return tuple(folders), tuple(dict.fromkeys((name, _without_ending(name))))


def _without_ending(name: str) -> str:
    _, point, ending = name.rpartition(".")
    return image_stem(name) if point + ending in ENDINGS else name


def _folded(text: str) -> str:
    composed = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", composed).strip()


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", _folded(name))


def _by_key(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(names):
        found[key(name)].append(column)
    return dict(found)
