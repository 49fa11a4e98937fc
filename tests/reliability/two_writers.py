"""Let several processes edit one project; count what is lost.

``python -m tests.reliability.two_writers --edits 400``

Two processes edit through Python, a third one through ``segmix`` commands and, with
``--window 100``, a fourth one is a napari window on a virtual screen: labels of
the same tiles, classes, masks in overlapping boxes, reviews, imports, new images, and
undo and redo of whatever is last. The journal says in which order the edits took place.
They are made again in that order on the slow twin of the store (:mod:`edits`), and the
project must be what the twin is, in the end and whenever a process looked at it. An
edit without an entry must have changed nothing, and an edit that was acknowledged
before another one began must come before it.
"""

import argparse
import contextlib
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segmix_core.errors import SegmixError
from segmix_core.project.records import Change
from segmix_core.project.store import ProjectStore
from tests.reliability import window
from tests.reliability.diary import Diary, Look, Made, Verdict, judge
from tests.reliability.edits import (
    Edit,
    EditMaker,
    GoneError,
    Twin,
    make_project,
    observe,
    perform,
    write_labels,
)
from tests.reliability.outcome import CONTEXT

_FIRST_EDITS = 150
_LOOK_SHARE = 0.1
# Two colors of a class look the same in the journal.
_WITHOUT = ("recolor class",)
_COMMANDS = ("import", "windows", "add")
Door = Callable[[ProjectStore, Edit], Any]


class Writer:
    """Edits a project for a while.

    Parameters
    ----------
    project, folder
        The project, and a folder for tables and images.
    name
        Part of every new name; "commands" edits by ``segmix`` commands.
    """

    def __init__(self, project: Path, folder: Path, name: str) -> None:
        self.diary = Diary()
        self._project = project
        self._maker = EditMaker(zlib.crc32(name.encode()), folder, f"-{name}", _WITHOUT)
        self._chance = random.Random(name)
        self._is_command = name == "commands"
        self._door: Door = self._by_command if self._is_command else perform

    def work(self, edits: int, pause: float) -> None:
        """Make ``edits`` edits, ``pause`` s apart, and look at the project at times."""
        with ProjectStore.open(self._project) as store:
            for _ in range(edits):
                if self._chance.random() < _LOOK_SHARE:
                    with store.atomic():
                        look = Look(store.revision, observe(store))
                    self.diary.looks.append(look)
                self._edit(store)
                time.sleep(pause)

    def _edit(self, store: ProjectStore) -> None:
        edit = self._draw(store)
        begin = time.monotonic()
        try:
            answer = self._door(store, edit)
        except GoneError:
            return
        except SegmixError as error:
            self.diary.refused[f"{edit['kind']}: {error.message}"] += 1
            return
        except Exception as error:  # noqa: BLE001
            text = f"{edit['kind']}: {type(error).__name__}: {error}"
            self.diary.faults[text] += 1
            return
        end = time.monotonic()
        entry = _find_entry(store, edit, answer)
        self.diary.made.append(Made(edit, entry, begin, end))

    def _draw(self, store: ProjectStore) -> Edit:
        with store.atomic():
            known = observe(store)
        some = known, None
        twin = Twin(known, *({"labels": some, "masks": some} for _ in range(2)))
        edit = self._maker.draw(twin)
        while self._is_command and edit["kind"] not in _COMMANDS:
            edit = self._maker.draw(twin)
        return edit

    def _by_command(self, store: ProjectStore, edit: Edit) -> Any:
        if edit["kind"] == "add":
            words = ["add", str(self._project), edit["folder"]]
        else:
            table = str(write_labels(store, edit))
            words = ["import-labels", str(self._project), table]
            words += ["--kind", "windows", "--replace"] * (edit["kind"] == "windows")
        segmix = Path(sys.executable).with_name("segmix")
        done = subprocess.run([segmix, *words], capture_output=True, text=True)
        if done.returncode == 2:
            raise SegmixError(done.stderr.strip(), "")
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        return done


def _find_entry(store: ProjectStore, edit: Edit, answer: Any) -> int:
    """Return the journal entry of an edit, by the new name that is in it."""
    if isinstance(answer, Change):
        return answer.id
    for key in ("table", "folder", "name"):
        if key in edit:
            name = Path(edit[key]).name
            entries = [e.id for e in store.history(10_000) if name in e.description]
            return min(entries, default=0)
    return 0


def write(
    project: Path, folder: Path, name: str, edits: int, pause: float, diary: Path
) -> None:
    """Edit a project in this process and store the diary."""
    writer = Writer(project, folder, name)
    writer.work(edits, pause)
    diary.write_bytes(pickle.dumps(writer.diary))


def first_edits(project: Path, folder: Path) -> Twin:
    """Make edits alone, so that undoing never reaches the start; return the twin."""
    maker = EditMaker(0, folder, "-first", ("undo", "redo"))
    with ProjectStore.open(project) as store:
        twin = Twin(observe(store))
        for _ in range(_FIRST_EDITS):
            edit = maker.draw(twin)
            perform(store, edit)
            twin = twin.after(edit)
    return twin


def run_trial(folder: Path, edits: int, commands: int, in_window: int = 0) -> Verdict:
    """Let two processes make ``edits`` edits each, others some by commands and window.

    Parameters
    ----------
    folder
        For the project; empty.
    edits, commands, in_window
        Edits of each Python process, by ``segmix`` commands, and in a napari window.
        0: without that process.
    """
    project = make_project(folder)
    twin = first_edits(project, folder)
    with ProjectStore.open(project) as store:
        start = store.revision
    counts = {"one": edits, "two": edits, "commands": commands}
    diaries, processes = [], []
    for name, count in counts.items():
        if count:
            diaries.append(folder / f"{name}.diary")
            (folder / name).mkdir()
            # Beside a window, at the pace of hands: it shows every change.
            pause = 0.2 if in_window else 0.0
            given = project, folder / name, name, count, pause, diaries[-1]
            processes.append(CONTEXT.Process(target=write, args=given))
    with contextlib.ExitStack() as stack:
        if in_window:
            environment = stack.enter_context(window.screen())
            diaries.append(folder / "window.diary")
            opened = window.start(project, folder, in_window, diaries[-1], environment)
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if in_window and opened.wait():
            raise RuntimeError("The window ended with an error.")
    found = [pickle.loads(diary.read_bytes()) for diary in diaries]
    return judge(project, twin, start, found)


def main() -> int:
    """Run the trial that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=400, help="Of each process.")
    parser.add_argument("--commands", type=int, default=30)
    parser.add_argument("--window", type=int, default=0, help="Edits in a window.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segmix-writers-"))
    verdict = run_trial(folder, options.edits, options.commands, options.window)
    print(verdict.summary())
    if verdict.is_clean:
        shutil.rmtree(folder)
    return not verdict.is_clean


if __name__ == "__main__":
    sys.exit(main())
