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

from tests.reliability.diary import Diary, Made
from tests.reliability.edits import Edit, EditMaker, Known, Twin, observe

if TYPE_CHECKING:
    from segmix_core.project.records import Change

_KINDS = ("label", "add class", "rename class", "undo", "redo")
_OTHERS = ("import", "windows", "recolor class", "split", "pixel size", "add")
_EDIT_MS, _LOOK_MS = 60, 20


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
    """Start a window that makes ``edits`` edits and then ends."""
    words = [str(project), str(folder), str(edits), str(diary)]
    module = [sys.executable, "-m", "tests.reliability.window"]
    return subprocess.Popen([*module, *words], env=environment)


class WindowWriter:
    """Edits through the session of a viewer, one edit at a time.

    Attributes
    ----------
    diary
        What was done; ``diary.delays`` are the seconds for which the window showed
        something that was not in the project any more.
    """

    def __init__(self, session: Any, folder: Path, edits: int) -> None:
        self.diary = Diary()
        self._session = session
        self._maker = EditMaker(7, folder, "-window", _OTHERS)
        self._left = edits
        self._changes: list[Change] = []
        self._stale_since: float | None = None
        self._listen()

    def _listen(self) -> None:
        """Note the journal entries that the store makes for this window."""
        store = self._session.require()
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
        """Compare what the window shows with what is stored."""
        store, source = self._session.require(), self._session.active_source
        shown = self._session.tiles
        if source is None or shown is None:
            return
        stored = store.tiles(source.id)
        is_right = (
            np.array_equal(shown.ids, stored.ids)
            and np.array_equal(shown.labels, stored.labels)
            and self._session.classes == store.classes()
        )
        now = time.monotonic()
        if is_right and self._stale_since is not None:
            self.diary.delays.append(now - self._stale_since)
            self._stale_since = None
        elif not is_right and self._stale_since is None:
            self._stale_since = now

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
        store, source = self._session.require(), self._session.active_source
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
            session.add_class(edit["name"], edit["color"])
        elif kind == "rename class":
            session.rename_class(edit["class"], edit["name"])
        else:
            getattr(session, kind)(edit["scope"])

    def _label(self, edit: Edit) -> None:
        session = self._session
        tiles, images = session.tiles, session.require().images()
        names = {image.id: image.path.name for image in images}
        wanted = {tuple(tile) for tile in edit["tiles"]}
        rows = [
            row
            for row in range(len(tiles))
            if (names.get(int(tiles.image_ids[row])), *tiles.boxes[row].tolist())
            in wanted
        ]
        if len(rows) != len(wanted) or edit["class"] > len(session.classes):
            return
        states = np.full((len(rows), len(session.classes)), -2, np.int8)
        states[:, edit["class"] - 1] = edit["state"]
        session.labelling.set_labels(np.array(rows), states)


def main() -> None:
    """Open a window on a project, edit, store the diary."""
    project, folder, edits, diary = sys.argv[1:]
    import napari
    from qtpy.QtCore import QTimer

    from napari_segmix.session import session_for

    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-segmix", "SegMix")
    session = session_for(viewer)
    if not session.open_project(Path(project)):
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

    editing.timeout.connect(edit)
    looking.start()
    editing.start()
    napari.run()
    Path(diary).write_bytes(pickle.dumps(writer.diary))


if __name__ == "__main__":
    main()
