"""Tell the processes of a run apart."""

from collections.abc import Mapping


def is_first_process(environment: Mapping[str, str]) -> bool:
    """Whether this is the first process of a run, the one that reports on it.

    Reads the variables of torchrun, SLURM and Lightning's launcher.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if name in environment:
            return int(environment[name]) == 0
    places = (environment.get(name, "0") for name in ("NODE_RANK", "LOCAL_RANK"))
    return all(int(place) == 0 for place in places)
