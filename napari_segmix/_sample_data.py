"""File > Open Sample > SegMix sample slide."""

from typing import TYPE_CHECKING

import numpy as np

from napari_segmix.layers.own_layers import remove_layers, tag

if TYPE_CHECKING:
    from napari_segmix.session import Session

_ROLE = "waiting"
LayerData = tuple[np.ndarray, dict[str, object], str]


def open_sample() -> list[LayerData]:
    """Open the dock and, in it, the sample project; drawing it takes seconds once.

    napari insists on a layer, so it gets an empty one, which goes when the slide comes.
    """
    from napari import current_viewer

    from napari_segmix._commands import open_dock
    from napari_segmix.session import session_for

    viewer = current_viewer()
    if viewer is not None:
        open_dock(viewer)
        session = session_for(viewer)
        _remove_when_idle(session)
        session.actions.sources.open_sample()
    options: dict[str, object] = {
        "name": "Opening the sample slide",
        "metadata": tag(_ROLE),
    }
    return [(np.zeros((1, 1), np.uint8), options, "image")]


def _remove_when_idle(session: "Session") -> None:
    changes = session.model.changes.happened

    def look(_topics: object) -> None:
        if not session.model.notices.busy:
            changes.disconnect(look)
            remove_layers(session.viewer, _ROLE)

    changes.connect(look)
