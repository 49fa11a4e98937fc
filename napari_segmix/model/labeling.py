"""The brush for tiles, the tool in hand, and the tile that is looked at."""

from napari_segmix.model.changes import Changes, Topic
from napari_segmix.model.label_edits import PaintMode
from segmix_core.project.records import TissueClass


class LabelingState:
    """What is in hand while tiles are labeled.

    Attributes
    ----------
    tissue_class
        The class in the brush; None without one.
    paint_mode
        What painting sets.
    tool
        "pan", "brush", "fill", "polygon", "pick", or "" for another of napari's.
    current_tile
        Row of the tile the page shows, or None.
    hovered_tile
        Row of the tile under the cursor, or None.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.tissue_class: TissueClass | None = None
        self.paint_mode = PaintMode.ONLY
        self.tool = "pan"
        self.current_tile: int | None = None
        self.hovered_tile: int | None = None

    @property
    def active_class(self) -> int:
        """Index 1..C of the class in the brush; 0 without one."""
        return 0 if self.tissue_class is None else self.tissue_class.index

    def take_brush(
        self, tissue_class: TissueClass | None, mode: PaintMode | None = None
    ) -> None:
        """Take a class, or none, into the brush; ``mode`` None keeps the mode."""
        wanted = tissue_class, mode or self.paint_mode
        if wanted != (self.tissue_class, self.paint_mode):
            self.tissue_class, self.paint_mode = wanted
            self._changes.note(Topic.BRUSH)

    def take_tool(self, tool: str) -> None:
        """Take another tool."""
        if tool != self.tool:
            self.tool = tool
            self._changes.note(Topic.TOOL)

    def choose_tile(self, row: int | None) -> None:
        """Make a tile, or none, the current one."""
        self.current_tile = row
        self._changes.note(Topic.TILE)

    def hover(self, row: int | None) -> None:
        """Note the tile under the cursor."""
        if row != self.hovered_tile:
            self.hovered_tile = row
            self._changes.note(Topic.HOVER)

    def forget_rows(self) -> None:
        """Rows are those of other tiles now."""
        self.current_tile = self.hovered_tile = None
        self._changes.note(Topic.TILE, Topic.HOVER)
