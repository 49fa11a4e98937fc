"""Read the description of one image of a file in OME-XML.

Source: OME Data Model, schema 2016-06 (Image, Pixels, Channel, TiffData).
"""

from collections.abc import Iterator
from xml.etree import ElementTree

from segmix_core.slides.pixel_size import (
    UNSTATED,
    PixelSize,
    broken_pixel_size,
    check_pixel_size,
)

MICROMETERS = {
    "pm": 1e-6, "Å": 1e-4,
    "nm": 1e-3, "nanometer": 1e-3,
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0,
    "micrometer": 1.0, "micrometre": 1.0,
    "mm": 1e3, "millimeter": 1e3,
    "cm": 1e4, "centimeter": 1e4,
    "inch": 25400.0, "in": 25400.0,
    "m": 1e6,
}  # fmt: skip
_COLOR_NAMES = {"red": 0, "r": 0, "green": 1, "g": 1, "blue": 2, "b": 2}
_OPAQUE = 0xFF
_COLOR_VALUES = {0xFF0000: 0, 0x00FF00: 1, 0x0000FF: 2}


class OmeImage:
    """The <Pixels> element of one image."""

    def __init__(self, pixels: ElementTree.Element) -> None:
        self._pixels = pixels
        self._channels = list(_children(pixels, "Channel"))

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels; "" if a channel has none."""
        return tuple(channel.get("Name", "").strip() for channel in self._channels)

    def pixel_size(self) -> PixelSize:
        """Return the physical size of a pixel, or why it is unknown."""
        texts = [self._pixels.get(f"PhysicalSize{axis}") for axis in "YX"]
        units = [self._pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX"]
        if texts == [None, None]:
            return UNSTATED
        shown = " x ".join(
            "nothing" if text is None else f"{text:.20} {unit:.20}"
            for text, unit in zip(texts, units, strict=True)
        )
        try:
            sizes = [
                float(text or "nothing") * MICROMETERS[unit]
                for text, unit in zip(texts, units, strict=True)
            ]
        except (ValueError, KeyError):
            return broken_pixel_size(f"Its OME-XML gives a pixel size of {shown}")
        return check_pixel_size(sizes[0], sizes[1])

    def rgb_order(self) -> tuple[int, ...] | None:
        """Return which plane is red, green and blue; None if they are other channels.

        Planes without names and colors are taken in this order.
        """
        names = [name.lower() for name in self.channel_names]
        if any(names):
            roles = [_COLOR_NAMES.get(name) for name in names]
        elif any(channel.get("Color") for channel in self._channels):
            roles = [_role_of_color(channel) for channel in self._channels]
        else:
            return (0, 1, 2)
        if sorted(-1 if role is None else role for role in roles) != [0, 1, 2]:
            return None
        return tuple(roles.index(role) for role in (0, 1, 2))


def find_ome_image(text: str, ifd: int, shape: tuple[int, int]) -> OmeImage | None:
    """Return the description of the image in a directory of the file, or None.

    Parameters
    ----------
    text
        OME-XML; it may describe several images: slide, label, macro, levels.
    ifd
        Index of the image's directory in the file.
    shape
        (height, width) of the image; a description with another size does not apply.

    Raises
    ------
    ElementTree.ParseError
        If the text is not XML.
    ValueError
        If a number in it is invalid.
    """
    root = ElementTree.fromstring(text)
    found = [
        pixels
        for image in _children(root, "Image")
        for pixels in _children(image, "Pixels")
        if (int(pixels.get("SizeY", "0")), int(pixels.get("SizeX", "0"))) == shape
    ]
    if len(found) > 1:
        found = [pixels for pixels in found if _holds(pixels, ifd)]
    return OmeImage(found[0]) if len(found) == 1 else None


def _holds(pixels: ElementTree.Element, ifd: int) -> bool:
    for data in _children(pixels, "TiffData"):
        first = int(data.get("IFD", "0"))
        # Without an IFD it applies to all directories of the file.
        count = data.get("PlaneCount") or data.get("NumPlanes")
        if count is None and "IFD" not in data.attrib:
            return True
        if first <= ifd < first + int(count or 1):
            return True
    return False


def _children(parent: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in parent if child.tag.rpartition("}")[2] == name)


def _role_of_color(channel: ElementTree.Element) -> int | None:
    """Return 0, 1 or 2 for a channel whose color is pure red, green or blue."""
    try:
        # Signed 32 bits: red, green, blue, alpha.
        value = int(channel.get("Color", "")) & 0xFFFFFFFF
    except ValueError:
        return None
    return _COLOR_VALUES.get(value >> 8) if value & 0xFF == _OPAQUE else None
