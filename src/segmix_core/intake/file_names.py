"""Check the file names that a project can store."""

from pathlib import Path
from unicodedata import category

from segmix_core.errors import SlideError
from segmix_core.files import printable


def check_file_name(path: Path) -> None:
    """Raise if the name of an image would cause errors later.

    Raises
    ------
    SlideError
        If the path is not valid UTF-8, which the database cannot store, or the name has
        control characters, which label tables cannot contain.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise _error(path, "is not valid UTF-8") from None
    if any(category(character) == "Cc" for character in path.name):
        raise _error(path, "has control characters, such as a line break")


def _error(path: Path, what: str) -> SlideError:
    return SlideError(
        f"The path of {printable(path.name)} {what}.", "Rename the file or folder."
    )
