"""SegMix for napari."""
