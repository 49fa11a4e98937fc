"""Opening images of a project in a program that has to survive them.

A file was looked at in a process that may crash when it was added. One that is another
now, or whose fingerprint was never stored, is looked at again before it is opened here.
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
    """Open an image here: for programs that a crash may end."""
    return open_slide(image.path)


class ImageOpener:
    """Opens images; files that nobody knows are looked at first. For any thread.

    What such a look showed is kept until the file changes again.

    Parameters
    ----------
    borrow
        Lends what looks at the files, such as
        :meth:`segmix_core.slides.first_look.FirstLookPool.borrow`.
    """

    def __init__(self, borrow: Callable[[], AbstractContextManager[FirstLook]]) -> None:
        self._borrow = borrow
        self._seen: dict[Path, _Seen] = {}

    def is_known(self, image: ImageRecord) -> bool:
        """Whether :meth:`open` opens the file, or says what is wrong, at once."""
        return _is_as_added(image) or self._recall(image.path) is not None

    def open(self, image: ImageRecord) -> Slide:
        """Open an image; may take as long as :class:`FirstLook` lets it.

        Raises
        ------
        SlideError
            If it cannot be opened, or crashes what opens it.
        JobError
            If it has to be looked at and the process for it cannot be started.
        """
        if not _is_as_added(image):
            seen = self._recall(image.path)
            (answer,) = [seen.answer] if seen is not None else self.look_at([image])
            if isinstance(answer, SlideError):
                raise answer.with_traceback(None)
        return open_slide(image.path)

    def look_at(self, images: Sequence[ImageRecord]) -> list[ImageHeader | SlideError]:
        """Return the headers of images, or the errors that there were.

        A pixel of each level is read as well. JobError as :meth:`open`.
        """
        paths = [image.path for image in images]
        # Taken before: a file that is replaced during the look is not known after it.
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
    """A file as it was when it was looked at, and what was found."""

    fingerprint: Fingerprint
    answer: ImageHeader | SlideError


def _is_as_added(image: ImageRecord) -> bool:
    try:
        return image.fingerprint is not None and image.fingerprint.matches(image.path)
    except OSError:
        # There is nothing to look at, which opening it says.
        return True


def _fingerprint(path: Path) -> Fingerprint | None:
    try:
        return Fingerprint.of(path)
    except OSError:
        return None
