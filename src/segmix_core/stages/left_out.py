"""Collect the images that a stage could not process; the others continue."""

from collections.abc import Iterator
from contextlib import contextmanager

from segmix_core.disk_errors import is_disk_full
from segmix_core.errors import JobError, SegmixError
from segmix_core.events import Warned
from segmix_core.files import printable
from segmix_core.project.records import ImageRecord
from segmix_core.runs.writer import RunWriter


class LeftOut:
    """The images that failed, with the reasons.

    Parameters
    ----------
    writer
        Gets a warning for each at once.
    verb
        What could not be done, such as "exported".
    """

    def __init__(self, writer: RunWriter, verb: str) -> None:
        self._writer, self._verb = writer, verb
        self._reasons: dict[str, str] = {}
        self._last: SegmixError | None = None

    @contextmanager
    def catching(self, image: ImageRecord) -> Iterator[None]:
        """Record an error of the image; a full disk is raised, since it affects all.

        Raises
        ------
        SegmixError
            If the disk is full.
        """
        try:
            yield
        except SegmixError as error:
            if is_disk_full(error.__cause__):
                raise
            name = printable(image.path.name)
            self._reasons[str(image.path)], self._last = error.reason, error
            message = f"{name} was not {self._verb}: {error}"
            self._writer.emit(Warned(message=message))

    def results(self, done: int) -> dict[str, dict[str, str]]:
        """Return the entry for the results of a run: path -> reason, or nothing.

        Raises
        ------
        JobError
            If no image was ``done``.
        """
        if self._last is not None and not done:
            count = len(self._reasons)
            others = f", and {count - 1} more images failed" if count > 1 else ""
            raise JobError(
                f"No image was {self._verb}: {self._last.reason}{others}.",
                self._last.hint,
            )
        return {"failed": dict(self._reasons)} if self._reasons else {}
