"""Let several processes edit one project; count what is lost.

``python -m tests.reliability.two_writers --edits 400``

Two processes edit through Python and a third one through ``segmix`` commands: labels of
the same tiles, classes, masks in overlapping boxes, reviews, imports, new images, and
undo and redo of whatever is last. The journal says in which order the edits took place.
They are made again in that order on the slow twin of the store (:mod:`edits`), and the
project must be what the twin is, in the end and whenever a process looked at it. An
edit without an entry must have changed nothing, and an edit that was acknowledged
before another one began must come before it.
"""

import argparse
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segmix_core.errors import SegmixError
from segmix_core.project.records import Change
from segmix_core.project.store import ProjectStore
from tests.reliability.edits import (
    Edit,
    EditMaker,
    GoneError,
    Known,
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


@dataclass(frozen=True)
class Made:
    """An acknowledged edit.

    Attributes
    ----------
    entry
        Its number in the journal; 0 if it changed nothing.
    begin, end
        Times of ``time.monotonic()``, which all processes share.
    """

    edit: Edit
    entry: int
    begin: float
    end: float


@dataclass(frozen=True)
class Look:
    """What a process saw of the project after an entry of the journal."""

    entry: int
    seen: Known


@dataclass
class Diary:
    """What one process did and saw."""

    made: list[Made] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class Writer:
    """Edits a project for a while.

    Parameters
    ----------
    project, folder
        The project, and a folder for tables and images.
    name
        Part of every new name.
    door
        "python" or "commands".
    """

    def __init__(self, project: Path, folder: Path, name: str, door: str) -> None:
        self.diary = Diary()
        self._project = project
        self._maker = EditMaker(hash(name) % 2**31, folder, f"-{name}", _WITHOUT)
        self._chance = random.Random(name)
        self._door: Door = perform if door == "python" else self._by_command
        self._is_command = door == "commands"

    def work(self, edits: int) -> None:
        """Make ``edits`` edits, and look at the project now and then."""
        with ProjectStore.open(self._project) as store:
            for _ in range(edits):
                if self._chance.random() < _LOOK_SHARE:
                    with store.atomic():
                        look = Look(store.revision, observe(store))
                    self.diary.looks.append(look)
                self._edit(store)

    def _edit(self, store: ProjectStore) -> None:
        edit = self._draw(store)
        begin = time.monotonic()
        try:
            answer = self._door(store, edit)
        except GoneError:
            return
        except SegmixError as error:
            self.diary.refused[f"{edit['kind']}: {error.problem}"] += 1
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
    project: Path, folder: Path, name: str, door: str, edits: int, diary: Path
) -> None:
    """Edit a project in this process and store the diary."""
    writer = Writer(project, folder, name, door)
    writer.work(edits)
    diary.write_bytes(pickle.dumps(writer.diary))


def first_edits(project: Path, folder: Path) -> Twin:
    """Make edits alone, so that undoing never reaches the beginning; return the twin."""
    maker = EditMaker(0, folder, "-first", ("undo", "redo"))
    with ProjectStore.open(project) as store:
        twin = Twin(observe(store))
        for _ in range(_FIRST_EDITS):
            edit = maker.draw(twin)
            perform(store, edit)
            twin = twin.after(edit)
    return twin


@dataclass
class Verdict:
    """What was found when the edits were made again, one after the other."""

    edits: int = 0
    looks: int = 0
    lost: int = 0
    stale_looks: int = 0
    out_of_order: int = 0
    differences: list[str] = field(default_factory=list)
    wrong_looks: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost."""
        wrong = self.lost, self.stale_looks, self.out_of_order, self.differences
        return not any(wrong) and not self.faults

    def summary(self) -> str:
        """Return figures, then what was refused and what failed."""
        lines = [
            f"{self.edits} acknowledged edits: {self.lost} lost, {self.out_of_order} out "
            f"of order, {len(self.differences)} differences in the end; {self.looks} "
            f"looks, {self.stale_looks} of them wrong {dict(self.wrong_looks)}; {self.refused.total()} refused "
            f"with a reason, {self.faults.total()} without",
            *self.differences,
        ]
        for title, found in (("refused", self.refused), ("fault", self.faults)):
            lines += [f"{title} {n} x {t[:200]}" for t, n in found.most_common(12)]
        return "\n".join(lines)


def judge(project: Path, first: Twin, start: int, diaries: Sequence[Diary]) -> Verdict:
    """Make all edits again in the order of the journal; compare.

    Parameters
    ----------
    project
        After all processes have ended.
    first, start
        The twin before they began, and the journal entry it is at.
    diaries
        Of all processes.
    """
    verdict = Verdict()
    made = [one for diary in diaries for one in diary.made]
    verdict.edits = len(made)
    for diary in diaries:
        verdict.refused += diary.refused
        verdict.faults += diary.faults
    by_entry = {one.entry: one for one in made if one.entry}
    with ProjectStore.open(project) as store:
        last, end = store.revision, observe(store)
    twins = {start: first}
    for entry in range(start + 1, last + 1):
        if entry not in by_entry:
            verdict.faults["an entry of the journal without an edit"] += 1
            twins[entry] = twins[entry - 1]
            continue
        twins[entry] = twins[entry - 1].after(by_entry[entry].edit)
    verdict.differences = twins[last].now.differences(end)
    verdict.out_of_order = _count_disorder(list(by_entry.values()))
    for one in made:
        if not one.entry and not _changed_nothing(one, by_entry, twins):
            verdict.lost += 1
    for diary in diaries:
        for look in diary.looks:
            verdict.looks += 1
            found = twins[look.entry].now.differences(look.seen)
            verdict.stale_looks += bool(found)
            verdict.wrong_looks.update(found)
    return verdict


def _count_disorder(made: Sequence[Made]) -> int:
    """Return how many edits ended before an edit began that comes earlier."""
    found, latest_begin = 0, 0.0
    for one in sorted(made, key=lambda one: one.entry):
        found += one.end < latest_begin
        latest_begin = max(latest_begin, one.begin)
    return found


def _changed_nothing(
    one: Made, by_entry: dict[int, Made], twins: dict[int, Twin]
) -> bool:
    """Whether there was a moment of an edit at which it had nothing to change."""
    before = [entry for entry, other in by_entry.items() if other.end < one.begin]
    after = [entry for entry, other in by_entry.items() if other.begin > one.end]
    moments = range(max([min(twins), *before]), min([max(twins) + 1, *after]))
    for entry in moments:
        try:
            if twins[entry].after(one.edit) is twins[entry]:
                return True
        except (KeyError, ValueError):
            # What it is about was not there at that moment.
            continue
    return False


def run_trial(folder: Path, edits: int, commands: int) -> Verdict:
    """Let two processes make ``edits`` edits each, and a third one ``commands``."""
    project = make_project(folder)
    twin = first_edits(project, folder)
    with ProjectStore.open(project) as store:
        start = store.revision
    doors = (("one", "python", edits), ("two", "python", edits))
    if commands:
        doors += (("three", "commands", commands),)
    processes, diaries = [], []
    for name, door, count in doors:
        diaries.append(folder / f"{name}.diary")
        (folder / name).mkdir()
        given = project, folder / name, name, door, count, diaries[-1]
        processes.append(CONTEXT.Process(target=write, args=given))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [pickle.loads(diary.read_bytes()) for diary in diaries]
    return judge(project, twin, start, found)


def main() -> int:
    """Run the trial that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=400, help="Of each process.")
    parser.add_argument("--commands", type=int, default=30)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segmix-writers-"))
    verdict = run_trial(folder, options.edits, options.commands)
    print(verdict.summary())
    if verdict.is_clean:
        shutil.rmtree(folder)
    return not verdict.is_clean


if __name__ == "__main__":
    sys.exit(main())
