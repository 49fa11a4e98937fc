"""How long the project store needs for what a user does, beside a bare SQLite row."""

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.speed.comparison import Seconds, Table, timed
from segmix_core.geometry import Box
from segmix_core.project.chunks import CHUNK_PX
from segmix_core.project.packing import deflate
from segmix_core.project.records import UNCHANGED, NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore

TILES, COLUMNS, EDGE, CLASSES = 100_000, 400, 256, 4
WINDOW_PX, BRUSH_PX = 4096, 40
SQUARES = 100_000
STROKE_LIMIT_MS, OPEN_LIMIT_S = 50, 2
PLAIN = "one row of bare SQLite"

Row = tuple[str, Seconds]
"""What was done, and the seconds of each time."""


def tables() -> list[Table]:
    """Return the table."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bench.segmix"
        names = [f"class {i}" for i in range(CLASSES)]
        with ProjectStore.create(path, names) as store:
            rows = measure(store)
        rows.append(timed_calls("open + tiles()", 5, lambda _: open_all(path)))
        with closing(plain_table(Path(name))) as connection:
            rows.append(timed_calls(PLAIN, 200, plain_writer(connection)))
        strokes, opened = measure_strokes(path), measure_many_squares(path)
    return [make_table([*rows, strokes, opened], strokes, opened)]


def make_table(rows: Sequence[Row], strokes: Row, opened: Row) -> Table:
    """Return a line a row; those of strokes and of opening are held to limits."""
    stroke_share = 1000 * float(np.percentile(strokes[1], 95)) / STROKE_LIMIT_MS
    open_share = float(opened[1].max()) / OPEN_LIMIT_S
    text = (
        f"A project with {TILES:,} tiles, in the folder for temporary files (set "
        "TMPDIR to use another disk). Every write is flushed to the disk. The peer is "
        "one row written to a bare SQLite table with the same settings, timed "
        "afterward: the cost of the disk itself. Target: 95% of strokes in less than "
        f"{STROKE_LIMIT_MS} ms (here {stroke_share:.2f} of that), and a project with "
        f"{SQUARES:,} corrected squares always opens in less than "
        f"{OPEN_LIMIT_S} s (here {open_share:.2f} of that)."
    )
    plain = float(np.median(dict(rows)[PLAIN]))
    lines = [
        (
            what,
            *(f"{1000 * float(np.percentile(taken, p)):.2f}" for p in (50, 95, 100)),
            f"{float(np.median(taken)) / plain:.1f}",
        )
        for what, taken in rows
    ]
    header = (
        "what",
        "median, ms",
        "95th percentile, ms",
        "longest, ms",
        "times a bare row",
    )
    return Table("Project store", text, header, lines)


def measure(store: ProjectStore) -> list[Row]:
    """Return the times of edits and of reading, in the order of the work."""
    rng = np.random.default_rng(0)
    rows = [timed_calls("add a slide", 1, lambda _: add_slide(store))]
    ids = store.tiles().ids

    def label(count: int) -> Callable[[int], object]:
        return lambda _: store.set_labels(
            rng.choice(ids, count, replace=False),
            rng.integers(-1, 2, (count, CLASSES)).astype(np.int8),
        )

    store.set_labels(ids, rng.integers(-1, 2, (TILES, CLASSES)).astype(np.int8))
    calls: list[tuple[str, int, Callable[[int], object]]] = [
        ("set_labels, 1 tile", 200, label(1)),
        ("undo, 1 tile", 100, lambda _: store.undo()),
        ("redo, 1 tile", 100, lambda _: store.redo()),
        ("set_labels, 10,000 tiles", 10, label(10_000)),
        ("undo, 10,000 tiles", 10, lambda _: store.undo()),
        ("tiles()", 10, lambda _: store.tiles()),
        ("correct_mask, 64 x 64 pixels", 100, lambda i: paint(store, i)),
        ("undo of a correction", 50, lambda _: store.undo()),
        ("corrections, 1024 x 1024", 20, lambda _: read_corrections(store)),
    ]
    return rows + [timed_calls(*call) for call in calls]


def measure_strokes(path: Path) -> Row:
    """Draw curved strokes across a window, as a person does; time each until stored."""
    rng = np.random.default_rng(1)
    with ProjectStore.open(path) as store:
        strokes = [draw_stroke(rng) for _ in range(200)]

        def act(index: int) -> None:
            box, values = strokes[index]
            store.correct_mask(1, box, values)

        name = f"a stroke in {WINDOW_PX} x {WINDOW_PX}"
        return timed_calls(name, len(strokes), act)


def draw_stroke(rng: np.random.Generator) -> tuple[Box, np.ndarray]:
    """Return a box in the window and its values, 253 where the brush was not."""
    y, x = rng.uniform(BRUSH_PX, WINDOW_PX - BRUSH_PX, 2)
    angle, points = rng.uniform(0, 2 * np.pi), []
    for _ in range(int(rng.integers(5, 120))):
        points.append((y, x))
        angle += rng.normal(0, 0.3)
        y = float(np.clip(y + 8 * np.sin(angle), BRUSH_PX, WINDOW_PX - BRUSH_PX))
        x = float(np.clip(x + 8 * np.cos(angle), BRUSH_PX, WINDOW_PX - BRUSH_PX))
    path = np.array(points)
    top, left = (path.min(0) - BRUSH_PX // 2).astype(int)
    height, width = (np.ptp(path, axis=0) + BRUSH_PX + 1).astype(int)
    values = np.full((height, width), UNCHANGED, np.uint8)
    rows, cols = np.ogrid[:height, :width]
    for py, px in path - (top, left):
        values[(rows - py) ** 2 + (cols - px) ** 2 <= (BRUSH_PX / 2) ** 2] = 1
    return Box(int(top), int(left), int(height), int(width)), values


def measure_many_squares(path: Path) -> Row:
    """Fill the project with corrected squares, then open it."""
    rng = np.random.default_rng(2)
    pixels = np.full((CHUNK_PX, CHUNK_PX), 254, np.uint8)
    pixels[100:400, 50:450] = rng.integers(0, 3, (300, 400)) // 2
    content = deflate(pixels.tobytes())
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        # Far beyond the slide: only the number of rows matters for opening.
        connection.executemany(
            "INSERT INTO chunk (image_id, row, col, top_class, pixels) "
            "VALUES (1, ?, ?, 1, ?)",
            ((1000 + i // 400, i % 400, content) for i in range(SQUARES)),
        )
        connection.commit()
    size = (path / "project.sqlite").stat().st_size / 1e6
    name = f"open, {SQUARES:,} squares, {size:.0f} MB"
    return timed_calls(name, 10, lambda _: open_only(path))


def open_only(path: Path) -> None:
    ProjectStore.open(path).close()


def timed_calls(what: str, count: int, act: Callable[[int], object]) -> Row:
    """Call ``act`` with 0, 1, 2, ...; return the seconds of each call."""
    return what, np.array([timed(partial(act, index)) for index in range(count)])


def add_slide(store: ProjectStore) -> None:
    rows, cols = np.divmod(np.arange(TILES), COLUMNS)
    edge = np.full(TILES, EDGE)
    image = NewImage(
        path=store.path / "slide.svs",
        height=EDGE * (TILES // COLUMNS),
        width=EDGE * COLUMNS,
        mpp_y=0.5,
        mpp_x=0.5,
        downsample=1.0,
        group="slide",
        boxes=np.column_stack((rows * EDGE, cols * EDGE, edge, edge)),
        rows=rows,
        cols=cols,
    )
    plan = TilingPlan(EDGE, EDGE, 0.5)
    store.add_source(SourceKind.SLIDE, image.path, "slide", plan, [image])


def paint(store: ProjectStore, index: int) -> None:
    box = Box(37 * index, 53 * index, 64, 64)
    store.correct_mask(1, box, np.full((64, 64), index % 3, np.uint8))


def read_corrections(store: ProjectStore) -> None:
    store.corrections(1, Box(0, 0, 1024, 1024))


def open_all(path: Path) -> None:
    with ProjectStore.open(path) as store:
        store.tiles()


def plain_table(folder: Path) -> sqlite3.Connection:
    """Return a bare database with the settings of the store."""
    connection = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE label (tile INTEGER PRIMARY KEY, state INTEGER)")
    return connection


def plain_writer(connection: sqlite3.Connection) -> Callable[[int], object]:
    return lambda index: connection.execute(
        "REPLACE INTO label VALUES (?, ?)", (index % 7, index)
    )
