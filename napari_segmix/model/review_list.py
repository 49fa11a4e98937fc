"""The tiles of a source in the order in which a person should look at their masks."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segmix.model.displayed_source import DisplayedSource
from napari_segmix.model.tile_tables import rows_of
from segmix_core.project.records import Review, SourceKind, TileChanges, TileTable


@dataclass(frozen=True, slots=True)
class DoubtfulTile:
    """A tile of the list; ``doubt`` in 0..1."""

    row: int
    name: str
    doubt: float
    review: Review


class ReviewList:
    """Doubts and reviews of the N tiles of the shown source.

    Parameters
    ----------
    source
        What is shown.
    now
        Tiles with their reviews as they are stored now.
    """

    def __init__(self, source: DisplayedSource, now: TileTable) -> None:
        self._source = source
        self._reviews = np.zeros(len(source.tiles), np.int8)
        self._doubt = np.zeros(len(source.tiles), np.float32)
        self.set_reviews(now)

    def set_doubts(
        self, tile_ids: npt.NDArray[np.int64], doubt: npt.NDArray[np.float32]
    ) -> None:
        """Take the doubts (n,) of some tiles; the others have none."""
        rows, places = rows_of(self._source.tiles, tile_ids)
        self._doubt[:] = 0
        self._doubt[rows] = doubt[places]

    def set_reviews(self, now: TileTable | TileChanges) -> None:
        """Take the reviews of some tiles, which another program may have cut anew."""
        rows, places = rows_of(self._source.tiles, now.ids)
        self._reviews[rows] = now.reviews[places]

    def mark(self, row: int, review: Review) -> None:
        """Note what was said of a tile."""
        self._reviews[row] = review

    def first(self, limit: int) -> list[DoubtfulTile]:
        """Return tiles, not reviewed ones first, by falling doubt."""
        return [
            DoubtfulTile(
                int(row),
                self.name(int(row)),
                float(self._doubt[row]),
                Review(int(self._reviews[row])),
            )
            for row in self._order()[:limit]
        ]

    def next_row(self, current: int | None) -> int | None:
        """Return the most doubtful tile not reviewed, other than ``current``.

        Tiles of less doubt than the current one come first: looking at a tile without
        accepting it goes on to the next.
        """
        waiting = [int(row) for row in self._order() if not self._reviews[row]]
        if current in waiting:
            at = waiting.index(current)
            waiting = waiting[at + 1 :] + waiting[:at]
        return waiting[0] if waiting else None

    def counts(self) -> tuple[int, int, int]:
        """Return how many tiles were accepted, corrected, and how many there are."""
        accepted = int((self._reviews == Review.ACCEPTED).sum())
        corrected = int((self._reviews == Review.CORRECTED).sum())
        return accepted, corrected, len(self._reviews)

    def name(self, row: int) -> str:
        """Return how a tile is called: its file, or its place on the slide."""
        tiles = self._source.tiles
        place = f"row {tiles.rows[row] + 1}, column {tiles.cols[row] + 1}"
        if self._source.kind is SourceKind.SLIDE:
            return place
        image = self._source.image_of(row)
        several = int((tiles.image_ids == image.id).sum()) > 1
        return f"{image.path.name}, {place}" if several else image.path.name

    def _order(self) -> npt.NDArray[np.intp]:
        return np.lexsort((-self._doubt, self._reviews != Review.NONE))
