"""Which names of files a project can keep."""

from pathlib import Path
from unicodedata import category

from segmix_core.errors import SlideError
from segmix_core.files import printable


def check_file_name(path: Path) -> None:
    """Refuse an image whose name would break something later.

    Raises
    ------
    SlideError
        If the path is not valid UTF-8, which the project's database cannot store, or
        the name has control characters, which tables of labels cannot hold.
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
