"""Group the DICOM files that form one slide.

A DICOM slide is a series of files, one per level. OpenSlide opens the whole series from
any one of them.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})

_PREAMBLE = 128
_SERIES = (0x0020, 0x000E)
_ITEM_ENDS = ((0xFFFE, 0xE00D), (0xFFFE, 0xE0DD))
_LONG = frozenset((b"OB OD OF OL OV OW SQ SV UC UN UR UT UV").split())
"""Value representations whose length has four bytes, after two reserved ones."""
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 16
_MAX_ELEMENTS = 100_000


def group_by_slide(paths: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Return the files of each DICOM slide, in the order of their first files.

    Any file of a group opens the whole slide. A file without a series, damaged or not
    DICOM, forms its own group; opening it raises the error.
    """
    groups: dict[str | Path, list[Path]] = {}
    for path in paths:
        # A series in two folders is two copies: OpenSlide only searches the folder of
        # the file it opens.
        series = read_series(path)
        key = path if series is None else f"{path.parent}\0{series}"
        groups.setdefault(key, []).append(path)
    return tuple(tuple(group) for group in groups.values())


def read_series(path: Path) -> str | None:
    """Return the SeriesInstanceUID (0020,000E) of a DICOM file, or None.

    Only the elements before it are read (DICOM PS3.10, explicit and implicit VR in
    little endian).
    """
    try:
        with path.open("rb") as file:
            file.seek(_PREAMBLE)
            if file.read(4) != b"DICM":
                return None
            return _Elements(file).find_series()
    except (OSError, EOFError, struct.error, UnicodeDecodeError):
        return None


class _Elements:
    """Iterates over the data elements of a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MAX_ELEMENTS

    def find_series(self) -> str | None:
        while True:
            tag, length = self._next()
            if tag == _SERIES and length <= 64:
                text = self._take(length).decode("ascii").strip("\0 ")
                return text or None
            if tag > _SERIES:
                return None
            self._skip(length, 0)

    def _next(self) -> tuple[tuple[int, int], int]:
        self._left -= 1
        if self._left < 0:
            raise EOFError
        group, element, kind, short = struct.unpack("<HH2sH", self._take(8))
        tag = (group, element)
        if group == 0xFFFE or not (kind.isalpha() and kind.isupper()):
            # Without a value representation: items, and all of implicit VR.
            return tag, int.from_bytes(kind + struct.pack("<H", short), "little")
        if kind in _LONG:
            return tag, struct.unpack("<I", self._take(4))[0]
        return tag, short

    def _skip(self, length: int, depth: int) -> None:
        """Skip a value; one of undefined length ends with a delimiter."""
        if length != _UNDEFINED:
            self._file.seek(length, 1)
            return
        if depth > _MAX_DEPTH:
            raise EOFError
        while True:
            tag, inner = self._next()
            if tag in _ITEM_ENDS:
                return
            self._skip(inner, depth + 1)

    def _take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data
