"""Kill a process at work again and again; count what is lost.

``python -m tests.reliability.kill --kills 1000``

A process makes edits in a project and acknowledges each. It is killed with SIGKILL at a
random moment, and the project is opened and compared with what it must hold: the
acknowledged edits, and the next one as a whole or not at all. Every fourth process
makes a project, adds images and imports labels instead; the others go on with one
project that grows.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmix_core.errors import SegmixError
from segmix_core.intake import add_paths
from segmix_core.project.labels_import import import_labels
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from tests.reliability.edits import (
    CLASSES,
    EditMaker,
    Twin,
    acknowledger,
    count_acknowledged,
    draw_images,
    make_edits,
    make_project,
    observe,
    write_table,
)
from tests.reliability.outcome import CONTEXT, Outcome, check

_EDITS = 60
_IMAGES = 30
_FRESH_EVERY = 4


def run_until_killed(
    chance: random.Random, most_edits: int, work: Callable[..., None], *values: Any
) -> int:
    """Run ``work(*values, acknowledged)``, kill it, return what it acknowledged.

    Half of the processes are killed after a random number of edits and a moment, the
    others at a random moment after their start.
    """
    with tempfile.TemporaryDirectory(prefix="segmix-kill-") as folder:
        acknowledged = Path(folder) / "acknowledged"
        process = CONTEXT.Process(target=work, args=(*values, acknowledged))
        process.start()
        wanted = chance.randint(0, most_edits) if chance.random() < 0.5 else 0
        while process.is_alive() and count_acknowledged(acknowledged) < wanted:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02 if wanted else 0.3))
        process.kill()
        process.join()
        if process.exitcode not in (0, -9):
            raise RuntimeError(f"The editing process failed: {process.exitcode}")
        return count_acknowledged(acknowledged)


class GrowingProject:
    """One project that is edited, and its twin."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self._chance = chance
        self._number = 0
        self._start()

    def _start(self) -> None:
        self._number += 1
        folder = self.folder / f"growing{self._number}"
        self.project = make_project(folder)
        self._maker = EditMaker(self._chance.randrange(2**31), folder)
        with ProjectStore.open(self.project) as store:
            self._twin = Twin(observe(store))

    def trial(self, outcome: Outcome) -> None:
        """Let a process edit the project, kill it, and look at the project."""
        twins, edits = [self._twin], []
        for _ in range(_EDITS):
            edits.append(self._maker.draw(twins[-1]))
            twins.append(twins[-1].after(edits[-1]))
        done = run_until_killed(
            self._chance, _EDITS // 2, make_edits, self.project, edits
        )
        outcome.acknowledged += done
        found = check(self.project, twins, done, done + 1, outcome)
        if found is None:
            self._keep(edits, done)
            self._start()
        else:
            self._twin = twins[found]

    def _keep(self, edits: Sequence[Any], done: int) -> None:
        evidence = {"acknowledged": done, "edits": edits}
        text = json.dumps(evidence, default=str)
        (self.project / "trial.json").write_text(text, encoding="utf-8")


def make_add_import(folder: Path, acknowledged: Path) -> None:
    """Make a project, add images, import labels; acknowledge each."""
    acknowledge = acknowledger(acknowledged)
    with ProjectStore.create(folder / "p.segmix", CLASSES) as store:
        acknowledge()
        add_paths(store, [folder / "tiles"])
        acknowledge()
        import_labels(store, folder / "labels.csv")
        acknowledge()


def fresh_trial(folder: Path, chance: random.Random, outcome: Outcome) -> None:
    """Kill a process that makes a project; it must be there in whole steps."""
    names = [f"t{i}.png" for i in range(_IMAGES)]
    draw_images(folder / "tiles", names, 32)
    write_table(
        folder / "labels.csv",
        [["filename", "is_gland"], *([name, 1] for name in names)],
    )
    done = run_until_killed(chance, 2, make_add_import, folder)
    outcome.acknowledged += done
    try:
        steps = _whole_steps(folder / "p.segmix")
    except (SegmixError, ValueError) as error:
        outcome.unopenable += 1
        outcome.findings[f"{folder}: {type(error).__name__}: {error}"] += 1
        return
    outcome.lost += max(0, done - steps)
    if steps not in (done, done + 1):
        outcome.torn += steps < 0 or steps > done + 1
        outcome.findings[f"{folder}: {done} acknowledged, {steps} there"] += 1
    else:
        shutil.rmtree(folder)


def _whole_steps(project: Path) -> int:
    """Return how many steps of :func:`make_add_import` are there; -1 for a part."""
    if not (project / "project.sqlite").exists():
        # Nothing is in the way of another try.
        ProjectStore.create(project, CLASSES).close()
        return 0
    with ProjectStore.open(project) as store:
        if [entry.name for entry in store.classes()] != list(CLASSES):
            return -1
        images, labels = store.images(), store.tiles().labels
    if not images:
        return 1
    if len(images) != _IMAGES:
        return -1
    known = int(np.count_nonzero(labels[:, 0] == 1))
    return {0: 2, _IMAGES: 3}.get(known, -1)


def run_trials(folder: Path, kills: int, seed: int) -> Outcome:
    """Kill ``kills`` processes; projects with findings stay in ``folder``."""
    outcome, chance = Outcome("kills"), random.Random(seed)
    growing = GrowingProject(folder, chance)
    for number in range(kills):
        if number % _FRESH_EVERY == _FRESH_EVERY - 1:
            fresh_trial(folder / f"fresh{number}", chance, outcome)
        else:
            growing.trial(outcome)
        outcome.trials += 1
    for fault in find_faults(growing.project):
        outcome.torn += 1
        outcome.findings[fault] += 1
    return outcome


def main() -> int:
    """Run the trials that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segmix-kill-"))
    outcome = run_trials(folder, options.kills, options.seed)
    print(outcome.summary())
    if outcome.is_clean:
        shutil.rmtree(folder)
    return not outcome.is_clean


if __name__ == "__main__":
    sys.exit(main())
