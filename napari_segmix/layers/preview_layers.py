"""Pictures of a run as layers: the shuffled batch and a CAM layer per class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segmix.layers.mosaics import Bytes, Mosaic
from napari_segmix.layers.own_layers import (
    find_layer,
    find_layers,
    move_below_tiles,
    remove_layers,
    selection_kept,
    tag,
)
from napari_segmix.layers.tile_codes import rgb
from napari_segmix.model.placement import Placement
from segmix_core.project.records import TissueClass

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

SHUFFLED = "shuffled"
CAM = "cam"
_CAM_OPACITY = 0.7
_MARGIN = 0.04
"""Share of the canvas height between the picture and the shuffled batch."""


def show_shuffled(
    viewer: "Viewer", pixels: Bytes, placement: Placement, facts: dict[str, float]
) -> "Image":
    """Show a batch beside the picture, as high as it; updates in place.

    Parameters
    ----------
    viewer
        The viewer.
    pixels
        (H, W, 4) uint8 RGBA.
    placement
        Of the source that is shown.
    facts
        ``step``, ``patch_size`` and ``shuffle_ratio``, for name and metadata.
    """
    height, width = (edge * placement.pitch for edge in placement.grid_shape)
    step = height / pixels.shape[0]
    layer = find_layer(viewer, SHUFFLED)
    place = placement.transform(0.0, width + _MARGIN * height, step)
    if layer is None:
        with selection_kept(viewer):
            layer = viewer.add_image(
                pixels, rgb=True, metadata=tag(SHUFFLED, **facts), **place
            )
            move_below_tiles(viewer, layer)
    else:
        _set_pixels(layer, pixels)
        layer.scale, layer.translate = place["scale"], place["translate"]
        layer.metadata = tag(SHUFFLED, **facts)
    layer.name = (
        f"Shuffled batch (step {facts['step']:.0f}, {facts['patch_size']:.0f} px, "
        f"ratio {facts['shuffle_ratio']:.2f})"
    )
    return layer


def show_cams(
    viewer: "Viewer",
    mosaic: Mosaic,
    placement: Placement,
    classes: Sequence[TissueClass],
) -> None:
    """Show one layer per class at the tiles' places; updates in place.

    The class color fades in from transparent: additive colors would vanish on the
    white of a slide.
    """
    place = placement.transform(mosaic.y, mosaic.x, mosaic.step)
    for entry, pixels in zip(classes, mosaic.pixels, strict=True):
        layer = find_layer(viewer, CAM, tissue_class=entry.index)
        if layer is None:
            _add_cam(viewer, pixels, entry, place)
            continue
        _set_pixels(layer, pixels)
        layer.scale, layer.translate = place["scale"], place["translate"]


def color_cams(viewer: "Viewer", classes: Sequence[TissueClass]) -> None:
    """Give the CAM layers the names and colors that the classes have now."""
    for entry in classes:
        for layer in find_layers(viewer, CAM, tissue_class=entry.index):
            layer.name = f"CAM {entry.name}"
            layer.colormap = _fading(entry.color)


def remove_previews(viewer: "Viewer") -> None:
    """Remove the layers of a run."""
    remove_layers(viewer, SHUFFLED)
    remove_layers(viewer, CAM)


def _add_cam(
    viewer: "Viewer", pixels: Bytes, entry: TissueClass, place: dict[str, object]
) -> None:
    with selection_kept(viewer):
        layer = viewer.add_image(
            pixels,
            name=f"CAM {entry.name}",
            metadata=tag(CAM, tissue_class=entry.index),
            colormap=_fading(entry.color),
            contrast_limits=(0, 255),
            blending="translucent_no_depth",
            opacity=_CAM_OPACITY,
            interpolation2d="linear",
            **place,
        )
        move_below_tiles(viewer, layer)


def _set_pixels(layer: "Image", pixels: Bytes) -> None:
    if layer.data.shape == pixels.shape:
        layer.data[...] = pixels
        layer.refresh()
    else:
        layer.data = pixels


def _fading(color: str) -> object:
    from napari.utils import Colormap

    base = rgb(color)
    return Colormap([(*base, 0.0), (*base, 1.0)], name=f"segmix {color}")
