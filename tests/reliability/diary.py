"""What processes did to one project, and whether the project agrees."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from tests.reliability.edits import Edit, Known, Twin, observe


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
    """What one process did and saw.

    Attributes
    ----------
    refused, faults
        Edits that were refused with a reason for the user, and without one.
    delays
        Ages of changes, in seconds, that a window did not show yet.
    """

    made: list[Made] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)


@dataclass
class Verdict:
    """What was found when the edits were made again, one after the other."""

    edits: int = 0
    looks: int = 0
    lost: int = 0
    stale_looks: int = 0
    out_of_order: int = 0
    differences: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
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
        wrong = ", ".join(f"{n} x {name}" for name, n in self.wrong_looks.items())
        lines = [
            f"{self.edits} acknowledged edits: {self.lost} lost, "
            f"{self.out_of_order} out of order, "
            f"{len(self.differences)} differences in the end "
            f"({', '.join(self.differences) or 'none'}); "
            f"{self.refused.total()} refused with a reason, "
            f"{self.faults.total()} without",
            f"{self.looks} looks, {self.stale_looks} of them wrong ({wrong or 'none'})",
        ]
        if self.delays:
            usual = sorted(self.delays)[int(0.95 * len(self.delays))]
            lines.append(
                f"the window was behind at {len(self.delays)} looks: by {usual:.2f} s "
                f"(p95), {max(self.delays):.2f} s at most"
            )
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
        verdict.delays += diary.delays
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
    verdict.differences += find_faults(project)
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
