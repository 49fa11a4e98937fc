"""Whether the tissue of the shown slide is seen, and painted on."""

from napari_segmix.model.changes import Changes, Topic

GLASS, TISSUE = 0, 1


class TissueState:
    """What the tissue brush does.

    Attributes
    ----------
    is_shown
        Whether the tissue can be seen.
    is_correcting
        Whether the brush is in hand.
    brush
        1 adds tissue, 0 erases it.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.is_shown = False
        self.is_correcting = False
        self.brush = TISSUE

    def note(self, *, is_shown: bool) -> None:
        """Tell that something of it changed; ``is_shown`` is as it is now."""
        self.is_shown = is_shown
        self._changes.note(Topic.TISSUE)
