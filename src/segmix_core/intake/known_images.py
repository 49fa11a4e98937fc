"""Recognize images that are already in a project."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.intake.left_out import LeftOut
from segmix_core.project.records import Fingerprint, ImageRecord
from segmix_core.slides.dicom import DICOM_SUFFIXES, read_series


class KnownImages:
    """The images of a project, and those about to be added.

    An image is recognized under its path, other spellings of the path and links, and a
    DICOM slide under any of its files.
    """

    def __init__(self, images: Iterable[ImageRecord] = ()) -> None:
        self._paths: set[Path] = set()
        self._doubles: dict[object, _Doubles] = defaultdict(_Doubles)
        self._series: dict[tuple[Path, str], Path] = {}
        self._copies: dict[object, Path] = {}
        for image in images:
            self._add(image.path, image.fingerprint)

    def take(
        self, path: Path, fingerprint: Fingerprint | None, left_out: list[LeftOut]
    ) -> bool:
        """Remember a new image and return True; report a known one."""
        former = self._find(path, fingerprint)
        if former is None:
            self._add(path, fingerprint)
            return True
        message = f"{path.name} is already in the project."
        if former != path:
            message = (
                f"{path.name} is the same image as {former.name}, which is already in "
                "the project."
            )
        hint = "Leave it out, or add it to a new project to cut it differently."
        left_out.append(LeftOut(path, ProjectError(message, hint)))
        return False

    def find_copy(self, path: Path, fingerprint: Fingerprint | None) -> Path | None:
        """Return another image file that seems to contain the same image.

        Compares size, start and end of the files, or the series of DICOM files.
        """
        for key in _copy_keys(path, fingerprint):
            if key in self._copies:
                return self._copies[key]
        return None

    def _add(self, path: Path, fingerprint: Fingerprint | None) -> None:
        """Remember an image."""
        self._paths.add(path)
        self._doubles[_content(path, fingerprint)].paths.append(path)
        series = _series(path)
        if series is not None:
            self._series[series] = path
        for key in _copy_keys(path, fingerprint):
            self._copies.setdefault(key, path)

    def _find(self, path: Path, fingerprint: Fingerprint | None) -> Path | None:
        if path in self._paths:
            return path
        for key in (_content(path, fingerprint), _content(path, None)):
            if key in self._doubles:
                found = self._doubles[key].find(path)
                if found is not None:
                    return found
        series = _series(path)
        return None if series is None else self._series.get(series)


class _Doubles:
    """Files with equal content; only those can be the same file."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self._known: dict[tuple[int, int], Path] = {}

    def find(self, path: Path) -> Path | None:
        while self.paths:
            other = self.paths.pop()
            with suppress(OSError):  # Its disk may not be connected.
                self._known[_identity(other)] = other
        with suppress(OSError):
            return self._known.get(_identity(path))
        return None


def _content(path: Path, fingerprint: Fingerprint | None) -> object:
    # Images added by early versions have no fingerprint.
    if fingerprint is None:
        return path.name.casefold()
    return fingerprint.size, fingerprint.digest


def _copy_keys(path: Path, fingerprint: Fingerprint | None) -> list[object]:
    keys: list[object] = []
    if fingerprint is not None:
        keys.append((fingerprint.size, fingerprint.digest))
    series = _series(path)
    if series is not None:
        keys.append(series[1])
    return keys


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def _series(path: Path) -> tuple[Path, str] | None:
    if path.suffix.lower() not in DICOM_SUFFIXES:
        return None
    series = read_series(path)
    return None if series is None else (path.parent, series)
