"""Print commands that users can copy and run."""

import shutil
import sys
from pathlib import Path

from segmix_core.runs.commands import join_words


def typed(program: str, *words: str | Path) -> str:
    """Return a command line for the shell, quoted if necessary.

    Paths become absolute, so that it works in every folder. The program is given by its
    path if its name alone starts nothing, or the one of another environment.

    Parameters
    ----------
    program
        ``segmix`` or ``napari``.
    words
        Its arguments.
    """
    texts = [str(w.absolute()) if isinstance(w, Path) else w for w in words]
    return join_words([_program(program), *texts])


def find_program(name: str) -> Path | None:
    """Return the path of a program in this Python environment, or None."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    return Path(found) if found else None


def _program(name: str) -> str:
    own, by_name = find_program(name), shutil.which(name)
    if own is None or (by_name and Path(by_name).absolute() == own.absolute()):
        return name
    return str(own.absolute())
