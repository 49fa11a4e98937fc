"""The results of a benchmark, as tables for people."""

from typing import TYPE_CHECKING, Any

import numpy as np

from segmix_core.cli.voice import Voice

if TYPE_CHECKING:
    from segmix_core.benchmark.report import Report


def show_report(report: "Report", voice: Voice) -> None:
    """Print a row a method."""
    from segmix_core.benchmark.report import METRICS

    shared = report.conditions
    rows = [
        [
            _title(entry),
            entry["scored"],
            entry["seeds"],
            *(_mean_and_sd(entry[metric]) for metric in METRICS),
        ]
        for entry in report.summary()
    ]
    voice.table(
        f"{shared.folder}, {shared.protocol}, {shared.split} images",
        ["method", "scored", "seeds", *(name.replace("_", " ") for name in METRICS)],
        rows,
    )


def _title(entry: dict[str, Any]) -> str:
    mark = " (reads train masks)" if entry["reads_train_masks"] else ""
    return f"{entry['method']}{mark}"


def _mean_and_sd(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "none"
    mean = f"{np.mean(known):.3f}"
    return mean if len(known) == 1 else f"{mean} ± {np.std(known, ddof=1):.3f}"
