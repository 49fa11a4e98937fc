"""A label given by a key, from the key to the redraw, in a window with 100,000 tiles.

``python -m benchmarks.speed.label_key`` measures on the screen there is, and prints the
times as JSON; ``python -m benchmarks speed label_key`` uses a virtual one if need be.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.comparison import Table, milliseconds, ratio
from benchmarks.speed.store_latency import TILES, add_slide
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest, RunWriter

PRESSES, RUNS, CLASSES, LIMIT_MS = 60, 20, 4, 15
PAGES = ("Label", "Train")
_SCREEN = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24 +extension GLX"]


def tables() -> list[Table]:
    """Return the table."""
    command = [sys.executable, "-m", "benchmarks.speed.label_key"]
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        command = [*_SCREEN, *command]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    peer = np.array(found.pop("napari"))
    rows = []
    for page, times in found.items():
        seconds = np.array(times)
        rows.append(
            (
                page,
                milliseconds(seconds),
                f"{1000 * float(np.percentile(seconds, 95)):.1f}",
                milliseconds(peer),
                ratio(seconds, peer),
            )
        )
    text = (
        f"A digit labels the current one of {TILES:,} tiles, in a project with "
        f"{RUNS} runs. Processor time of the window's thread from the key until the "
        "canvas begins to draw: the label is on disk and every page is up to date. "
        "Beside it what napari needs to paint one pixel of a layer of the same size. "
        f"Wanted: at most {LIMIT_MS} ms."
    )
    header = (
        "page shown",
        "key, ms",
        "95th percentile, ms",
        "napari paints a pixel, ms",
        "times as long",
    )
    return [Table("A label by a key", text, header, rows)]


def main() -> None:
    """Open the window, measure, and print the seconds as JSON."""
    import napari

    from napari_segmix.session import session_for

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bench.segmix"
        make_project(path)
        viewer = napari.Viewer()
        viewer.window.resize(1600, 1000)
        viewer.window.add_plugin_dock_widget("napari-segmix", "SegMix")
        session = session_for(viewer)
        session.actions.projects.open(path)
        live(4)
        found = {page: press_keys(viewer, session, page) for page in PAGES}
        found["napari"] = paint_pixels(viewer)
        viewer.close()
    print(json.dumps(found))


def make_project(path: Path) -> None:
    """Write a project with a large slide, half of it labeled, and some ended runs."""
    rng = np.random.default_rng(0)
    with ProjectStore.create(path, [f"class {i}" for i in range(CLASSES)]) as store:
        add_slide(store)
        ids = rng.choice(store.tiles().ids, TILES // 2, replace=False)
        store.set_labels(ids, rng.integers(-1, 2, (len(ids), CLASSES)).astype(np.int8))
        for number in range(RUNS):
            stage = ("train", "cams", "pseudo-masks")[number % 3]
            request = RunRequest(stage, path, {}, revision=store.revision)
            with RunWriter(RunFolder.create(store.runs_path, request)) as writer:
                writer.end("completed", "")


def press_keys(viewer: Any, session: Any, page: str) -> list[float]:
    """Return the seconds of each key, with a page shown."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    canvas = _canvas(viewer)
    keys = [Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_4]
    session.page_requested.emit(page)
    rows = np.random.default_rng(1).integers(0, TILES, PRESSES)
    seconds = []
    for number, row in enumerate(rows.tolist()):
        session.actions.labels.go_to(row)
        live(0.1)
        key = keys[number % len(keys)]
        seconds.append(
            _until_drawn(canvas, partial(QTest.keyClick, canvas.native, key))
        )
        assert session.model.project.tiles.labels[row].max() == 1
    return seconds


def paint_pixels(viewer: Any) -> list[float]:
    """Return the seconds in which napari paints a pixel of a layer of the same size."""
    edge = int(np.sqrt(TILES))
    layer = viewer.add_labels(np.zeros((edge, edge), np.uint16), scale=(256, 256))
    live(1)
    canvas = _canvas(viewer)
    seconds = []
    for number in range(PRESSES):
        place = (number, number)
        seconds.append(_until_drawn(canvas, partial(layer.paint, place, 1)))
        live(0.05)
    return seconds


def _until_drawn(canvas: Any, act: Callable[[], object]) -> float:
    """Return the processor time of this thread until the canvas begins to draw."""
    from qtpy.QtWidgets import QApplication

    drawn: list[float] = []

    def note(_event: object) -> None:
        drawn.append(time.thread_time())

    canvas.events.draw.connect(note, position="first")
    begun = time.thread_time()
    act()
    until = time.monotonic() + 5
    while not drawn and time.monotonic() < until:
        QApplication.processEvents()
    canvas.events.draw.disconnect(note)
    return drawn[0] - begun


def _canvas(viewer: Any) -> Any:
    # napari has no public way to its canvas.
    return viewer.window._qt_viewer.canvas._scene_canvas  # noqa: SLF001


def live(seconds: float) -> None:
    """Let the window live for a while."""
    from qtpy.QtWidgets import QApplication

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
