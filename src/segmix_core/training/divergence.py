"""Detect training that has diverged."""

import math
from collections.abc import Sequence

from segmix_core.data.batch import Batch
from segmix_core.errors import JobError

_TILES_NAMED = 16
_SMOOTHING = 0.9
_WORSE_THAN_FIRST = 100.0


class DivergenceWatch:
    """Ends a training whose loss or gradient is undefined, or whose loss explodes.

    It has exploded if, smoothed over about ten steps, it is above 100 and above 100
    times the loss of the first step, which is worse than an untrained network.

    Parameters
    ----------
    first
        Loss of the first step in a resumed run; None: not known yet.
    """

    def __init__(self, first: float | None = None) -> None:
        self.first = first
        self._smoothed = first

    def check(
        self,
        loss: float,
        norm: float,
        pieces: Sequence[tuple[Batch, float]],
        step: int,
    ) -> None:
        """Check loss and gradient of a step before the weights are updated.

        Parameters
        ----------
        loss, norm
            Of the step and its gradient, equal in all processes.
        pieces
            The parts of this process's batch, each with its loss.
        step
            Its number.

        Raises
        ------
        JobError
            If the training has diverged; names step and tiles.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._end_undefined(pieces, step)
        self.first = loss if self.first is None else self.first
        before = self.first if self._smoothed is None else self._smoothed
        self._smoothed = _SMOOTHING * before + (1 - _SMOOTHING) * loss
        if self._smoothed > _WORSE_THAN_FIRST * max(1.0, self.first):
            raise JobError(
                f"The loss rose to {loss:.3g} at step {step}, from {self.first:.3g} "
                "at the first step, on the tiles "
                f"{_names([batch for batch, _ in pieces])}.",
                "Lower the learning rate and start a new run, or resume from a "
                "checkpoint before the loss rose.",
            )

    def _end_undefined(self, pieces: Sequence[tuple[Batch, float]], step: int) -> None:
        guilty = [batch for batch, loss in pieces if not math.isfinite(loss)]
        what = "loss" if guilty else "gradient"
        raise JobError(
            f"The {what} became infinite or undefined at step {step} on the tiles "
            f"{_names(guilty or [batch for batch, _ in pieces])}.",
            "Lower the learning rate, or check these tiles. The run can be resumed "
            "from its last checkpoint.",
        )


def _names(batches: Sequence[Batch]) -> str:
    names = [
        name
        for batch in batches
        for name in batch.names or [str(int(i)) for i in batch.tile_ids]
    ]
    more = ", ..." if len(names) > _TILES_NAMED else ""
    return ", ".join(names[:_TILES_NAMED]) + more
