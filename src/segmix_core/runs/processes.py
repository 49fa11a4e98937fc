"""Which of several processes of a run this one is."""

from collections.abc import Mapping


def is_first_process(environment: Mapping[str, str]) -> bool:
    """Whether this process speaks for a run that may be spread over several.

    The variables are those of torchrun, of SLURM and of Lightning's own launcher.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if name in environment:
            return int(environment[name]) == 0
    places = (environment.get(name, "0") for name in ("NODE_RANK", "LOCAL_RANK"))
    return all(int(place) == 0 for place in places)
