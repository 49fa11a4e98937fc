"""Write files atomically, and read untrusted files safely."""

import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

from segmix_core.process_mark import ProcessMark, mark_process

MAX_JSON_BYTES = 1 << 24
"""Default size limit of JSON files."""
MAX_JSON_DEPTH = 64
_MAX_DIGITS = 18
_ABANDONED_SECONDS = 86400.0
_TEMPORARY = re.compile(
    r"\.segmix-(?P<host>[0-9a-f]{12})-(?P<boot>[0-9a-f]{12})"
    r"-(?P<pid>[1-9][0-9]{0,8})-(?P<start>[0-9]{1,12})-[0-9]+\.tmp(-wal|-shm|-journal)?"
)
_numbers = itertools.count()


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write ``path`` through a temporary name, flush it to disk, then rename.

    A crash or a full disk leaves the old file unchanged. Also removes temporary files
    of killed processes from the folder.

    Raises
    ------
    OSError
        From the file system; the temporary file is removed.
    """
    remove_leftovers(path.parent)
    temporary = path.with_name(temporary_name())
    try:
        with temporary.open("x+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name() -> str:
    """Return a name for a temporary file or folder that identifies this process.

    Does not contain the final name, which may have the maximum length already.
    """
    mark = _own_mark()
    start = round(mark.since_boot * 1000)
    place = f"{_digest(mark.host)}-{_digest(mark.boot)}"
    return f".segmix-{place}-{mark.pid}-{start}-{next(_numbers)}.tmp"


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files in a folder left by dead processes of this machine.

    Only removes names made by :func:`temporary_name`, and the SQLite files beside them.
    """
    with suppress(OSError):
        names = [entry.name for entry in os.scandir(folder)]
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and _has_ended(found, folder / name):
                _remove(folder / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a temporary folder, and remove it at the end.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    folder = make_temporary_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_temporary_folder() -> Path:
    """Create a temporary folder, after removing those of dead processes.

    Other users cannot read it.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    parent = Path(tempfile.gettempdir())
    remove_leftovers(parent)
    folder = parent / temporary_name()
    folder.mkdir(mode=0o700)
    return folder


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, so that they survive a power cut."""
    if sys.platform == "win32":
        return  # Windows cannot flush folders, but NTFS journals names.
    # Some network drives refuse to flush a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, in UTF-8."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(encode_json(text)))


def encode_json(text: str) -> bytes:
    """Return JSON text in UTF-8; parts of names that are not UTF-8 are escaped."""
    # Lone surrogates occur in strings only, where \udcff is a valid escape.
    return text.encode("utf-8", "backslashreplace")


class JsonError(ValueError):
    """The text is not valid JSON, or it is too large.

    The message is a few words, such as "it is not JSON".
    """


def read_json(
    path: Path, *, max_bytes: int = MAX_JSON_BYTES, allow_nan: bool = False
) -> Any:
    """Read an untrusted UTF-8 JSON file; see :func:`parse_json`.

    Raises
    ------
    JsonError
        If it is larger than ``max_bytes``, nested too deeply, or not JSON.
    OSError
        If it cannot be read or is not a regular file.
    """
    with open_regular(path) as file:
        data = file.read(max_bytes + 1)
    return parse_json(data, max_bytes=max_bytes, allow_nan=allow_nan)


def parse_json(
    data: bytes, *, max_bytes: int = MAX_JSON_BYTES, allow_nan: bool = False
) -> Any:
    """Parse UTF-8 JSON after checking its size and depth.

    Numbers must be finite, unless ``allow_nan``, and integers have at most 18 digits.

    Raises
    ------
    JsonError
        If it is anything else.
    """
    if len(data) > max_bytes:
        raise JsonError(f"it is larger than {max_bytes / 1e6:.3g} MB")
    if _depth(data) > MAX_JSON_DEPTH:
        raise JsonError(f"it is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            parse_int=_whole_number,
            parse_float=None if allow_nan else _finite_number,
            parse_constant=None if allow_nan else _not_finite,
        )
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError("it is not JSON") from error


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading; refuses pipes and devices, which may block.

    Raises
    ------
    OSError
        If it cannot be read or is not a regular file.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:
        raise OSError(f"{error}") from error  # The name contains a zero byte.
    return _as_regular(descriptor, path, "rb")


def open_for_append(path: Path) -> IO[bytes]:
    """Open a file unbuffered, for reading and for writing at its end.

    Raises
    ------
    OSError
        If it cannot be written, or is not a regular file. Links are refused, since in a
        folder from someone else they could point to any file of the user.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return _as_regular(os.open(path, flags, 0o666), path, "ab+")


def printable(text: str) -> str:
    r"""Escape unprintable characters in text, as in ``\x1b``.

    File names may contain newlines, terminal escape codes, or bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.btf", ".ome.tf2", ".ome.tf8")


def image_stem(path: Path | str) -> str:
    """Return the name of an image file without its ending: ``x`` of ``x.ome.tif``.

    Removes the last suffix only, but both of OME-TIFF.
    """
    name = Path(path).name
    for suffix in _DOUBLE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def _as_regular(descriptor: int, path: Path, mode: str) -> IO[bytes]:
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is not a file")
        return os.fdopen(descriptor, mode, buffering=0 if mode == "ab+" else -1)
    except BaseException:
        os.close(descriptor)
        raise


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


@cache
def _mark_of(pid: int) -> ProcessMark:
    return mark_process(pid)


def _own_mark() -> ProcessMark:
    # By pid: a forked child has its own.
    return _mark_of(os.getpid())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _has_ended(name: re.Match[str], path: Path) -> bool:
    own = _own_mark()
    if name["host"] != _digest(own.host):
        return False
    if name["boot"] != _digest(own.boot):
        # From before a reboot, or from another machine of the same name, which may
        # still be writing.
        return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
    pid, start = int(name["pid"]), int(name["start"]) / 1000
    return ProcessMark(pid, start, own.boot, own.host).is_alive() is False


# Possessive: reads each byte once, whatever the text.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def _depth(data: bytes) -> int:
    deepest = depth = 0
    for token in _TOKENS.finditer(data):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_JSON_DEPTH:
                break
        elif token[0] in b"]}":
            depth -= 1
    return deepest


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        raise JsonError(f"a number has more than {_MAX_DIGITS} digits")
    return int(digits)


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _not_finite(digits)
    return number


def _not_finite(digits: str) -> NoReturn:
    raise JsonError(f"{digits[:20]} is not a finite number")
