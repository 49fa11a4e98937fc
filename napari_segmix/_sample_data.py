"""File > Open Sample > SegMix sample slide."""

from napari_segmix._reader import NO_LAYERS


def open_sample() -> list[tuple[None]]:
    """Open the dock and, in it, the sample project; drawing it takes seconds once."""
    from napari import current_viewer

    from napari_segmix._commands import open_dock
    from napari_segmix.session import session_for

    viewer = current_viewer()
    if viewer is not None:
        open_dock(viewer)
        session_for(viewer).intake.open_sample()
    return NO_LAYERS
