"""Errors that a user can act on.

Programming mistakes raise ``ValueError`` or ``TypeError``; everything here is for
the person at the screen and says what was expected, what came and what to do.
"""


class SegmixError(Exception):
    """A problem the user can solve.

    Parameters
    ----------
    expected
        What the program needed, without a leading "expected".
    got
        What it found instead.
    remedy
        What to do now: a whole sentence.
    """

    def __init__(self, expected: str, got: str, remedy: str) -> None:
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(f"Expected {expected}, but got {got}. {remedy}")

    def __reduce__(self) -> tuple[type["SegmixError"], tuple[str, str, str]]:
        # Exceptions are rebuilt from their message by default, which is one argument.
        return type(self), (self.expected, self.got, self.remedy)


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
