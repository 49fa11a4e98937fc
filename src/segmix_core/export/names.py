r"""Names of exported files: one rule for every image of a project.

A file is named after its image, without the suffix (``x.ome.tif`` becomes ``x``):

- characters that file systems or other programs do not accept become ``_``:
  unprintable characters, bytes that are not UTF-8, ``< > : " / \ | ? *``, and a
  leading dot;
- names that Windows reserves for devices, such as ``CON``, get a ``_`` at the end;
- a name is cut to 200 bytes;
- if two names differ only in case, or in how accents are composed, both get the id of
  their image: ``x_3``.
"""

import unicodedata
from collections.abc import Iterable, Mapping

from segmix_core.files import image_stem

_MAX_BYTES = 200
_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"]
)


def export_names(images: Iterable[tuple[int, str]]) -> dict[int, str]:
    """Return the names of exports, without ending, by the id of their image.

    Parameters
    ----------
    images
        Ids and file names of all images of a project, exported or not, so that the
        names never collide.
    """
    names = {image_id: export_name(name) for image_id, name in images}
    while shared := _shared(names):
        # Check again: a name with an id may belong to another image.
        names |= {image_id: f"{names[image_id]}_{image_id}" for image_id in shared}
    return names


def export_name(file_name: str) -> str:
    """Return the name of an export, ignoring those of other images."""
    name = image_stem(file_name)
    # "x.ome.png": the mask of the generic format would be taken for an OME-TIFF.
    while name.lower().endswith(".ome"):
        name = name[: -len(".ome")]
    name = "".join(c if _is_allowed(c) else "_" for c in name)
    if name.startswith("."):
        name = f"_{name[1:]}"
    name = name.encode()[:_MAX_BYTES].decode(errors="ignore")
    is_device = name.partition(".")[0].strip().casefold() in _DEVICES
    return f"{name}_" if is_device or not name.strip() else name


def _is_allowed(character: str) -> bool:
    return character.isprintable() and character not in _FORBIDDEN


def _shared(names: Mapping[int, str]) -> list[int]:
    groups: dict[str, list[int]] = {}
    for image_id, name in names.items():
        key = unicodedata.normalize("NFC", name).casefold()
        groups.setdefault(unicodedata.normalize("NFC", key), []).append(image_id)
    return [
        image_id for group in groups.values() if len(group) > 1 for image_id in group
    ]
