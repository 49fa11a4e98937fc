"""The results of a benchmark, as tables for people."""

from typing import TYPE_CHECKING, Any

import numpy as np

from segmix_core.cli.console import Console

if TYPE_CHECKING:
    from benchmarks.quality.paired import Difference
    from benchmarks.quality.report import Report


def show_report(report: "Report", console: Console) -> None:
    """Print a row a method, and the differences to one of them."""
    from benchmarks.quality.report import METRICS

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
    console.table(
        f"{shared.folder}, {shared.protocol}, {shared.split} images",
        ["method", "scored", "seeds", *(name.replace("_", " ") for name in METRICS)],
        rows,
    )
    differences = [
        [
            entry.method,
            entry.scored,
            len(entry.seeds),
            _signed_mean_and_sd(entry),
            "none"
            if entry.interval is None
            else "{:+.3f} to {:+.3f}".format(*entry.interval),
            ", ".join(f"{value:+.3f}" for value in entry.by_seed),
        ]
        for entry in report.differences()
    ]
    if differences:
        console.table(
            f"Difference in mean IoU from {report.against}, same seeds",
            ["method", "scored", "seeds", "difference", "95% CI", "by seed"],
            differences,
        )


def _signed_mean_and_sd(entry: "Difference") -> str:
    mean = f"{entry.mean:+.3f}"
    return mean if entry.sd is None else f"{mean} ± {entry.sd:.3f}"


def _title(entry: dict[str, Any]) -> str:
    mark = " (reads train masks)" if entry["reads_train_masks"] else ""
    return f"{entry['method']}{mark}"


def _mean_and_sd(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "none"
    mean = f"{np.mean(known):.3f}"
    return mean if len(known) == 1 else f"{mean} ± {np.std(known, ddof=1):.3f}"
