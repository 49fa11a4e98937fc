"""The table of a file of results in Markdown, and its raw rows as CSV."""

import csv
import io
from collections.abc import Sequence
from statistics import mean, stdev

from benchmarks.quality.pages.results import Line, Results, Row, title_of, values_of
from benchmarks.quality.paired import Difference

METRICS = (
    *("mean_iou", "foreground_iou", "background_iou"),
    *("dice", "image_mean_iou", "class_mean_iou"),
)


def markdown_table(results: Results) -> str:
    """Return the best predictor that learns nothing, then a row a method.

    Where there are segmenters they have columns of their own.
    """
    lines, trivial = results.lines, results.trivial
    change = f"vs. {title_of(results.content['against'])} (95% CI)"
    heads = ["Method", "Mean IoU of masks", "Foreground IoU", "Background IoU", change]
    rows = [
        [f"{trivial['method']} (learns nothing)", *_scores([trivial]), ""],
        *(
            [_title(line), *_scores(line.maps), _change(line.maps_difference)]
            for line in lines
        ),
    ]
    if any(line.segmenter for line in lines):
        heads += ["Mean IoU of segmenter", change]
        rows[0] += ["", ""]
        for row, line in zip(rows[1:], lines, strict=True):
            row += [_spread(line.segmenter), _change(line.segmenter_difference)]
    return "\n".join(_cells(row) for row in (heads, ["---"] * len(heads), *rows))


def csv_table(results: Results) -> str:
    """Return a line a training: all scores, and mean IoU by the class of the image."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    rows = results.content["results"]
    classes = list(rows[0]["by_class"])
    facts = ("method", "scored", "reads_train_masks", "seed", "threshold", *METRICS)
    writer.writerow([*facts, *(f"mean_iou of {name}" for name in classes)])
    for row in rows:
        by_class = (row["by_class"][name]["mean_iou"] for name in classes)
        writer.writerow([*(row[name] for name in facts), *by_class])
    return file.getvalue()


def _title(line: Line) -> str:
    mark = " (reads train masks)" if line.reads_train_masks else ""
    return title_of(line.method) + mark


def _scores(rows: Sequence[Row]) -> list[str]:
    sides = [_mean(rows, f"{side}_iou") for side in ("foreground", "background")]
    return [_spread(rows), *sides]


def _spread(rows: Sequence[Row]) -> str:
    values = values_of(rows)
    if len(values) < 2:
        return _mean(rows, "mean_iou")
    return f"{mean(values):.3f} ± {stdev(values):.3f}"


def _mean(rows: Sequence[Row], metric: str) -> str:
    return f"{mean(values_of(rows, metric)):.3f}" if rows else ""


def _change(found: Difference | None) -> str:
    if found is None:
        return ""
    if found.interval is None:
        return _signed(found.mean)
    low, high = found.interval
    return f"{_signed(found.mean)} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    # Adding 0 takes the minus from a zero.
    return f"{round(value, 3) + 0.0:+.3f}"


def _cells(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"
