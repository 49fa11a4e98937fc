"""Time the window's own thread while it shows a label of another program.

``python -m tests.reliability.foreign_label --tiles 100000``

A napari window with the dock shows a slide of many labeled tiles on a virtual screen.
Another process labels one tile at a time, and the window looks for changes. Timed is
what the window's thread does from the look until it has drawn the label.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore
from tests.plugin.other_program import __file__ as OTHER_PROGRAM
from tests.reliability import window

CLASSES, COLUMNS, EDGE = 4, 400, 256
_PATIENCE_SECONDS = 5.0


def make_project(path: Path, tiles: int) -> None:
    """Make a project with one slide of ``tiles`` tiles, of which most have a label."""
    rows, cols = np.divmod(np.arange(tiles), COLUMNS)
    edge = np.full(tiles, EDGE)
    image = NewImage(
        path=path / "slide.svs",
        height=EDGE * (int(rows.max()) + 1),
        width=EDGE * COLUMNS,
        mpp_y=0.5,
        mpp_x=0.5,
        downsample=1.0,
        group="slide",
        boxes=np.column_stack((rows * EDGE, cols * EDGE, edge, edge)),
        rows=rows,
        cols=cols,
    )
    plan, rng = TilingPlan(EDGE, EDGE, 0.5), np.random.default_rng(0)
    with ProjectStore.create(path, [f"class {i}" for i in range(CLASSES)]) as store:
        store.add_source(SourceKind.SLIDE, image.path, "slide", plan, [image])
        states = rng.integers(-1, 2, (tiles, CLASSES)).astype(np.int8)
        store.set_labels(store.tiles().ids, states)


@contextmanager
def other_program(project: Path) -> Iterator[Callable[..., None]]:
    """Start another program; yield a function that lets it change the project."""
    words = [sys.executable, OTHER_PROGRAM, str(project)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as program:
        reader, writer = program.stdout, program.stdin
        assert reader is not None
        assert writer is not None

        def ask(*words: object) -> None:
            writer.write(json.dumps(words) + "\n")
            writer.flush()
            if reader.readline() != "done\n":
                raise RuntimeError("The other program ended.")

        yield ask
        writer.close()


def measure(
    session: Any, do: Callable[..., None], labels: int, draw: Callable[[], object]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return seconds and processor seconds of the window's thread for each label."""
    rng = np.random.default_rng(1)
    seconds = np.empty((labels, 2))
    session.watch.stop()
    for number in range(labels):
        row = int(rng.integers(len(session.model.project.tiles)))
        states = (1 - session.model.project.tiles.labels[row].clip(0)).tolist()
        do("label", int(session.model.project.tiles.ids[row]), states)
        started, used = time.perf_counter(), time.thread_time()
        session.watch.look()
        draw()
        seconds[number] = time.perf_counter() - started, time.thread_time() - used
        if session.model.project.tiles.labels[row].tolist() != states:
            raise RuntimeError("The window does not show the label.")
    return seconds[:, 0], seconds[:, 1]


def _settle(draw: Callable[[], object]) -> None:
    """Let the window draw itself for the first time."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        draw()


def run_trial(folder: Path, tiles: int, labels: int) -> None:
    """Open a window on a new project, and print what its thread needs."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_segmix.session import session_for

    make_project(folder / "p.segmix", tiles)
    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-segmix", "SegMix")
    session = session_for(viewer)
    if not session.actions.projects.open(folder / "p.segmix"):
        raise RuntimeError("The window could not open the project.")
    _settle(QApplication.processEvents)
    with other_program(folder / "p.segmix") as do:
        found = measure(session, do, labels, QApplication.processEvents)
    for name, times in zip(("elapsed", "processor"), found, strict=True):
        middle, high, most = np.percentile(times, (50, 95, 100)) * 1000
        print(
            f"{labels} labels, {tiles} tiles, {name} time: median {middle:.0f} ms, "
            f"p95 {high:.0f} ms, max {most:.0f} ms"
        )
    session.close()
    viewer.close()


def main() -> int:
    """Run the trial that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument(
        "--here", action="store_true", help="Use this screen, not a virtual one."
    )
    options = parser.parse_args()
    if not options.here:
        module = [sys.executable, "-m", "tests.reliability.foreign_label"]
        with window.screen() as environment:
            return subprocess.call([*module, *sys.argv[1:], "--here"], env=environment)
    with tempfile.TemporaryDirectory(prefix="segmix-label-") as folder:
        run_trial(Path(folder), options.tiles, options.labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
