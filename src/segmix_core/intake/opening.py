"""Open images of a project safely in a program that must not crash.

When a file was added, a separate process opened it first. A file that has changed
since, or has no stored fingerprint, is opened there again before it is opened here.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.project.records import Fingerprint, ImageRecord
from segmix_core.slides.first_look import FirstLook, ImageHeader
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.slide import Slide

OpenImage = Callable[[ImageRecord], Slide]
"""Opens an image of a project; SlideError if that is not possible."""


def open_directly(image: ImageRecord) -> Slide:
    """Open an image in this process, for programs that may crash."""
    return open_slide(image.path)


class ImageOpener:
    """Opens images after checking changed files in a separate process; thread-safe.

    The result of a check is kept until the file changes again.

    Parameters
    ----------
    borrow
        Lends a process that opens files, such as
        :meth:`segmix_core.slides.first_look.FirstLookPool.borrow`.
    """

    def __init__(self, borrow: Callable[[], AbstractContextManager[FirstLook]]) -> None:
        self._borrow = borrow
        self._seen: dict[Path, _Seen] = {}

    def is_known(self, image: ImageRecord) -> bool:
        """Whether :meth:`open` returns or raises without a check in another process."""
        return _is_as_added(image) or self._recall(image.path) is not None

    def open(self, image: ImageRecord) -> Slide:
        """Open an image; may take as long as :class:`FirstLook` lets it.

        Raises
        ------
        SlideError
            If it cannot be opened, or crashes the process that opens it.
        JobError
            If it has to be checked and the process cannot be started.
        """
        if not _is_as_added(image):
            seen = self._recall(image.path)
            (answer,) = [seen.answer] if seen is not None else self.look_at([image])
            if isinstance(answer, SlideError):
                raise answer.with_traceback(None)
        return open_slide(image.path)

    def look_at(self, images: Sequence[ImageRecord]) -> list[ImageHeader | SlideError]:
        """Return the header of each image, or its error.

        Also reads a pixel of each level. Raises JobError as :meth:`open`.
        """
        paths = [image.path for image in images]
        # Taken before the check, so that a file replaced during it stays unknown.
        fingerprints = [_fingerprint(path) for path in paths]
        with self._borrow() as look:
            answers = list(look.headers(paths, reads_pixels=True))
        for path, fingerprint, answer in zip(paths, fingerprints, answers, strict=True):
            if fingerprint is not None:
                self._seen[path] = _Seen(fingerprint, answer)
        return answers

    def _recall(self, path: Path) -> "_Seen | None":
        seen = self._seen.get(path)
        with suppress(OSError):
            if seen is not None and seen.fingerprint.matches(path):
                return seen
        return None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The state of a file when it was checked, and the result."""

    fingerprint: Fingerprint
    answer: ImageHeader | SlideError


def _is_as_added(image: ImageRecord) -> bool:
    try:
        return image.fingerprint is not None and image.fingerprint.matches(image.path)
    except OSError:
        # A missing file needs no check; opening it raises the error.
        return True


def _fingerprint(path: Path) -> Fingerprint | None:
    try:
        return Fingerprint.of(path)
    except OSError:
        return None
