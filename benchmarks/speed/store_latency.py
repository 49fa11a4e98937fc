"""Print how long the project store needs for what a user does.

    python -m benchmarks.speed.store_latency [FOLDER]

The project is made in FOLDER (default: a temporary folder), so the disk can be chosen:
every write is flushed to it. A plain SQLite row with the same settings is printed
beside the label write, as what the disk itself costs, and two limits as ratios: a
stroke in a window of 4096 pixels (50 ms at the 95th percentile), and opening a project
with 100,000 corrected squares (2 s).
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from segmix_core.geometry import Box
from segmix_core.project.chunks import CHUNK_PX
from segmix_core.project.packing import deflate
from segmix_core.project.records import UNCHANGED, NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore

TILES, COLUMNS, EDGE, CLASSES = 100_000, 400, 256, 4
WINDOW_PX, BRUSH_PX = 4096, 40
SQUARES = 100_000
STROKE_LIMIT_MS, OPEN_LIMIT_S = 50, 2


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as name:
        path = Path(name) / "bench.segmix"
        names = [f"class {i}" for i in range(CLASSES)]
        with ProjectStore.create(path, names) as store:
            measure(store)
        print_times("open + tiles()", 5, lambda _: open_all(path))
        print_times("one row of plain SQLite", 200, plain_writer(Path(name)))
        measure_strokes(path)
        measure_many_squares(path)


def measure(store: ProjectStore) -> None:
    rng = np.random.default_rng(0)
    print_times(f"add a slide of {TILES} tiles", 1, lambda _: add_slide(store))
    ids = store.tiles().ids

    def label(count: int) -> Callable[[int], object]:
        return lambda _: store.set_labels(
            rng.choice(ids, count, replace=False),
            rng.integers(-1, 2, (count, CLASSES)).astype(np.int8),
        )

    store.set_labels(ids, rng.integers(-1, 2, (TILES, CLASSES)).astype(np.int8))
    print_times("set_labels, 1 tile", 200, label(1))
    print_times("undo, 1 tile", 100, lambda _: store.undo())
    print_times("redo, 1 tile", 100, lambda _: store.redo())
    print_times("set_labels, 10,000 tiles", 10, label(10_000))
    print_times("undo, 10,000 tiles", 10, lambda _: store.undo())
    print_times(f"tiles(), {TILES} tiles", 10, lambda _: store.tiles())
    print_times("correct_mask, 64 x 64 pixels", 100, lambda i: paint(store, i))
    print_times("undo of a correction", 50, lambda _: store.undo())
    print_times("corrections, 1024 x 1024", 20, lambda _: read_corrections(store))


def measure_strokes(path: Path) -> None:
    """Draw curved strokes across a window, as a person does; time each until stored."""
    rng = np.random.default_rng(1)
    with ProjectStore.open(path) as store:
        strokes = [draw_stroke(rng) for _ in range(200)]

        def act(index: int) -> None:
            box, values = strokes[index]
            store.correct_mask(1, box, values)

        times = print_times("a stroke in 4096 x 4096", len(strokes), act)
    high = float(np.percentile(times, 95)) * 1000
    print(f"  p95 is {high / STROKE_LIMIT_MS:.2f} of the limit of {STROKE_LIMIT_MS} ms")


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


def measure_many_squares(path: Path) -> None:
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
    times = print_times(
        f"open, {SQUARES} squares, {size:.0f} MB", 10, lambda _: open_only(path)
    )
    most = float(times.max())
    print(
        f"  the slowest is {most / OPEN_LIMIT_S:.2f} of the limit of {OPEN_LIMIT_S} s"
    )


def open_only(path: Path) -> None:
    ProjectStore.open(path).close()


def print_times(what: str, count: int, act: Callable[[int], object]) -> np.ndarray:
    seconds = np.empty(count)
    for index in range(count):
        started = time.perf_counter()
        act(index)
        seconds[index] = time.perf_counter() - started
    middle, high, most = np.percentile(seconds, (50, 95, 100)) * 1000
    print(f"{what:38} median {middle:8.2f} ms  p95 {high:8.2f} ms  max {most:8.2f} ms")
    return seconds


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


def plain_writer(folder: Path) -> Callable[[int], object]:
    connection = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE label (tile INTEGER PRIMARY KEY, state INTEGER)")
    return lambda index: connection.execute(
        "REPLACE INTO label VALUES (?, ?)", (index % 7, index)
    )


if __name__ == "__main__":
    main()
