"""Random numbers that depend on where in a run they are drawn, not on when."""

from enum import IntEnum, unique

import numpy as np
import torch


@unique
class Stream(IntEnum):
    """What random numbers are for; streams do not correlate."""

    ORDER = 0
    AUGMENT = 1
    STEP = 2
    LAYERS = 3


def derive_seed(seed: int, stream: Stream, *place: int) -> int:
    """Return a seed in 0..2**63 - 1 for a place in a run.

    Parameters
    ----------
    seed
        The run's, >= 0.
    stream
        What for.
    place
        E.g. the step, >= 0.
    """
    words = np.random.SeedSequence([seed, int(stream), *place]).generate_state(2)
    return (int(words[0]) << 32 | int(words[1])) >> 1


def seeded_generator(seed: int, stream: Stream, *place: int) -> torch.Generator:
    """Return a CPU generator for a place in a run, see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, *place))
