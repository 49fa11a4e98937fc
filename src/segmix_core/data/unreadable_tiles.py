"""Skip tiles that cannot be read; end the run if there are too many."""

from segmix_core.errors import JobError, SlideError
from segmix_core.events import Warned


class UnreadableTiles:
    """Counts tiles that cannot be read.

    Parameters
    ----------
    count
        Number of all tiles.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._errors: list[SlideError] = []
        # A few may be damaged; more mean that a disk is missing.
        self._most = min(count - 1, max(5, count // 20))

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, name: str, error: SlideError) -> Warned:
        """Count the tile ``name``; return the warning about it.

        Raises
        ------
        JobError
            If too many tiles, or all, cannot be read.
        """
        self._errors.append(error)
        if len(self._errors) > self._most:
            raise JobError(
                f"{len(self._errors)} of {self._count} tiles cannot be read, such as: "
                f"{self._errors[0].reason}.",
                "Check that the disk with the images is connected, then start again.",
            )
        return Warned(message=f"Skipped tile {name}: {error}")
