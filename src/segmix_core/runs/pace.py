"""How long the remaining steps will take."""

from collections import deque

_WINDOW_SECONDS = 60.0
_FIRST_SECONDS = 1.0


class Pace:
    """Estimates the time left from the steps of the last minute."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._total = 0

    def seconds_left(self, step: int, total: int, now: float) -> float | None:
        """Return the seconds until ``total``, or None before a second has passed.

        ``now`` is in seconds of any steady clock. A new total or a smaller step is
        the beginning of other work: the estimate starts again.
        """
        if total != self._total or (self._marks and step < self._marks[-1][1]):
            self._marks.clear()
            self._total = total
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] > _WINDOW_SECONDS:
            self._marks.popleft()
        if step >= total:
            return 0.0
        first_time, first_step = self._marks[0]
        if now - first_time < _FIRST_SECONDS or step == first_step:
            return None
        return (total - step) * (now - first_time) / (step - first_step)
