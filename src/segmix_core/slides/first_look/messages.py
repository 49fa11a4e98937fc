"""What goes through the pipes: a line of JSON, and the bytes that it announces."""

import json
from typing import IO, Any

Message = tuple[dict[str, Any], bytes]

DAMAGED = "The file is damaged. Copy it again from its source, or leave it out."
"""What to do about a file that a library fails on; said by both sides."""


def write_message(pipe: IO[bytes], facts: dict[str, Any], data: bytes = b"") -> None:
    """Write a message at once; OSError if nobody reads any more."""
    text = json.dumps({**facts, "bytes": len(data)}, ensure_ascii=False)
    pipe.write(text.encode("utf-8", "surrogateescape") + b"\n" + data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> Message | None:
    """Return the next message; None at the end, or if what comes is no message."""
    try:
        line = pipe.readline().decode("utf-8", "surrogateescape")
        facts: dict[str, Any] = json.loads(line)
        data = pipe.read(facts.pop("bytes"))
    except (OSError, ValueError):
        return None
    return facts, data
