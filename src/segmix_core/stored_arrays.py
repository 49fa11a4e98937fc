"""Read untrusted arrays safely.

Only reads what SegMix itself writes: uint8 arrays in zarr format 3, uncompressed or
compressed with zstd, and uncompressed npz files. No codec is looked up by name, no link
is followed, nothing is unpickled, and sizes are checked before memory is allocated.
"""

import itertools
import math
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from segmix_core.disk_errors import reason_of
from segmix_core.errors import JobError, SegmixError
from segmix_core.files import JsonError, open_regular, printable, read_json

MAX_CHUNK_BYTES = 1 << 28
MAX_TABLE_BYTES = 1 << 31
_MAX_METADATA_BYTES = 1 << 20
_MAX_COLUMNS = 64
_MAX_CODE_POINT = 0x10FFFF

Bytes = npt.NDArray[np.uint8]
Table = dict[str, npt.NDArray[Any]]
_Length = Annotated[int, Field(ge=0, lt=2**31)]
_ChunkLength = Annotated[int, Field(ge=1, lt=2**31)]


class _GridSettings(BaseModel):
    chunk_shape: Annotated[list[_ChunkLength], Field(min_length=1, max_length=4)]


class _Grid(BaseModel):
    name: Literal["regular"]
    configuration: _GridSettings


class _KeySettings(BaseModel):
    separator: Literal["/"]


class _Keys(BaseModel):
    name: Literal["default"]
    configuration: _KeySettings


class _Codec(BaseModel):
    name: Literal["bytes", "zstd"]


class _Metadata(BaseModel):
    """The content of ``zarr.json`` of an array."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: Annotated[list[_Length], Field(min_length=1, max_length=4)]
    data_type: Literal["uint8"]
    chunk_grid: _Grid
    chunk_key_encoding: _Keys
    fill_value: Annotated[int, Field(ge=0, le=255)]
    codecs: Annotated[list[_Codec], Field(min_length=1, max_length=2)]
    storage_transformers: Annotated[list[Any], Field(max_length=0)] = []


@dataclass(frozen=True, slots=True, eq=False)
class StoredArray:
    """A uint8 array in a folder, read on slicing.

    Attributes
    ----------
    folder
        Folder of the array, with ``zarr.json`` and ``c/``.
    shape, chunks
        Shape of the array, and of the part in each file.
    """

    folder: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    _fill: int
    _is_compressed: bool
    _error: type[SegmixError]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: slice | tuple[slice, ...]) -> Bytes:
        """Return a part of the array; slices have no steps.

        Raises
        ------
        SegmixError
            If a chunk is damaged, or the part is too large for the memory.
        """
        keys = key if isinstance(key, tuple) else (key,)
        spans = [
            _span(part, length)
            for part, length in itertools.zip_longest(
                keys, self.shape, fillvalue=slice(None)
            )
        ]
        try:
            result = np.full([stop - start for start, stop in spans], self._fill, "u1")
        except (MemoryError, ValueError) as error:
            raise self._damaged(f"claims a size of {self.shape}") from error
        if result.size:
            self._fill_in(result, spans)
        return result

    def _fill_in(self, result: Bytes, spans: list[tuple[int, int]]) -> None:
        ranges = [
            range(start // edge, (stop - 1) // edge + 1)
            for (start, stop), edge in zip(spans, self.chunks, strict=True)
        ]
        root = self.folder.resolve()
        for place in itertools.product(*ranges):
            chunk = self._read_chunk(root, place)
            if chunk is None:
                continue
            target, source = [], []
            for (start, stop), edge, number in zip(
                spans, self.chunks, place, strict=True
            ):
                first = number * edge
                low, high = max(start, first), min(stop, first + edge)
                target.append(slice(low - start, high - start))
                source.append(slice(low - first, high - first))
            result[tuple(target)] = chunk[tuple(source)]

    def _read_chunk(self, root: Path, place: tuple[int, ...]) -> Bytes | None:
        name = "/".join(["c", *map(str, place)])
        path, size = root / name, math.prod(self.chunks)
        try:
            if path.resolve() != path:
                raise self._damaged(f"has a symbolic link at {name}")
            with open_regular(path) as file:
                # Slightly more than zstd needs for incompressible data.
                data = file.read(size + size // 64 + 1024)
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = reason_of(error)
            raise self._damaged(f"cannot be read at {name} ({reason})") from error
        decoded = self._decode(data, size)
        if decoded is None:
            raise self._damaged(f"is damaged at {name}")
        return decoded.reshape(self.chunks)

    def _decode(self, data: bytes, size: int) -> Bytes | None:
        if not self._is_compressed:
            return np.frombuffer(data, np.uint8) if len(data) == size else None
        try:
            # The decoder never writes past this buffer.
            found: Any = imagecodecs.zstd_decode(data, out=bytearray(size))
        except imagecodecs.ZstdError:
            return None
        return np.frombuffer(found, np.uint8) if len(found) == size else None

    def _damaged(self, what: str) -> SegmixError:
        return _damaged(self.folder, what, self._error)


def open_array(
    folder: Path, ndim: int, error: type[SegmixError] = JobError
) -> StoredArray | None:
    """Return the array in ``folder``; None if there is none.

    Parameters
    ----------
    folder
        With ``zarr.json``.
    ndim
        Required number of dimensions.
    error
        Error to raise, here and on slicing.

    Raises
    ------
    SegmixError
        If it is not a uint8 array as SegMix writes them.
    """
    found = _read_metadata(folder, error)
    if found is None:
        return None
    shape, chunks = found.shape, found.chunk_grid.configuration.chunk_shape
    codecs = [codec.name for codec in found.codecs]
    if codecs not in (["bytes"], ["bytes", "zstd"]):
        raise _damaged(folder, "has a format that SegMix does not write", error)
    if len(shape) != ndim or len(chunks) != ndim:
        raise _damaged(folder, f"has {len(shape)} dimensions, not {ndim}", error)
    if math.prod(chunks) > MAX_CHUNK_BYTES:
        raise _damaged(folder, f"claims chunks of {tuple(chunks)}", error)
    is_compressed = len(codecs) == 2
    return StoredArray(
        folder, tuple(shape), tuple(chunks), found.fill_value, is_compressed, error
    )


def _read_metadata(folder: Path, error: type[SegmixError]) -> _Metadata | None:
    if is_link(folder):
        raise _damaged(folder, "is a symbolic link", error)
    try:
        content = read_json(folder / "zarr.json", max_bytes=_MAX_METADATA_BYTES)
        return _Metadata.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        if (folder / ".zarray").exists():
            raise _damaged(folder, "has an unsupported zarr format", error) from None
        return None
    except OSError as failed:
        reason = reason_of(failed)
        raise _damaged(folder, f"cannot be read ({reason})", error) from failed
    except JsonError as failed:
        raise _damaged(folder, f"has no valid description: {failed}", error) from failed
    except ValidationError as failed:
        place = ".".join(map(str, failed.errors(include_url=False)[0]["loc"]))
        what = f"has a format that SegMix does not write ({printable(place)})"
        raise _damaged(folder, what, error) from failed


def read_table(path: Path, error: type[SegmixError] = JobError) -> Table:
    """Return the arrays of an npz file that :func:`numpy.savez` wrote.

    Raises
    ------
    FileNotFoundError
        If there is none.
    SegmixError
        ``error``, for any other file.
    """
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_TABLE_BYTES:
                raise _TableError(f"is larger than {MAX_TABLE_BYTES / 1e9:.1f} GB")
            with zipfile.ZipFile(file) as archive:
                return dict(_columns(archive))
    except FileNotFoundError:
        raise
    except OSError as failed:
        reason = reason_of(failed)
        raise _damaged(path, f"cannot be read ({reason})", error) from failed
    except _TableError as failed:
        raise _damaged(path, str(failed), error) from failed
    # Errors of zipfile and NumPy on damaged archives.
    except Exception as failed:
        raise _damaged(path, "is not a valid table of numbers", error) from failed


def is_link(path: Path) -> bool:
    """Whether a path or its folder is a symbolic link."""
    return path.is_symlink() or path.parent.is_symlink()


class _TableError(ValueError):
    """Internal error; its text says in a few words what is wrong with a file."""


def _columns(archive: zipfile.ZipFile) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    entries = archive.infolist()
    if len(entries) > _MAX_COLUMNS:
        raise _TableError(f"has {len(entries)} columns")
    for entry in entries:
        name, ending = entry.filename[:-4], entry.filename[-4:]
        is_plain = entry.compress_type == zipfile.ZIP_STORED
        if ending != ".npy" or not is_plain or entry.file_size != entry.compress_size:
            raise _TableError(f"has a column '{printable(name)}' that is compressed")
        with archive.open(entry) as member:
            yield name, _read_column(member, entry.file_size)


def _read_column(member: IO[bytes], size: int) -> npt.NDArray[Any]:
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise _TableError("has a newer format")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read(member)
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise _TableError("has a column without numbers or text")
    if any(length < 0 for length in shape) or len(shape) > 8:
        raise _TableError("has a column of invalid size")
    expected = math.prod(shape) * dtype.itemsize
    if expected != size - member.tell():
        raise _TableError("is truncated")
    data = member.read(expected)
    if len(data) != expected:
        raise _TableError("is truncated")
    if dtype.kind == "U":
        codes = np.frombuffer(data, dtype=np.dtype("u4").newbyteorder(dtype.byteorder))
        if codes.size and codes.max() > _MAX_CODE_POINT:
            raise _TableError("has invalid text")
    values = np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
    return values.astype(dtype.newbyteorder("="), order="C", copy=True)


def _span(part: slice, length: int | slice) -> tuple[int, int]:
    if isinstance(length, slice):
        raise IndexError("There are more slices than dimensions")
    start, stop, step = part.indices(length)
    if step != 1:
        raise IndexError("Slices must not have steps")
    return start, max(start, stop)


def _damaged(path: Path, what: str, error: type[SegmixError]) -> SegmixError:
    return error(
        f"{printable(str(path))} {what}.",
        "Run its stage again, or choose another run.",
    )
