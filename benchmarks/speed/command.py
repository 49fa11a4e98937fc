"""The command that measures speed and memory."""

from enum import StrEnum
from typing import Annotated

import typer


class Part(StrEnum):
    """What can be measured by itself: a module of this folder."""

    SHUFFLE = "shuffle"
    CAMS = "cams"
    PCM = "pcm"
    STEP = "step"
    MODES = "modes"
    ADDING = "adding"
    STORE = "store_latency"
    LABEL_KEY = "label_key"


def speed(
    names: Annotated[
        list[Part] | None, typer.Argument(help="What to measure; default: everything.")
    ] = None,
) -> None:
    """Measure speed and memory against peers; write docs/performance.md.

    The report keeps the sections of parts that are not measured.
    """
    # Imported late: it loads torch.
    from benchmarks.speed.report import REPORT, measure

    measure(names or list(Part), REPORT)
