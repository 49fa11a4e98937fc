"""Collect everything wrong with a file to import."""

from collections import defaultdict

from segmix_core import files
from segmix_core.errors import ProjectError

_NAMED = 3
_MAX_TEXT = 80


class Problems:
    """Collects problems, so that the user sees all kinds of them at once."""

    def __init__(self, source: str) -> None:
        self._source = printable(source)
        self._found: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, example: str) -> None:
        """Add a problem: its ``kind`` in the plural, and where it is."""
        self._found[kind].append(example)

    def raise_if_any(self) -> None:
        """Raise ProjectError with the first examples of each kind."""
        if not self._found:
            return
        sentences = []
        for kind, examples in self._found.items():
            more = f", ...; {len(examples)} in all" if len(examples) > _NAMED else ""
            sentences.append(f"{kind} ({', '.join(examples[:_NAMED])}{more})")
        raise ProjectError(
            f"{self._source} does not match the project: {'; '.join(sentences)}.",
            "Correct the file, or add the missing images and classes first. Nothing "
            "was imported.",
        )


def printable(text: str, max_length: int = _MAX_TEXT) -> str:
    """Make text from a file safe to show in a sentence: short, one line.

    It is shortened to ``max_length`` characters, then escaped as by
    :func:`segmix_core.files.printable`.
    """
    shown = text if len(text) <= max_length else f"{text[:max_length]}..."
    return files.printable(shown)
