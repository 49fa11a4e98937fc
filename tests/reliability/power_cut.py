"""Cut the power of a disk at work again and again; count what is lost.

``sudo python -m tests.reliability.power_cut --cuts 200`` (Linux; needs xfsprogs)

A process makes edits in a project on an ext4 file system in a file, mounted through a
loop device, and acknowledges each to a file elsewhere. A power cut is a copy of that
file, taken in one moment by a reflink of the XFS file system around it and without
asking anything to sync: what the kernel still held in memory for the ext4 file system
is not in it. The copy is mounted, which replays ext4's own journal, and the project on
it is opened and compared with what it must hold: all edits that were acknowledged
before the copy began, and those after it whole or not at all. Later lives go on with a
disk that lost its power.
"""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from segmix_core.project.store import ProjectStore
from tests.reliability.edits import (
    CLASSES,
    Edit,
    EditMaker,
    Known,
    Twin,
    acknowledger,
    add_first_images,
    count_acknowledged,
    draw_first_images,
    make_project,
    observe,
    perform,
)
from tests.reliability.outcome import CONTEXT, Outcome, check

_CUTS = 10
_EDITS = 1500
_GROUND_BYTES = 4 << 30
_DISK_BYTES = 96 << 20
# How soon ext4 writes its journal and data by itself; writeback promises least.
_MOUNTS = ("commit=1", "commit=5,data=writeback", "commit=30,noauto_da_alloc")


class Ground:
    """An XFS file system in a file: it copies the files in it in one moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "ground"

    def __enter__(self) -> "Ground":
        self.folder.mkdir()
        image = self.folder.with_suffix(".xfs")
        _make_file(image, _GROUND_BYTES)
        _run("mkfs.xfs", "-q", "-m", "reflink=1", image)
        _run("mount", "-o", "loop", image, self.folder)
        return self

    def __exit__(self, *error: object) -> None:
        _unmount(self.folder)


@contextlib.contextmanager
def mounted(image: Path, options: str = "") -> Iterator[Path]:
    """Mount an ext4 file system in a file; yield the folder."""
    folder = Path(tempfile.mkdtemp(prefix="segmix-disk-"))
    _run("mount", "-o", f"loop,{options}".rstrip(","), image, folder)
    try:
        yield folder
    finally:
        _unmount(folder)
        folder.rmdir()


def _make_file(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def _unmount(folder: Path) -> None:
    # The kernel may need a moment to let go of a process that was killed.
    for _ in range(50):
        if subprocess.run(["umount", folder], capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{folder} stays mounted")


def make_then_edit(folder: Path, edits: Sequence[Edit], acknowledged: Path) -> None:
    """Make the project if there is none, then make edits; acknowledge each step."""
    acknowledge = acknowledger(acknowledged)
    path = folder / "p.segmix"
    if (path / "project.sqlite").exists():
        store = ProjectStore.open(path)
    else:
        store = ProjectStore.create(path, CLASSES)
        acknowledge()
        add_first_images(store, folder)
        acknowledge()
    for edit in edits:
        perform(store, edit)
        acknowledge()


class Trials:
    """Lives of disks, each ended by power cuts.

    Parameters
    ----------
    ground
        Where the disks are.
    folder
        For everything that power cuts do not reach.
    seed
        Of edits and moments.
    """

    def __init__(self, ground: Path, folder: Path, seed: int) -> None:
        self.outcome = Outcome("power cuts")
        self._ground, self._folder = ground, folder
        self._chance = random.Random(seed)
        self._lives = 0
        self._disk, self._twin = self._new_disk(), None
        with ProjectStore.open(make_project(folder / "template")) as store:
            self._added = Twin(observe(store))

    def _new_disk(self) -> Path:
        disk = self._ground / f"disk{self._lives}.img"
        _make_file(disk, _DISK_BYTES)
        _run("mkfs.ext4", "-q", disk)
        with mounted(disk) as folder:
            draw_first_images(folder)
        return disk

    def live(self, cuts: int) -> None:
        """Edit the project on the disk and cut its power ``cuts`` times."""
        self._lives += 1
        twins, edits = self._plan()
        options = _MOUNTS[self._lives % len(_MOUNTS)]
        acknowledged = self._folder / f"acknowledged{self._lives}"
        with mounted(self._disk, options) as folder:
            process = CONTEXT.Process(
                target=make_then_edit, args=(folder, edits, acknowledged)
            )
            process.start()
            copies = [self._cut(number, folder, acknowledged) for number in range(cuts)]
            process.kill()
            process.join()
            if process.exitcode not in (0, -9):
                raise RuntimeError(f"The editing process failed: {process.exitcode}")
        found = [self._check(copy, twins, *between) for copy, *between in copies]
        self.outcome.acknowledged += copies[-1][1]
        self._disk.unlink()
        self._disk, number = copies[-1][0], found[-1]
        is_usable = number is not None and twins[number].now.splits
        if not is_usable or self._lives % 3 == 0:
            self._disk, self._twin = self._new_disk(), None
        else:
            self._twin = twins[number]

    def _plan(self) -> tuple[list[Twin], list[Edit]]:
        """Return the edits of a life, and what the project is after each step."""
        if self._twin is None:
            made = Known(classes=self._added.now.classes)
            twins = [Twin(Known()), Twin(made), self._added]
        else:
            twins = [self._twin]
        tables = self._folder / f"tables{self._lives}"
        tables.mkdir()
        maker = EditMaker(self._chance.randrange(2**31), tables, f"-{self._lives}")
        edits: list[Edit] = []
        for _ in range(_EDITS):
            edits.append(maker.draw(twins[-1]))
            twins.append(twins[-1].after(edits[-1]))
        return twins, edits

    def _cut(
        self, number: int, folder: Path, acknowledged: Path
    ) -> tuple[Path, int, int]:
        """Copy the disk in one moment; return the copy and what was acknowledged."""
        if number == 0 and self._twin is None:
            # Just after the project was made.
            while not count_acknowledged(acknowledged):
                time.sleep(0.002)
            time.sleep(self._chance.uniform(0, 0.1))
        else:
            time.sleep(self._chance.expovariate(1 / 0.25))
        if self._chance.random() < 0.3:
            # Parts of what is in memory come to the disk at any time.
            file = os.open(folder, os.O_RDONLY)
            os.fsync(file)
            os.close(file)
            time.sleep(self._chance.uniform(0, 0.05))
        copy = self._ground / f"cut{self._lives}-{number}.img"
        least = count_acknowledged(acknowledged)
        _run("cp", "--reflink=always", self._disk, copy)
        return copy, least, count_acknowledged(acknowledged)

    def _check(
        self, copy: Path, twins: Sequence[Twin], least: int, most: int
    ) -> int | None:
        outcome = self.outcome
        outcome.trials += 1
        with mounted(copy) as folder:
            project = folder / "p.segmix"
            if twins[0].now == Known() and not (project / "project.sqlite").exists():
                outcome.lost += least
                if least:
                    outcome.findings["The project is gone."] += 1
                return None
            return check(project, twins, least, most + 1, outcome)


def run_trials(folder: Path, cuts: int, seed: int) -> Outcome:
    """Cut the power ``cuts`` times."""
    with Ground(folder) as ground:
        trials = Trials(ground.folder, folder, seed)
        while (left := cuts - trials.outcome.trials) > 0:
            trials.live(min(left, _CUTS))
    return trials.outcome


def main() -> int:
    """Run the trials that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segmix-power-"))
    try:
        outcome = run_trials(folder, options.cuts, options.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(outcome.summary())
    return not outcome.is_clean


if __name__ == "__main__":
    sys.exit(main())
