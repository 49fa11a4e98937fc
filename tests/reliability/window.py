"""The window as a writer: a real napari viewer with the dock, in a process of its own.

It edits as a person does, through the session of the dock, and notes how long it shows
anything else than what the project holds. Started by :mod:`two_writers`, on a screen.
"""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmix_core.project.records import TileTable, TissueClass
from segmix_core.project.store import ProjectStore
from tests.reliability.diary import Diary, Made
from tests.reliability.edits import Edit, EditMaker, Known, Twin, observe

if TYPE_CHECKING:
    from segmix_core.project.records import Change

_KINDS = ("label", "add class", "rename class", "undo", "redo")
_OTHERS = ("import", "windows", "recolor class", "split", "pixel size", "add")
_EDIT_MS, _LOOK_MS, _OPEN_MS = 60, 20, 3000


@contextmanager
def screen() -> Iterator[dict[str, str]]:
    """Give a virtual screen for a window; yield the environment that names it."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1000x24"]
    server = subprocess.Popen(
        [*command, "+extension", "GLX"], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as file:
            display = file.readline().strip()
        yield {**os.environ, "DISPLAY": f":{display}"}
    finally:
        server.terminate()
        server.wait()


def start(
    project: Path, folder: Path, edits: int, diary: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a window that makes ``edits`` edits and ends; wait until it is open."""
    words = [str(project), str(folder), str(edits), str(diary)]
    module = [sys.executable, "-m", "tests.reliability.window"]
    process = subprocess.Popen([*module, *words], env=environment)
    while process.poll() is None and not _sign(diary).exists():
        time.sleep(0.05)
    return process


def _sign(diary: Path) -> Path:
    """Return the file that says that the window is open."""
    return diary.with_suffix(".open")


class Stored:
    """What is stored of a source, and since when, as often as somebody looks.

    A label that is shown wrong is late since it was stored, but no longer than it has
    been shown wrong: one that was set and undone between two looks is as old as before.
    """

    def __init__(self) -> None:
        self._tiles: TileTable | None = None
        self._classes: tuple[TissueClass, ...] = ()
        self._label_times = self._right_times = np.zeros((0, 0))
        self._shape_time = self._looked = time.monotonic()

    def see(self, tiles: TileTable, classes: tuple[TissueClass, ...]) -> None:
        """Note what is stored now; what is new is as old as the look before."""
        before, self._tiles = self._tiles, tiles
        if before is None or not self._fits(before, self._classes, classes):
            self._shape_time = self._looked
            self._label_times = np.full(tiles.labels.shape, self._looked)
            self._right_times = self._label_times.copy()
        else:
            self._label_times[before.labels != tiles.labels] = self._looked
        self._classes, self._looked = classes, time.monotonic()

    def lag_of(self, shown: TileTable, classes: tuple[TissueClass, ...]) -> float:
        """Return the age of the oldest change that is not shown; 0 if all are."""
        now = time.monotonic()
        if self._tiles is None or not self._fits(shown, classes, self._classes):
            return now - self._shape_time
        is_wrong = shown.labels != self._tiles.labels
        self._right_times[~is_wrong] = now
        late_since = np.maximum(self._label_times, self._right_times)[is_wrong]
        return now - float(late_since.min()) if late_since.size else 0.0

    def _fits(self, tiles: TileTable, one: object, other: object) -> bool:
        return (
            self._tiles is not None
            and one == other
            and np.array_equal(tiles.ids, self._tiles.ids)
            and tiles.labels.shape == self._tiles.labels.shape
        )


class WindowWriter:
    """Edits through the session of a viewer, one edit at a time.

    Attributes
    ----------
    diary
        What was done; ``diary.delays`` are the ages in seconds of the oldest change
        that the window did not show yet, whenever there was one.
    """

    def __init__(self, session: Any, folder: Path, edits: int) -> None:
        self.diary = Diary()
        self._session = session
        self._maker = EditMaker(7, folder, "-window", _OTHERS)
        self._left = edits
        self._changes: list[Change] = []
        self._stored = Stored()
        self._reader = ProjectStore.open(session.model.project.require().path)
        self._listen()

    def _listen(self) -> None:
        """Note the journal entries that the store makes for this window."""
        store = self._session.model.project.require()
        for name in ("_change", "_step_history"):
            setattr(store, name, self._noting(getattr(store, name)))

    def _noting(self, work: Any) -> Any:
        def noted(*given: Any) -> Any:
            change = work(*given)
            if change is not None:
                self._changes.append(change)
            return change

        return noted

    def look(self) -> None:
        """Note for how long the window has shown something else than what is stored."""
        source = self._session.model.project.active_source
        shown = self._session.model.project.tiles
        if source is None or shown is None:
            return
        # Its own connection: nothing of what the window knows is asked.
        classes = self._reader.classes()
        tiles = self._reader.tiles(source.id)
        if classes != self._reader.classes():
            return
        self._stored.see(tiles, classes)
        lag = self._stored.lag_of(shown, self._session.model.project.classes)
        if lag:
            self.diary.delays.append(lag)

    def edit(self) -> bool:
        """Make one edit; return whether there are more to make."""
        edit = self._draw()
        self._changes.clear()
        begin = time.monotonic()
        self._perform(edit)
        end = time.monotonic()
        for change in self._changes:
            self.diary.made.append(Made(edit, change.id, begin, end))
        self._left -= 1
        return self._left > 0

    def _draw(self) -> Edit:
        store, source = (
            self._session.model.project.require(),
            self._session.model.project.active_source,
        )
        with store.atomic():
            known = observe(store)
            names = {i.path.name for i in store.images(source.id)} if source else set()
        # A window labels the tiles of the source that it shows.
        labels = {tile: v for tile, v in known.labels.items() if tile[0] in names}
        splits = {name: v for name, v in known.splits.items() if name in names}
        some = Known(known.classes, labels, splits), None
        twin = Twin(some[0], *({"labels": some, "masks": some} for _ in range(2)))
        while True:
            edit = self._maker.draw(twin)
            if edit["kind"] in _KINDS:
                return edit

    def _perform(self, edit: Edit) -> None:
        session, kind = self._session, edit["kind"]
        if kind == "label":
            self._label(edit)
        elif kind == "add class":
            session.actions.classes.add(edit["name"], edit["color"])
        elif kind == "rename class":
            session.actions.classes.rename(edit["class"], edit["name"])
        else:
            getattr(session.actions.history, kind)(edit["scope"])

    def _label(self, edit: Edit) -> None:
        session = self._session
        tiles, images = (
            session.model.project.tiles,
            session.model.project.require().images(),
        )
        names = {image.id: image.path.name for image in images}
        wanted = {tuple(tile) for tile in edit["tiles"]}
        rows = [
            row
            for row in range(len(tiles))
            if (names.get(int(tiles.image_ids[row])), *tiles.boxes[row].tolist())
            in wanted
        ]
        if len(rows) != len(wanted) or edit["class"] > len(
            session.model.project.classes
        ):
            return
        states = np.full((len(rows), len(session.model.project.classes)), -2, np.int8)
        states[:, edit["class"] - 1] = edit["state"]
        session.actions.labels.set_labels(np.array(rows), states)


def main() -> None:
    """Open a window on a project, edit, store the diary."""
    project, folder, edits, diary = sys.argv[1:]
    import napari
    from qtpy.QtCore import QTimer

    from napari_segmix.session import session_for

    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-segmix", "SegMix")
    session = session_for(viewer)
    if not session.actions.projects.open(Path(project)):
        raise RuntimeError("The window could not open the project.")
    writer = WindowWriter(session, Path(folder), int(edits))
    looking, editing = QTimer(interval=_LOOK_MS), QTimer(interval=_EDIT_MS)
    looking.timeout.connect(writer.look)

    def edit() -> None:
        if not writer.edit():
            editing.stop()
            # What others do last must be seen as well.
            QTimer.singleShot(3000, close)

    def close() -> None:
        looking.stop()
        viewer.close()

    def begin() -> None:
        looking.start()
        editing.start()
        _sign(Path(diary)).touch()

    editing.timeout.connect(edit)
    # When it has been drawn for the first time.
    QTimer.singleShot(_OPEN_MS, begin)
    napari.run()
    Path(diary).write_bytes(pickle.dumps(writer.diary))


if __name__ == "__main__":
    main()
