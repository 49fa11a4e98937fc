"""Read the stated size of compressed pixels before decoding them.

A few bytes can state a size of gigabytes, and decoders allocate that much.
"""

import mmap
import struct
from dataclasses import dataclass

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


@dataclass(frozen=True, slots=True)
class StatedSize:
    """Height and width in pixels, and the most bits of a sample."""

    height: int
    width: int
    bits: int


def read_jpeg2000_size(data: bytes | mmap.mmap) -> StatedSize | None:
    """Read the SIZ marker of JPEG 2000 (ISO 15444-1, A.5.1); None without one."""
    start = data.find(_START_OF_CODESTREAM)
    head = data[start : start + 42]
    if start < 0 or len(head) < 42:
        return None
    right, bottom, left, top = struct.unpack(">4I", head[8:24])
    (count,) = struct.unpack(">H", head[40:42])
    depths = data[start + 42 : start + 42 + 3 * count : 3]
    bits = max(((depth & 0x7F) + 1 for depth in depths), default=0)
    return StatedSize(bottom - top, right - left, bits)


def read_jpeg_size(data: bytes) -> StatedSize | None:
    """Read the frame header of JPEG (ISO 10918-1, B.2.2); None without one."""
    place = 0
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1
            continue
        marker = data[place + 1]
        if marker in _FRAMES and place + 9 <= len(data):
            bits, height, width = struct.unpack(">BHH", data[place + 4 : place + 9])
            return StatedSize(height, width, bits)
        if marker == _START_OF_SCAN:
            return None
        if marker == 0xFF:
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    return None
