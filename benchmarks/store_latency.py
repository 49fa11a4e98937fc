"""Print how long the project store needs for what a user does.

    python benchmarks/store_latency.py [FOLDER]

The project is made in FOLDER (default: a temporary folder), so the disk can be chosen:
every write is flushed to it. A plain SQLite row with the same settings is printed
beside the label write, as what the disk itself costs.
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmix_core.geometry import Box
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore

TILES, COLUMNS, EDGE, CLASSES = 100_000, 400, 256, 4


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as name:
        path = Path(name) / "bench.segmix"
        names = [f"class {i}" for i in range(CLASSES)]
        with ProjectStore.create(path, names) as store:
            measure(store)
        print_times("open + tiles()", 5, lambda _: open_all(path))
        print_times("one row of plain SQLite", 200, plain_writer(Path(name)))


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


def print_times(what: str, count: int, act: Callable[[int], object]) -> None:
    seconds = np.empty(count)
    for index in range(count):
        started = time.perf_counter()
        act(index)
        seconds[index] = time.perf_counter() - started
    middle, high, most = np.percentile(seconds, (50, 95, 100)) * 1000
    print(f"{what:32} median {middle:8.2f} ms  p95 {high:8.2f} ms  max {most:8.2f} ms")


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
