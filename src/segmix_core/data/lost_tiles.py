"""Tiles whose files cannot be read: few are left out, many end a run."""

from segmix_core.errors import JobError, SlideError
from segmix_core.events import Warned


class LostTiles:
    """Counts tiles that cannot be read.

    Parameters
    ----------
    count
        Tiles there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._errors: list[SlideError] = []
        # Fewer lost tiles than this are an accident, more are a missing disk.
        self._most = min(count - 1, max(5, count // 20))

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, name: str, error: SlideError) -> Warned:
        """Count the tile that people call ``name``; return what to tell of it.

        Raises
        ------
        JobError
            If too many are lost, or all.
        """
        self._errors.append(error)
        if len(self._errors) > self._most:
            raise JobError(
                f"{len(self._errors)} of {self._count} tiles cannot be read, such as: "
                f"{self._errors[0].reason}.",
                "Check that the disk with the images is connected, then start again.",
            )
        return Warned(message=f"Skipped tile {name}: {error}")
