"""Cache headers, so that no file is read twice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from segmix_core.errors import SlideError
from segmix_core.slides.first_look.look import ImageHeader, Look

if TYPE_CHECKING:
    from segmix_core.slides.tissue import FoundTissue

_State = tuple[int, ...]


class RememberingLook:
    """Reads the headers of files, and caches them.

    A changed file is read again. Errors are cached as well, so that a file that hangs
    does so only once.

    Parameters
    ----------
    borrow
        Lends a process that opens files, such as :meth:`FirstLookPool.borrow`.
    """

    def __init__(self, borrow: Callable[[], AbstractContextManager[Look]]) -> None:
        self._borrow = borrow
        self._known: dict[Path, tuple[_State, ImageHeader | SlideError]] = {}

    def headers(self, paths: Sequence[Path]) -> Iterator[ImageHeader | SlideError]:
        """Yield the header of each file in turn, or its error."""
        states = [_state(path) for path in paths]
        remembered = [
            self._recall(path, state) for path, state in zip(paths, states, strict=True)
        ]
        pairs = zip(paths, remembered, strict=True)
        unknown = [path for path, header in pairs if header is None]
        if not unknown:
            yield from (header for header in remembered if header is not None)
            return
        with self._borrow() as look:
            answers = look.headers(unknown)
            for path, state, header in zip(paths, states, remembered, strict=True):
                if header is not None:
                    yield header
                    continue
                answer = next(answers)
                if state is not None:
                    self._known[path] = state, answer
                yield answer

    def damages(self, paths: Sequence[Path]) -> Iterator[SlideError | None]:
        """Yield why pixels cannot be read; see :meth:`FirstLook.damages`."""
        if not paths:
            return
        with self._borrow() as look:
            yield from look.damages(paths)

    def tissue(self, path: Path, smallest_edge: int) -> "FoundTissue":
        """Find the tissue of a slide; see :meth:`FirstLook.tissue`."""
        with self._borrow() as look:
            return look.tissue(path, smallest_edge)

    def _recall(
        self, path: Path, state: _State | None
    ) -> ImageHeader | SlideError | None:
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == state else None


def _state(path: Path) -> _State | None:
    """Return a key that changes when a file is written or replaced; None if missing."""
    try:
        state = path.stat()
    except OSError:
        return None
    return (
        state.st_dev,
        state.st_ino,
        state.st_size,
        state.st_mtime_ns,
        state.st_ctime_ns,
    )
