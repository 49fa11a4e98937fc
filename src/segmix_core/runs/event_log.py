"""Read and append ``events.jsonl``, complete lines only."""

import os
from pathlib import Path
from typing import IO

from segmix_core.disk_errors import run_error
from segmix_core.events import Event, from_line, to_line
from segmix_core.files import encode_json, open_for_append, open_regular

MAX_LINE_BYTES = 1 << 24
"""No event is this long; longer lines are skipped."""
_CHUNK_BYTES = 1 << 20
# Most last lines are short; for one with large results, read more and try again.
_TAIL_BYTES = (1 << 14, 1 << 22, 2 * MAX_LINE_BYTES)


def read_events(
    path: Path, offset: int = 0, max_bytes: int = -1
) -> tuple[list[Event], int]:
    """Return the events after byte ``offset``, and the offset to continue from.

    An incomplete last line is left for the next call. Invalid lines, such as one cut
    off by a killed process, are skipped. An unreadable file has no events.
    """
    events: list[Event] = []
    try:
        with open_regular(path) as file:
            while True:
                lines, reached = _next_lines(file, offset, max_bytes)
                events += [event for line in lines if (event := _parse(line))]
                if max_bytes >= 0 or reached == offset:
                    return events, reached
                offset = reached
    except OSError:
        return events, offset


def last_event(path: Path) -> tuple[Event | None, int]:
    """Return the last complete event and the offset of its line."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            for length in _TAIL_BYTES:
                start = file.seek(max(0, size - length))
                event, position = _last_in(file.read(length))
                if event or not start:
                    return event, start + position
    except OSError:
        pass
    return None, 0


def _next_lines(file: IO[bytes], offset: int, length: int) -> tuple[list[bytes], int]:
    length = length if length > 0 else _CHUNK_BYTES
    while True:
        file.seek(offset)
        data = file.read(length)
        end = data.rfind(b"\n") + 1
        if end or len(data) < length:
            return data[:end].splitlines(), offset + end
        if length >= MAX_LINE_BYTES:
            return [], offset + length
        length = min(2 * length, MAX_LINE_BYTES)


def _last_in(data: bytes) -> tuple[Event | None, int]:
    end = data.rfind(b"\n")
    while end > 0:
        begin = data.rfind(b"\n", 0, end) + 1
        if event := _parse(data[begin:end]):
            return event, begin
        end = begin - 1
    return None, 0


class EventAppender:
    """Appends events to a file, unbuffered.

    First ends an incomplete last line of an earlier process.

    Raises
    ------
    JobError
        If the file cannot be written, for instance on a full disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Unbuffered: a buffer would repeat a failed write on closing.
            self._file = open_for_append(path)
            self.start = self._file.seek(0, os.SEEK_END)
            self._torn = False
            if self.start:
                self._file.seek(-1, os.SEEK_END)
                self._torn = self._file.read(1) != b"\n"
        except OSError as error:
            raise run_error(path, error) from error

    def append(self, event: Event) -> None:
        """Write one event as one line."""
        line = ("\n" if self._torn else "") + to_line(event) + "\n"
        rest = memoryview(encode_json(line))
        self._torn = True
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            raise run_error(self._path, error) from error
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _parse(line: bytes) -> Event | None:
    if not line.startswith(b"{"):
        return None
    try:
        return from_line(line)
    except ValueError:
        return None
