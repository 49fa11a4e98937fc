"""What trials found: a project after each is compared with its twins."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from segmix_core.project.store import ProjectStore
from tests.reliability.edits import Known, Twin, observe

# Every process is forked from one that has loaded all modules, which takes 10 ms.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.reliability.edits"])


@dataclass
class Outcome:
    """What was tried and what was found.

    Attributes
    ----------
    noun
        What was done to the project in each trial.
    acknowledged
        Edits that were acknowledged before it.
    lost
        Acknowledged edits that are not in the project.
    torn
        Projects that hold neither all nor nothing of the edit that was interrupted.
    """

    noun: str
    trials: int = 0
    acknowledged: int = 0
    unopenable: int = 0
    lost: int = 0
    torn: int = 0
    slowest_open_s: float = 0.0
    findings: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost."""
        return not (self.unopenable or self.lost or self.torn)

    def summary(self) -> str:
        """Return one line of figures, and the findings."""
        line = (
            f"{self.trials} {self.noun}, {self.acknowledged} acknowledged edits: "
            f"{self.unopenable} unopenable projects, {self.lost} lost edits, "
            f"{self.torn} torn edits; slowest opening {self.slowest_open_s:.2f} s"
        )
        found = [f"{number} x {text}" for text, number in self.findings.most_common()]
        return "\n".join([line, *found])


def check(
    project: Path, twins: Sequence[Twin], least: int, most: int, outcome: Outcome
) -> int | None:
    """Compare a project with its twins; return which one it is, or None.

    It must be the twin after ``least`` to ``most`` edits.
    """
    seen, seconds = look(project)
    if isinstance(seen, str):
        outcome.unopenable += 1
        outcome.findings[seen] += 1
        return None
    outcome.slowest_open_s = max(outcome.slowest_open_s, seconds)
    right = range(min(most, len(twins) - 1), least - 1, -1)
    earlier = range(least - 1, -1, -1)
    for number in (*right, *earlier):
        if not twins[number].now.differences(seen):
            outcome.lost += max(0, least - number)
            if number < least:
                outcome.findings[f"{project}: {number} of {least} edits"] += 1
            return number
    outcome.torn += 1
    names = twins[least].now.differences(seen)
    outcome.findings[f"{project}: wrong {', '.join(names)}"] += 1
    return None


def look(project: Path) -> tuple[Known | str, float]:
    """Open a project in another process; return what it holds and how long that took.

    A text says why it could not be opened.
    """
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_look, args=(project, sender))
    process.start()
    sender.close()
    try:
        seen, seconds = receiver.recv()
    except EOFError:
        process.join()
        return f"The process ended with exit code {process.exitcode}.", 0.0
    process.join()
    return seen, seconds


def _look(project: Path, sender: Connection) -> None:
    begin = time.monotonic()
    try:
        with ProjectStore.open(project) as store:
            seconds = time.monotonic() - begin
            seen = observe(store)
    except Exception as error:  # noqa: BLE001
        sender.send((f"{type(error).__name__}: {error}", 0.0))
    else:
        sender.send((seen, seconds))
