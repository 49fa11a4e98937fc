"""What the tile layer asks for: the words between it and the session."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

TOOLS = {
    "pan": "pan_zoom",
    "brush": "paint",
    "fill": "fill",
    "polygon": "polygon",
    "pick": "pick",
}
"""Our names of tools, and napari's modes."""


class TileActions(Protocol):
    """What the layer asks for; rows are (n,) rows of the tile table."""

    def paint(self, rows: npt.NDArray[np.int64]) -> None:
        """Apply the brush."""

    def clear(self, rows: npt.NDArray[np.int64]) -> None:
        """Forget all labels."""

    def set_exactly(
        self, rows: npt.NDArray[np.int64], present: tuple[int, ...]
    ) -> None:
        """Make these classes present and all others absent."""

    def press_digit(self, digit: int) -> None:
        """Take a class into the brush, or label the current tile."""

    def choose_class(self, class_index: int) -> None:
        """Take a class into the brush."""

    def choose_tile(self, row: int | None) -> None:
        """Make a tile the current one."""

    def hover(self, row: int | None) -> None:
        """Note the tile under the cursor."""

    def note_tool(self, tool: str) -> None:
        """Note the tool in hand, a key of :data:`TOOLS`; "" for another one."""

    def next_unlabeled(self) -> None:
        """Go to the next unlabeled tile."""

    def previous_unlabeled(self) -> None:
        """Go to the previous unlabeled tile."""

    def undo(self) -> None:
        """Take the last change back."""

    def redo(self) -> None:
        """Make it again."""
