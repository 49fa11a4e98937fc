"""Read headers and tissue of files through another process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from segmix_core.errors import SlideError
from segmix_core.geometry import Box, mean_mpp
from segmix_core.slides.first_look.messages import Message
from segmix_core.slides.first_look.worker import Answer, Worker

if TYPE_CHECKING:
    from segmix_core.slides.tissue import FoundTissue

_BATCH = 64
"""Most files in one request."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Properties of an image other than its pixels; see ``Slide``."""

    path: Path
    height: int
    width: int
    mpp_yx: tuple[float, float] | None
    bounds: Box | None
    notes: tuple[str, ...]
    size_notes: tuple[str, ...] = ()

    @property
    def mpp(self) -> float | None:
        """Geometric mean of ``mpp_yx``, in µm."""
        return mean_mpp(self.mpp_yx)


class Look(Protocol):
    """Reads what adding files needs; see :class:`FirstLook`."""

    def headers(self, paths: Sequence[Path]) -> Iterator[ImageHeader | SlideError]:
        """Yield the header of each file in turn, or its error."""

    def damages(self, paths: Sequence[Path]) -> Iterator[SlideError | None]:
        """Yield for each file in turn why its pixels cannot be read, or None."""

    def tissue(self, path: Path, smallest_edge: int) -> "FoundTissue":
        """Find the tissue of a slide."""


class FirstLook:
    """Opens image files in another process.

    The process starts at once, serves many files, and is replaced if a file crashes it.
    It ends with :meth:`close`, which a ``with`` statement calls, or with this process.
    For one thread at a time.

    Parameters
    ----------
    python
        Interpreter with SegMix installed; by default the running one.

    Attributes
    ----------
    has_failed
        Whether a file could not be used. It may have left an open file or the like in
        the process until :meth:`close`.

    Raises
    ------
    JobError
        From here and all methods, if the process cannot be started.
    """

    def __init__(self, python: str | Path | None = None) -> None:
        self.python = python
        self.has_failed = False
        self._worker: Worker | None = Worker(python)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        """Whether a process is waiting for files."""
        return self._worker is not None and self._worker.is_alive

    def close(self) -> None:
        """End the process; closing twice is harmless."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
        self.has_failed = False

    def headers(
        self, paths: Sequence[Path], *, reads_pixels: bool = False
    ) -> Iterator[ImageHeader | SlideError]:
        """Yield the header of each file in turn, or its error.

        ``reads_pixels`` also reads the last pixel of each level, as :meth:`damages`.
        """
        answers = self._answers("pixels" if reads_pixels else "header", paths)
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, SlideError):
                yield answer
            else:
                yield _header(path, answer[0])

    def header(self, path: Path) -> ImageHeader:
        """Read the header of a file.

        Raises
        ------
        SlideError
            If the file cannot be used, crashes the process, or takes too much time
            or memory.
        """
        facts, _ = self._answer("header", path)
        return _header(path, facts)

    def damages(self, paths: Sequence[Path]) -> Iterator[SlideError | None]:
        """Yield for each file in turn why its pixels cannot be read, or None.

        Reads the last pixel of each level, which truncated files lack.
        """
        for answer in self._answers("pixels", paths):
            yield answer if isinstance(answer, SlideError) else None

    def tissue(self, path: Path, smallest_edge: int) -> "FoundTissue":
        """Find the tissue of a slide; also reads from all levels.

        Parameters
        ----------
        path
            A slide.
        smallest_edge
            As for :func:`segmix_core.slides.tissue.find_tissue`.

        Raises
        ------
        SlideError
            As :meth:`header`.
        """
        from segmix_core.slides.tissue import FoundTissue

        facts, data = self._answer("tissue", path, smallest_edge)
        mask = np.frombuffer(data, np.bool_).reshape(facts["shape"])
        return FoundTissue(mask, facts["downsample"], facts["doubtful"])

    def _answer(self, do: str, path: Path, edge: int = 0) -> Message:
        (answer,) = self._answers(do, [path], edge)
        if isinstance(answer, SlideError):
            raise answer
        return answer

    def _answers(
        self, do: str, paths: Sequence[Path], edge: int = 0
    ) -> Iterator[Answer]:
        done = 0
        try:
            while done < len(paths):
                if not self.is_running:
                    self.close()
                worker = self._worker = self._worker or Worker(self.python)
                for answer in worker.answers(do, paths[done : done + _BATCH], edge):
                    done += 1
                    self.has_failed |= isinstance(answer, SlideError)
                    yield answer
        finally:
            # Unread answers must not be taken for those to another request.
            if done < len(paths):
                self.close()


def _header(path: Path, facts: dict[str, Any]) -> ImageHeader:
    return ImageHeader(
        path=path,
        height=facts["height"],
        width=facts["width"],
        mpp_yx=facts["mpp_yx"] and tuple(facts["mpp_yx"]),
        bounds=facts["bounds"] and Box(*facts["bounds"]),
        notes=tuple(facts["notes"]),
        size_notes=tuple(facts["size_notes"]),
    )
