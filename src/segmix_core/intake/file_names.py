"""Which names of files a project can keep."""

from pathlib import Path
from unicodedata import category

from segmix_core.errors import SlideError
from segmix_core.files import image_stem

_MAX_STEM_BYTES = 220
"""Exports are named like the image, with an ending and while they are written another
one; 255 bytes is what file systems take."""


def check_file_name(path: Path) -> None:
    """Refuse an image whose name would break something later.

    Raises
    ------
    SlideError
        If the path is not valid UTF-8, which the project's database cannot store, or
        the name has control characters or leaves exports no room for their ending.
    """
    try:
        stem = image_stem(path).encode()
        str(path.parent).encode()
    except UnicodeEncodeError:
        raise _error(path, "that is not valid UTF-8") from None
    if any(category(character) == "Cc" for character in path.name):
        raise _error(path, "with control characters, such as a line break")
    if len(stem) > _MAX_STEM_BYTES:
        raise _error(path, f"of more than {_MAX_STEM_BYTES} bytes")


def shown_name(path: Path) -> str:
    r"""Return a name that can be shown: what cannot be printed is escaped.

    Examples
    --------
    >>> print(shown_name(Path("a\nb.png")))
    a\nb.png
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in path.name
    )


def _error(path: Path, what: str) -> SlideError:
    return SlideError(
        f"The file {shown_name(path)} has a name or a folder {what}.", "Rename it."
    )
