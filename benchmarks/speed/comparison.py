"""Times of several ways to do the same thing, and ratios of them.

The ways are timed in turns, so that other work on the machine meets all of them alike,
and a ratio is taken within each turn. The median of the turns is reported with its
quartiles.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the report.

    Attributes
    ----------
    title, text
        What was measured, and how.
    header, rows
        Cells as they are printed.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self, conditions: str) -> str:
        """Return the table under its title, what it was measured on, and its text."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join([f"## {self.title}", conditions, self.text, f"{table}\n"])


def in_turns(
    ways: Mapping[str, Callable[[], object]], turns: int
) -> dict[str, Seconds]:
    """Return (turns,) seconds of each way, after one call that is not counted."""
    for act in ways.values():
        act()
    seconds = {name: np.empty(turns) for name in ways}
    for turn in range(turns):
        # Back and forth: none always follows the same other one.
        names = list(ways)[:: 1 if turn % 2 else -1]
        for name in names:
            seconds[name][turn] = timed(ways[name])
    return seconds


def processor_times(
    ways: Mapping[str, Callable[[], object]], turns: int
) -> tuple[dict[str, Seconds], dict[str, Seconds]]:
    """Return what :func:`in_turns` does, and the same in seconds of processor time.

    Processor time adds up all threads and leaves out the waiting for a free core.
    """
    used: dict[str, list[float]] = {name: [] for name in ways}

    def counted(name: str) -> Callable[[], object]:
        def act() -> None:
            begun = time.process_time()
            ways[name]()
            used[name].append(time.process_time() - begun)

        return act

    seconds = in_turns({name: counted(name) for name in ways}, turns)
    return seconds, {name: np.array(values[1:]) for name, values in used.items()}


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def ratio(upper: Seconds, lower: Seconds, digits: int = 1) -> str:
    """Return the median of upper / lower with its quartiles, as "8.1 (7.5-9.0)"."""
    low, middle, high = np.percentile(upper / lower, (25, 50, 75))
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def milliseconds(seconds: Seconds) -> str:
    """Return the median in milliseconds."""
    return f"{1000 * float(np.median(seconds)):.1f}"
