"""Damage files the way they are built: fields, lengths, tags, not only bytes.

Each function takes the content of a valid file and a source of chance, and returns
content that is wrong in one to three places.
"""

import contextlib
import hashlib
import io
import json
import random
import re
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    127,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
TEXTS = (
    *("", " ", "0", "-1", "nan", "inf", "-inf", "1e999", "1e-999", "0x10", "1,5"),
    *("9" * 400, "None", "true", "é", "日本", "\x00", "\t", "\r", "\n", "'", '"', ";"),
    *("../../x", "/etc/passwd", "C:\\x", "A" * 70000, "\u202e", "\ufeff", "[red]"),
    *("%s%n", "{}", "NULL", "٣", "½", "1_0", "+1", "1.", ".5", "1e3", "-0", "\ud800"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400),
    *(0.5, -0.0, 1e308, float("nan"), float("inf"), [], {}, [[]], {"": None}),
    *([0] * 1000, ["a", 1, None], {"a": {"b": {"c": 1}}}),
)


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, overwrite, remove, repeat or insert bytes anywhere, or cut the end off."""
    if not data:
        return chance.randbytes(chance.randint(0, 64))
    # Headers are at the beginning: half of the damage is done there.
    reach = len(data) if chance.random() < 0.5 else min(len(data), 512)
    start = chance.randrange(reach)
    length = min(len(data) - start, int(2 ** chance.uniform(0, 12)))
    before, part, after = (
        data[:start],
        data[start : start + length],
        data[start + length :],
    )
    flipped = bytes(byte ^ (1 << chance.randrange(8)) for byte in part[:16])
    return chance.choice(
        (
            before + flipped + part[16:] + after,
            before + chance.randbytes(length) + after,
            before + after,
            before + part + part + after,
            before + chance.randbytes(length) + part + after,
            before + bytes(length) + after,
            before,
        )
    )


def one_of(*mutations: Mutation) -> Mutation:
    """Return a mutation that applies one to three of several."""

    def mutate(data: bytes, chance: random.Random) -> bytes:
        for _ in range(chance.choice((1, 1, 2, 3))):
            data = chance.choice(mutations)(data, chance)
        return data

    return mutate


# JSON and tables


def mutate_json_value(data: bytes, chance: random.Random) -> bytes:
    """Replace, remove, rename or repeat a value somewhere in a JSON document."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, chance)
    holder = {"": content}
    parent, key = chance.choice(list(_places(holder)))
    kind = chance.randrange(6)
    if kind == 0 and parent is not holder:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[chance.choice(TEXTS)] = parent[key]
    elif kind == 2:
        parent[key] = chance.choice(TEXTS)
    elif kind == 3 and isinstance(parent[key], list) and parent[key]:
        parent[key] = parent[key] * chance.choice((2, 100))
    else:
        parent[key] = chance.choice(VALUES)
    return json.dumps(holder[""]).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys: Sequence[Any] = ()
    if isinstance(content, dict):
        keys = list(content)
    elif isinstance(content, list):
        keys = range(len(content))
    for key in keys:
        yield content, key
        yield from _places(content[key])


def mutate_json_text(data: bytes, chance: random.Random) -> bytes:
    """Break what a JSON parser minds: depth, encoding, numbers, commas, comments."""
    text = data.decode(errors="replace")
    place = chance.randrange(len(text) + 1)
    return chance.choice(
        (
            lambda: b"[" * 100_000 + b"]" * 100_000,
            lambda: b'{"a":' * 100_000,
            lambda: text.encode("utf-16"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: text.replace(
                ":", chance.choice(("", "::", "=", ": NaN, ")), 1
            ).encode(),
            lambda: re.sub(r"\d+", "9" * 5000, text, count=1).encode(),
            lambda: (text[:place] + "\\ud800" + text[place:]).encode(),
            lambda: text[:place].encode(),
            lambda: data + data,
            lambda: b"null",
            lambda: b"",
        )
    )()


_COLUMNS = ("x", "y", "size", "split", "group", "labels", "filename", "is_gland")


def mutate_table(data: bytes, chance: random.Random) -> bytes:
    """Change cells, columns, rows, separators or the encoding of a CSV file."""
    rows = [line.split(",") for line in data.decode(errors="replace").splitlines()]
    if not rows:
        return mutate_bytes(data, chance)
    kind = chance.randrange(12)
    if kind > 9:
        return _recoded(rows, chance)
    if kind == 9:
        rows = rows[: chance.randint(0, 2)]
    elif kind == 8:
        chance.shuffle(rows)
    elif kind == 7:
        rows.append(list(chance.choice(rows)))
    else:
        _mutate_row(rows, chance, kind)
    return _joined(rows, ",")


def _mutate_row(rows: list[list[str]], chance: random.Random, kind: int) -> None:
    row = chance.choice(rows)
    column = chance.randrange(len(row))
    if kind == 6:
        rows[0][chance.randrange(len(rows[0]))] = chance.choice((*TEXTS, *_COLUMNS))
    elif kind == 5:
        del row[column]
    elif kind == 4:
        row.insert(column, chance.choice(TEXTS))
    else:
        row[column] = chance.choice(TEXTS)


def _recoded(rows: list[list[str]], chance: random.Random) -> bytes:
    text = _joined(rows, chance.choice((";", "\t", "|", ",,"))).decode(errors="replace")
    coding = chance.choice(("utf-16", "latin-1", "utf-8-sig", "utf-32"))
    end = chance.choice(("\r\n", "\r", "\n", "\n\n", "\u2028", "\x0b"))
    return text.replace("\n", end).encode(coding, errors="replace")


def _joined(rows: list[list[str]], comma: str) -> bytes:
    text = "\n".join(comma.join(row) for row in rows)
    return (text + "\n").encode(errors="surrogatepass")


# Images


@dataclass(frozen=True)
class _Entry:
    """An entry of a TIFF directory, and where it is in the file."""

    place: int
    tag: int


_KNOWN_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284),
    *(296, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, 530, 532, 32997, 34675),
)
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 32773, 32946, 33003, 33005, 33007, 34712)
_TAG_VALUES = {
    259: _COMPRESSIONS,
    262: tuple(range(10)),
    274: tuple(range(10)),
    258: (0, 1, 2, 4, 8, 12, 16, 32, 64),
    277: (0, 1, 2, 3, 4, 5, 100),
    284: (0, 1, 2, 3),
    317: (0, 1, 2, 3, 5),
    339: (0, 1, 2, 3, 4, 5, 6),
}


class _Tiff:
    """Where the fields of a TIFF are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = self.read("H", 2) == 43
        self.entries: list[_Entry] = []
        self.links: list[int] = []
        self._walk(8 if self.is_big else 4)

    @property
    def word(self) -> str:
        """Format of an offset."""
        return "Q" if self.is_big else "I"

    def read(self, kind: str, place: int) -> int:
        """Return a number in the file; 0 behind its end."""
        try:
            return int(struct.unpack_from(self.order + kind, self.data, place)[0])
        except (struct.error, OverflowError):
            return 0

    def _walk(self, link: int) -> None:
        seen: set[int] = set()
        while (place := self.read(self.word, link)) and place not in seen:
            seen.add(place)
            self.links.append(link)
            count = self.read("Q" if self.is_big else "H", place)
            first, size = place + (8 if self.is_big else 2), 20 if self.is_big else 12
            for number in range(min(count, 64)):
                entry = first + number * size
                self.entries.append(_Entry(entry, self.read("H", entry)))
            link = first + count * size

    def with_number(self, kind: str, place: int, value: int) -> bytes:
        """Return the file with another number at a place."""
        bits = 8 * struct.calcsize("<" + kind)
        number = struct.pack(self.order + kind, value % 2**bits)
        return self.data[:place] + number + self.data[place + len(number) :]


def mutate_tiff_tag(data: bytes, chance: random.Random) -> bytes:
    """Change tag, type, count or value of an entry, or where a directory begins."""
    tiff = _Tiff(data) if len(data) > 16 else None
    if tiff is None or not tiff.entries:
        return mutate_bytes(data, chance)
    entry = chance.choice(tiff.entries)
    kind = chance.randrange(8)
    near = (*NUMBERS, len(data) - 1, len(data), chance.randrange(len(data)), 8)
    value_at = entry.place + (12 if tiff.is_big else 8)
    if kind == 0:
        return tiff.with_number("H", entry.place, chance.choice(_KNOWN_TAGS))
    if kind == 1:
        return tiff.with_number("H", entry.place + 2, chance.randrange(20))
    if kind == 2:
        return tiff.with_number(tiff.word, entry.place + 4, chance.choice(near))
    if kind == 3:
        return tiff.with_number(tiff.word, value_at, chance.choice(near))
    if kind == 4:
        return tiff.with_number(
            tiff.word, chance.choice(tiff.links), chance.choice(near)
        )
    if kind == 5:
        where = tiff.read(tiff.word, value_at)
        return tiff.with_number(tiff.word, where, chance.choice(near))
    known = [found for found in tiff.entries if found.tag in _TAG_VALUES] or [entry]
    entry = chance.choice(known)
    value_at = entry.place + (12 if tiff.is_big else 8)
    choices = _TAG_VALUES.get(entry.tag, NUMBERS)
    return tiff.with_number("H", value_at, chance.choice(choices))


def mutate_text_in_image(data: bytes, chance: random.Random) -> bytes:
    """Put odd text in place of a number or word of a description; lengths stay."""
    found = list(re.finditer(rb"[0-9.]{1,12}|[A-Za-z]{3,20}", data[:65536]))
    if not found:
        return mutate_bytes(data, chance)
    match = chance.choice(found)
    text = chance.choice(TEXTS).encode(errors="surrogatepass")
    size = match.end() - match.start()
    return data[: match.start()] + text[:size].ljust(size) + data[match.end() :]


def mutate_png_chunk(data: bytes, chance: random.Random) -> bytes:
    """Change, remove, repeat or invent a chunk of a PNG; checksums are right again."""
    chunks = list(_png_chunks(data))
    if not chunks:
        return mutate_bytes(data, chance)
    number = chance.randrange(len(chunks))
    name, content = chunks[number]
    kind = chance.randrange(6)
    if kind == 0:
        del chunks[number]
    elif kind == 1:
        chunks.insert(number, (name, content))
    elif kind == 2:
        chunks[0] = chunks[0][0], _odd_header(chunks[0][1], chance)
    elif kind == 3:
        chunks.insert(1, _odd_chunk(chance))
    elif kind == 4:
        chunks[number] = name, mutate_bytes(content, chance)
    else:
        chance.shuffle(chunks)
    packed = b"".join(_png_chunk(*chunk) for chunk in chunks)
    return data[:8] + packed


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _png_chunk(name: bytes, content: bytes) -> bytes:
    length, check = struct.pack(">I", len(content)), zlib.crc32(name + content)
    return length + name + content + struct.pack(">I", check)


def _odd_header(header: bytes, chance: random.Random) -> bytes:
    fields = list(struct.unpack(">IIBBBBB", header.ljust(13, b"\0")[:13]))
    field = chance.randrange(7)
    fields[field] = chance.choice(NUMBERS) if field < 2 else chance.randrange(20)
    return struct.pack(">IIBBBBB", *fields)


def _odd_chunk(chance: random.Random) -> tuple[bytes, bytes]:
    unfolding = zlib.compress(bytes(20_000_000), 9)
    return chance.choice(
        (
            (b"tRNS", chance.randbytes(chance.choice((0, 1, 2, 6, 300)))),
            (b"PLTE", chance.randbytes(chance.choice((0, 1, 3, 768, 900)))),
            (b"iCCP", b"x\0\0" + unfolding),
            (b"zTXt", b"x\0\0" + unfolding),
            (b"gAMA", chance.randbytes(4)),
            (b"acTL", chance.randbytes(8)),
            (b"eXIf", b"II*\0" + chance.randbytes(40)),
            (b"pHYs", chance.randbytes(9)),
        )
    )


def mutate_jpeg_segment(data: bytes, chance: random.Random) -> bytes:
    """Change, remove, repeat or shorten a segment of a JPEG."""
    segments, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, place + 2)
        segments.append(data[place : place + 2 + length])
        place += 2 + length
    if not segments:
        return mutate_bytes(data, chance)
    number = chance.randrange(len(segments))
    kind = chance.randrange(5)
    if kind == 0:
        del segments[number]
    elif kind == 1:
        segments.insert(chance.randrange(len(segments)), segments[number])
    elif kind == 2:
        size = struct.pack(">H", chance.choice(NUMBERS) % 65536)
        segments[number] = segments[number][:2] + size + segments[number][4:]
    elif kind == 3:
        tail = mutate_bytes(segments[number][4:], chance)
        segments[number] = segments[number][:4] + tail
    else:
        exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + chance.randbytes(60)
        head = b"\xff\xe1" + struct.pack(">H", len(exif) + 2)
        segments.insert(0, head + exif)
    return data[:2] + b"".join(segments) + data[place:]


# Databases and tensors

_SQLITE_FIELDS = {
    **{16: "H", 18: "B", 19: "B", 20: "B", 21: "B", 22: "B", 23: "B"},
    **{24: "I", 28: "I", 32: "I", 36: "I", 40: "I", 44: "I", 52: "I", 56: "I"},
    **{60: "I", 68: "I", 92: "I", 96: "I"},
}


def mutate_sqlite_page(data: bytes, chance: random.Random) -> bytes:
    """Change the header of an SQLite file or of one of its pages, or move pages."""
    (size,) = struct.unpack_from(">H", data.ljust(18, b"\0"), 16)
    size = size if size >= 512 else 4096
    pages = max(1, len(data) // size)
    first, second = (chance.randrange(pages) * size for _ in range(2))
    kind = chance.randrange(6)
    content = bytearray(data)
    if kind == 0:
        place, form = chance.choice(list(_SQLITE_FIELDS.items()))
        bits = 8 * struct.calcsize(">" + form)
        value = chance.choice(NUMBERS) % 2**bits
        content[place : place + bits // 8] = struct.pack(">" + form, value)
    elif kind == 1:
        head = first + (100 if first == 0 else 0)
        place = head + chance.randrange(40)
        content[place : place + 1] = bytes([chance.randrange(256)])
    elif kind == 2:
        content[first : first + size], content[second : second + size] = (
            content[second : second + size],
            content[first : first + size],
        )
    elif kind == 3:
        content[first : first + size] = bytes(size)
    elif kind == 4:
        del content[first:]
    else:
        return mutate_bytes(data, chance)
    return bytes(content)


def mutate_tensor_header(data: bytes, chance: random.Random) -> bytes:
    """Change the length or the JSON of the header of a safetensors file."""
    (length,) = struct.unpack_from("<Q", data.ljust(8, b"\0"))
    header, rest = data[8 : 8 + length], data[8 + length :]
    if chance.random() < 0.2:
        sizes = (0, 1, length - 1, length + 1, len(data), 2**31, 2**63, 2**64 - 1)
        return struct.pack("<Q", chance.choice(sizes)) + data[8:]
    header = mutate_json_value(header, chance)
    return struct.pack("<Q", len(header)) + header + rest


def correct_checksum(file: Path) -> None:
    """Let the manifest beside a file of tensors say its size and checksum."""
    data = file.read_bytes()
    manifest = file.parent / "checkpoint.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    for entry in content["files"].values():
        if entry["name"] == file.name:
            entry["bytes"] = len(data)
            entry["sha256"] = hashlib.sha256(data).hexdigest()
    manifest.write_text(json.dumps(content), encoding="utf-8")


def mutate_rows(file: Path, chance: random.Random) -> None:
    """Change rows, tables, triggers or versions of a database through SQL."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA ignore_check_constraints = ON")
        tables = [
            name
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
        ]
        for _ in range(chance.choice((1, 1, 2, 3))):
            # IndexError: a table that is gone or empty by now.
            with contextlib.suppress(sqlite3.Error, IndexError):
                _mutate_table(database, chance.choice(tables), chance)


def _mutate_table(
    database: sqlite3.Connection, table: str, chance: random.Random
) -> None:
    kind = chance.randrange(12)
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    column = chance.choice(columns)
    ids = [key for (key,) in database.execute(f"SELECT rowid FROM {table} ORDER BY 1")]
    some = f"rowid IN ({chance.choice(ids)}, {chance.choice(ids)})"
    if kind <= 4:
        value = chance.choice(
            (None, -1, 0, 2**40, 1e300, "", "x", "é" * 9, "[]", "{}", b"", b"\xff" * 50)
        )
        where = "1" if chance.random() < 0.3 else some
        database.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
    elif kind == 5:
        database.execute(f"DELETE FROM {table} WHERE {some}")
    elif kind == 6:
        database.execute(f"DROP TABLE {table}")
    elif kind == 7:
        database.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
    elif kind == 8:
        other = chance.choice(("zeroblob(1000000000)", "abs(-9223372036854775808)"))
        database.execute(
            f"CREATE TRIGGER t AFTER INSERT ON journal BEGIN SELECT {other}; END"
        )
    elif kind == 9:
        database.execute(f"PRAGMA user_version = {chance.choice((-1, 0, 2, 3, 99))}")
    else:
        _mutate_blob(database, table, columns, chance)


def _mutate_blob(
    database: sqlite3.Connection, table: str, columns: list[str], chance: random.Random
) -> None:
    row = database.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid").fetchall()
    rowid, *values = chance.choice(row)
    for column, value in zip(columns, values, strict=True):
        if isinstance(value, bytes) and value:
            new = chance.choice((_unfolding, _retyped, mutate_bytes))(value, chance)
        elif isinstance(value, str):
            new = mutate_bytes(value.encode(), chance).decode(errors="replace")
        else:
            continue
        database.execute(
            f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid)
        )


def _unfolding(value: bytes, chance: random.Random) -> bytes:
    """Return a compressed array of 200 MB, or one whose header says so."""
    count = chance.choice((200_000_000, 10**15))
    head = f"{{'descr': '|i1', 'fortran_order': False, 'shape': ({count},), }}"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head.ljust(118).encode()
    packer = zlib.compressobj(1)
    zeros = bytes(1_000_000)
    parts = [packer.compress(npy), *(packer.compress(zeros) for _ in range(200))]
    return b"".join([*parts, packer.flush()])


def _retyped(value: bytes, chance: random.Random) -> bytes:
    """Return an array of another type or shape in place of a packed one."""
    shape = chance.choice(((), (0,), (1,), (3, 3), (1, 1, 1)))
    values = np.zeros(shape, chance.choice(("i1", "i8", "f8", "U3", "c16", "M8[s]")))
    file = io.BytesIO()
    np.save(file, values)
    return zlib.compress(file.getvalue())


def mutate_arrays(data: bytes, chance: random.Random) -> bytes:
    """Change, remove, retype or repeat a column of an .npz file."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    with np.load(io.BytesIO(data)) as content:
        columns = dict(content)
    name = chance.choice(sorted(columns))
    kind = chance.randrange(5)
    if kind == 0:
        del columns[name]
    elif kind == 1:
        columns[name] = np.atleast_1d(columns[name])[: chance.randint(0, 2)]
    elif kind == 2:
        columns[name] = columns[name].astype(chance.choice(("f4", "U8", "i1", "c8")))
    elif kind == 3:
        columns[name] = np.stack([columns[name]] * 2)
    else:
        columns[name] = np.array([{"a": 1}, None], object)
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()


def mutate_json_lines(data: bytes, chance: random.Random) -> bytes:
    """Change one line of a file of JSON lines."""
    lines = data.splitlines()
    if not lines:
        return mutate_bytes(data, chance)
    number = chance.randrange(len(lines))
    lines[number] = mutate_json(lines[number], chance)
    return b"\n".join(lines)


mutate_json = one_of(
    mutate_json_value, mutate_json_value, mutate_json_text, mutate_bytes
)
mutate_csv = one_of(mutate_table, mutate_table, mutate_table, mutate_bytes)
mutate_tiff = one_of(
    mutate_tiff_tag,
    mutate_tiff_tag,
    mutate_tiff_tag,
    mutate_text_in_image,
    mutate_bytes,
)
mutate_png = one_of(mutate_png_chunk, mutate_png_chunk, mutate_bytes)
mutate_jpeg = one_of(mutate_jpeg_segment, mutate_jpeg_segment, mutate_bytes)
mutate_sqlite = one_of(mutate_sqlite_page, mutate_sqlite_page, mutate_bytes)
mutate_tensors = one_of(mutate_tensor_header, mutate_tensor_header, mutate_bytes)
