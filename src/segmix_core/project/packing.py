"""Arrays as compressed bytes in the database, with their size checked first."""

import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError

Values = npt.NDArray[Any]
"""Numbers or text of any shape."""

MAX_ARRAY_BYTES = 2**28
"""Most bytes of one stored array: a mask of 16,384 pixels a side."""
_LEVEL = 1
_MAX_HEADER = 4096


class UnreadableError(ProjectError):
    """A project that cannot be used as it is: repair or restore may help."""


class DamagedError(UnreadableError):
    """Stored data that SegMix cannot have written.

    Parameters
    ----------
    reason
        What is wrong with it, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Part of the project is damaged ({reason}).",
            "Run 'segmix verify' on the project, then 'segmix repair' or "
            "'segmix restore'.",
        )
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason,)


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn errors of decoding stored values into :class:`DamagedError`."""
    try:
        yield
    except (
        *(ValueError, TypeError, KeyError, IndexError, OverflowError),
        *(SyntaxError, MemoryError, RecursionError, zlib.error, EOFError),
    ) as error:
        raise DamagedError(f"{what}: {error or type(error).__name__}") from error


def deflate(content: bytes) -> bytes:
    """Compress bytes for storage."""
    return zlib.compress(content, _LEVEL)


def inflate(content: bytes, limit: int = MAX_ARRAY_BYTES) -> bytes:
    """Decompress stored bytes.

    Raises
    ------
    ValueError
        If there are more than ``limit`` bytes, or the end is missing.
    zlib.error
        If they are damaged.
    """
    stream = zlib.decompressobj()
    result = stream.decompress(content, limit)
    if not stream.eof:
        is_long = bool(stream.unconsumed_tail) and len(result) >= limit
        raise ValueError(f"more than {limit} bytes" if is_long else "cut off")
    return result


def pack(values: Values) -> bytes:
    """Encode an array for storage.

    Raises
    ------
    ValueError
        If it has more than ``MAX_ARRAY_BYTES``.
    """
    if values.nbytes > MAX_ARRAY_BYTES:
        raise ValueError(f"The array has more than {MAX_ARRAY_BYTES} bytes")
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return deflate(buffer.getvalue())


def unpack(content: bytes) -> Values:
    """Decode a stored array.

    Raises
    ------
    DamagedError
        If it is not an array of numbers or text, or larger than ``MAX_ARRAY_BYTES``.
    """
    with decoding("a stored array"):
        raw = inflate(content, MAX_ARRAY_BYTES + _MAX_HEADER)
        buffer = io.BytesIO(raw)
        if np.lib.format.read_magic(buffer) != (1, 0):
            raise ValueError("another array format")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
        # Checked before NumPy reserves the memory that the header asks for.
        size = math.prod(shape) * dtype.itemsize
        if is_fortran or dtype.hasobject or size != len(raw) - buffer.tell():
            raise ValueError("a header that does not match")
        values: Values = np.frombuffer(raw, dtype, offset=buffer.tell()).reshape(shape)
        return values.copy()
