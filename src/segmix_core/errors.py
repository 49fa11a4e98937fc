"""Errors that a user can act on.

Programming mistakes raise ``ValueError`` or ``TypeError``; everything here is for
the person at the screen and says what is wrong and what to do.
"""


class SegmixError(Exception):
    """A problem the user can solve.

    Parameters
    ----------
    problem
        What is wrong, in terms of the user's own file, tile or class: one sentence.
    remedy
        What to do now: one sentence.

    Attributes
    ----------
    reason
        The cause in a few words, for sentences that name several files.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        self.reason = problem.rstrip(".")
        super().__init__(f"{problem} {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from their message by default, which is one argument.
        return type(self), (self.problem, self.remedy), {"reason": self.reason}


class ProjectError(SegmixError):
    """The project, its labels or a file to import into it."""


class SlideError(SegmixError):
    """An image that cannot be used as a slide or tile."""


class ConfigError(SegmixError):
    """Settings that contradict each other or the data."""


class CheckpointError(SegmixError):
    """Weights that cannot be loaded."""


class JobError(SegmixError):
    """A run that could not start, go on or be found."""
