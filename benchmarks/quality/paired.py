"""Differences of methods to one of them, training by training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Row = Mapping[str, Any]

RESAMPLES = 2000
_COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean IoU of a method less that of another with the same seeds.

    Attributes
    ----------
    scored
        Whose answer, as in :class:`benchmarks.quality.results.MethodResult`.
    seeds
        Those that both have.
    by_seed
        The difference of each seed, in -1..1.
    mean, sd
        Of ``by_seed``; sd of the sample, None with one seed.
    interval
        95% bootstrap CI of the mean over the scored images, drawn group by group, the
        training runs being fixed; None without pixel counts, or with one group.
    """

    method: str
    against: str
    scored: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    mean: float
    sd: float | None
    interval: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        return asdict(self)


def paired_differences(
    rows: Sequence[Row], against: str, groups: Sequence[str] | None = None
) -> list[Difference]:
    """Return the difference of every trained method to the one called ``against``.

    Parameters
    ----------
    rows
        Results as in the JSON file.
    against
        Name of the row that is subtracted: its maps from maps, its segmenter from
        segmenters. Without a common seed there is no difference.
    groups
        Of each image that the rows count; images of a group, such as a case, are drawn
        together. None if the rows have no counts.
    """
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        if row["seed"] is not None:
            key = row["method"], row.get("scored", "maps")
            found.setdefault(key, {})[row["seed"]] = row
    differences = []
    for (method, scored), own in found.items():
        other = found.get((against, scored), {})
        seeds = sorted(own.keys() & other.keys())
        if method != against and seeds:
            pairs = [(own[seed], other[seed]) for seed in seeds]
            ends = bootstrap_interval(pairs, groups) if groups is not None else None
            by_seed = tuple(one["mean_iou"] - two["mean_iou"] for one, two in pairs)
            differences.append(
                Difference(
                    method,
                    against,
                    scored,
                    tuple(seeds),
                    by_seed,
                    float(np.mean(by_seed)),
                    float(np.std(by_seed, ddof=1)) if len(seeds) > 1 else None,
                    ends,
                )
            )
    return differences


def bootstrap_interval(
    pairs: Sequence[tuple[Row, Row]], groups: Sequence[str], seed: int = 0
) -> tuple[float, float] | None:
    """Return the 2.5 and 97.5 percentiles of the mean difference of mean IoU.

    The percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13): as many groups of images as there are, drawn with replacement;
    the pixels of the drawn ones, added up, give each row its mean IoU.

    Parameters
    ----------
    pairs
        Rows with ``counts``, in the order of ``groups``; the second is subtracted.
    groups
        Of each image; an image without one (empty) is drawn alone.
    seed
        Of the draws.

    Returns
    -------
    tuple of float or None
        None with fewer than two groups: there is nothing to draw.
    """
    members = _indices(groups)
    count = int(members.max()) + 1
    if count < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), RESAMPLES
    )
    differences = [
        mean_iou(drawn @ _by_group(one, members))
        - mean_iou(drawn @ _by_group(two, members))
        for one, two in pairs
    ]
    low, high = np.nanpercentile(np.mean(differences, axis=0), (2.5, 97.5))
    return float(low), float(high)


def mean_iou(counts: FloatArray) -> FloatArray:
    """Return the mean IoU of foreground and background, (N,) in 0..1.

    Parameters
    ----------
    counts
        (N, 4) pixels: tp, fp, fn, tn. A side that neither occurs nor was found does
        not take part; without any pixel the result is NaN.
    """
    tp, fp, fn, tn = counts.T
    with np.errstate(invalid="ignore"):
        sides = np.stack([tp / (tp + fp + fn), tn / (tn + fp + fn)])
    known = ~np.isnan(sides)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, sides, 0).sum(axis=0) / known.sum(axis=0))


def _indices(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    keys = [(group, -1) if group else ("", n) for n, group in enumerate(groups)]
    numbers = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def _by_group(row: Row, members: npt.NDArray[np.int64]) -> FloatArray:
    return np.stack(
        [np.bincount(members, weights=row["counts"][name]) for name in _COUNTS], axis=1
    )
