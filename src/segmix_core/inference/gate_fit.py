"""The probability from which a class is believed, chosen on tiles that are labeled."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.project.records import LabelState

CURVE = tuple(step / 20 for step in range(1, 20))
LEAST_TILES = 5
"""Of fewer tiles with a class, or without it, a gate would be chance."""

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class GateFit:
    """The gate of a class and what speaks for it.

    Attributes
    ----------
    gate
        0..1: tiles of at least this probability have the class.
    f1
        Of the gate on the tiles; None where they were too few, and the gate is the
        one it was before.
    present, absent
        Tiles that are labeled so.
    curve
        F1 at the gates of ``CURVE``; empty where the tiles were too few.
    """

    gate: float
    f1: float | None
    present: int
    absent: int
    curve: tuple[tuple[float, float], ...] = ()


def fit_gate(labels: IntArray, probabilities: FloatArray, gate: float) -> GateFit:
    """Return the gate of a class with the highest F1.

    Parameters
    ----------
    labels
        (N,) of -1 unknown (not counted), 0 absent, 1 present.
    probabilities
        (N,) in 0..1, the classifier's answer.
    gate
        0..1: the gate so far. It stays if no other has a higher F1; of equals the
        nearest to it wins.

    Notes
    -----
    Tried are the middles between neighboring probabilities: all that can differ.
    """
    is_known = labels != LabelState.UNKNOWN
    is_present = labels[is_known] == LabelState.PRESENT
    given = np.asarray(probabilities[is_known], np.float64)
    present, absent = int(is_present.sum()), int((~is_present).sum())
    if min(present, absent) < LEAST_TILES:
        return GateFit(gate, None, present, absent)
    steps = np.unique(given)
    tried = np.concatenate([[gate, 0.0], (steps[1:] + steps[:-1]) / 2])
    scores = f1_scores(is_present, given, tried)
    best = np.flatnonzero(scores == scores.max())
    chosen = best[np.argmin(abs(tried[best] - gate))]
    curve = zip(CURVE, f1_scores(is_present, given, np.array(CURVE)), strict=True)
    return GateFit(
        float(tried[chosen]),
        float(scores[chosen]),
        present,
        absent,
        tuple((at, float(score)) for at, score in curve),
    )


def f1_scores(
    is_present: npt.NDArray[np.bool_], probabilities: FloatArray, gates: FloatArray
) -> npt.NDArray[np.float64]:
    """Return F1 (G,) of calling tiles present from each of the ``gates`` on; 0..1.

    ``is_present`` and ``probabilities`` are (N,); 0 where nothing is or is called
    present.
    """
    order = np.argsort(probabilities)
    first = np.searchsorted(probabilities[order], gates)
    # Entry i: how many present tiles lie below place i of the order.
    below = np.concatenate([[0], is_present[order].cumsum()])
    hits, called = below[-1] - below[first], len(order) - first
    return np.asarray(2 * hits / np.maximum(called + below[-1], 1), np.float64)
