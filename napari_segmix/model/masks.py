"""The masks that are looked at: of which run, in what order, and what is open."""

from napari_segmix.model.changes import Changes, Topic
from napari_segmix.model.displayed_source import DisplayedSource
from napari_segmix.model.review_list import DoubtfulTile, ReviewList
from napari_segmix.model.run_info import RunInfo
from napari_segmix.model.runs import RunsState
from segmix_core.geometry import Box
from segmix_core.runs import RunState
from segmix_core.stage_registry import MASK_TITLES


class MasksState:
    """What the Masks page shows.

    Attributes
    ----------
    base
        The run whose masks are shown and corrected; None without one.
    source
        What they are drawn over; None without a source.
    reviews
        Its tiles with doubts and reviews.
    row
        Of the open tile; None for a view or nothing.
    image_id, box
        The open part, on the working grid of its image; None without one.
    brush
        Class index that the brush paints; stays the same from tile to tile. None
        after the class was taken back.
    """

    def __init__(self, changes: Changes, runs: RunsState) -> None:
        self._changes = changes
        self._runs = runs
        self.base: RunInfo | None = None
        self.source: DisplayedSource | None = None
        self.reviews: ReviewList | None = None
        self.row: int | None = None
        self.image_id: int | None = None
        self.box: Box | None = None
        self.brush: int | None = 1

    def bases(self) -> tuple[RunInfo, ...]:
        """Return the completed runs that left masks, newest first."""
        return tuple(
            run
            for run in self._runs.infos
            if run.stage in MASK_TITLES and run.state is RunState.COMPLETED
        )

    def doubtful(self, limit: int = 100) -> list[DoubtfulTile]:
        """Return the tiles of the source, not reviewed ones first, by falling doubt."""
        return [] if self.reviews is None else self.reviews.first(limit)

    def review_counts(self) -> tuple[int, int, int]:
        """Return how many tiles were accepted, corrected, and how many there are."""
        return (0, 0, 0) if self.reviews is None else self.reviews.counts()

    def tile_name(self, row: int) -> str:
        """Return how a tile is called in lists."""
        return "" if self.reviews is None else self.reviews.name(row)

    @property
    def is_open(self) -> bool:
        """Whether there is something to paint on."""
        return self.box is not None

    def take_base(self, base: RunInfo | None) -> None:
        """Show the masks of a run, or none."""
        self.base = base
        self._changes.note(Topic.MASKS)

    def take_source(
        self, source: DisplayedSource | None, reviews: ReviewList | None
    ) -> None:
        """Draw over another source, or none."""
        self.source, self.reviews = source, reviews
        self._changes.note(Topic.MASKS)

    def note_reviews(self) -> None:
        """Tell that doubts or reviews changed."""
        self._changes.note(Topic.REVIEWS)

    def open(self, image_id: int, box: Box, row: int | None) -> None:
        """Open a part; ``row`` is None for one that is no tile."""
        self.image_id, self.box, self.row = image_id, box, row
        self._changes.note(Topic.CORRECTION)

    def close(self) -> None:
        """Open nothing."""
        self.image_id = self.box = self.row = None
        self._changes.note(Topic.CORRECTION)

    def take_brush(self, class_index: int | None) -> None:
        """Paint with a class, 0 background, 255 ignore, or nothing."""
        self.brush = class_index
        self._changes.note(Topic.MASK_BRUSH)
