"""Tissue masks in the database and in the journal.

Every function takes a connection and must be called inside the caller's transaction.
"""

import json
import sqlite3

import numpy as np

from segmix_core.project.packing import Values, decoding, pack, unpack
from segmix_core.project.records import Tissue

_END = b"\n"


def read(connection: sqlite3.Connection, image_id: int) -> Tissue | None:
    """Return the tissue of an image; None if none is stored.

    Raises
    ------
    DamagedError
        If it is damaged.
    """
    row = connection.execute(
        "SELECT downsample, min_share, width, mask FROM tissue WHERE image_id = ?",
        (image_id,),
    ).fetchone()
    return None if row is None else decode(*row)


def write(connection: sqlite3.Connection, image_id: int, tissue: Tissue | None) -> None:
    """Store the tissue of an image; None removes it."""
    if tissue is None:
        connection.execute("DELETE FROM tissue WHERE image_id = ?", (image_id,))
        return
    connection.execute(
        "REPLACE INTO tissue (image_id, downsample, min_share, width, mask) "
        "VALUES (?,?,?,?,?)",
        (
            image_id,
            tissue.downsample,
            tissue.min_share,
            tissue.mask.shape[1],
            _encode(tissue),
        ),
    )


def decode(downsample: float, min_share: float, width: int, content: bytes) -> Tissue:
    """Decode a stored tissue mask; DamagedError if it is invalid."""
    with decoding("tissue"):
        bits = unpack(content)
        if bits.ndim != 2 or bits.dtype != np.uint8 or bits.shape[1] != -(-width // 8):
            raise ValueError(f"bits {bits.shape} for {width} pixels")
        mask = np.unpackbits(bits, axis=1, count=width).astype(np.bool_)
        return Tissue(mask, float(downsample), float(min_share))


def pack_tissue(tissue: Tissue | None) -> Values:
    """Encode a tissue mask for the journal: a line of JSON and the mask, (n,) uint8."""
    if tissue is None:
        return np.zeros(0, np.uint8)
    grid = tissue.downsample, tissue.min_share, tissue.mask.shape[1]
    content = json.dumps(grid).encode() + _END + _encode(tissue)
    return np.frombuffer(content, np.uint8)


def unpack_tissue(values: Values) -> Tissue | None:
    """Decode the result of :func:`pack_tissue`; DamagedError if it is invalid."""
    if not len(values):
        return None
    with decoding("tissue"):
        line, _, content = values.tobytes().partition(_END)
        downsample, min_share, width = json.loads(line)
    return decode(downsample, min_share, width, content)


def _encode(tissue: Tissue) -> bytes:
    return pack(np.packbits(tissue.mask, axis=1))
