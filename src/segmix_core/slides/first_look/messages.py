"""Messages over pipes: a line of JSON, followed by the bytes it announces."""

import json
from typing import IO, Any

Message = tuple[dict[str, Any], bytes]

DAMAGED = "The file is damaged. Copy it again from its source, or leave it out."
"""Hint for a file that makes a library fail."""


def write_message(pipe: IO[bytes], facts: dict[str, Any], data: bytes = b"") -> None:
    """Write and flush a message; OSError if the reader is gone."""
    text = json.dumps({**facts, "bytes": len(data)}, ensure_ascii=False)
    pipe.write(text.encode("utf-8", "surrogateescape") + b"\n" + data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> Message | None:
    """Read the next message; None at the end or if it is invalid."""
    try:
        line = pipe.readline().decode("utf-8", "surrogateescape")
        facts: dict[str, Any] = json.loads(line)
        data = pipe.read(facts.pop("bytes"))
    except (OSError, ValueError):
        return None
    return facts, data
