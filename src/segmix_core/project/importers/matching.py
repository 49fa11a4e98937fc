"""Which image or class of the project a text in a table means."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from segmix_core.project.importers.problems import Problems
from segmix_core.project.records import ImageRecord, TissueClass


class ImageMatcher:
    """Finds images by file name; by the name without ending if that is unique."""

    def __init__(self, images: Sequence[ImageRecord]) -> None:
        self._by_name: dict[str, list[ImageRecord]] = defaultdict(list)
        self._by_stem: dict[str, list[ImageRecord]] = defaultdict(list)
        for image in images:
            self._by_name[image.path.name].append(image)
            self._by_stem[image.path.stem].append(image)

    def find(self, text: str, problems: Problems) -> ImageRecord | None:
        """Return the image, or None after noting why there is no single one."""
        wanted = PurePosixPath(text.replace("\\", "/"))
        found = (
            self._by_name.get(wanted.name)
            or self._by_stem.get(wanted.name)
            or self._by_stem.get(wanted.stem)
            or []
        )
        if len(found) > 1:
            # The same name in several folders: more of the path may decide.
            length = len(wanted.parts)
            found = [
                image for image in found if image.path.parts[-length:] == wanted.parts
            ] or found
        if not found:
            problems.add("files that are not in the project", text or "no name")
        elif len(found) > 1:
            problems.add("names of several images of the project", text)
        return found[0] if len(found) == 1 else None


class ClassMatcher:
    """Finds classes by name; case, spaces, "_" and "-" do not count."""

    def __init__(self, classes: Sequence[TissueClass]) -> None:
        self._columns: dict[str, int] = {}
        # Two names may differ in their separators alone: the exact one comes first.
        for spell in (_letters, plain):
            self._columns |= {spell(entry.name): entry.index - 1 for entry in classes}
        self.names = tuple(entry.name for entry in classes)

    def column(self, *spellings: str) -> int | None:
        """Return the label column (class index - 1) of the first known spelling."""
        known = (
            self._columns[name]
            for text in spellings
            for name in (plain(text), _letters(text))
            if name in self._columns
        )
        return next(known, None)


def plain(name: str) -> str:
    """Return the letters and digits of a name in lower case, joined by "_"."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def _letters(name: str) -> str:
    return plain(name).replace("_", "")
