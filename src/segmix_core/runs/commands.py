"""Command lines that start a run by hand, in one process or several.

A run in several processes needs nothing else: every process reads the folder, and only
the first one writes to it.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmix_core.runs.folder import RunFolder
from segmix_core.runs.launch import job_command

PROCESSES = 2
"""Processes per machine in the examples; use one per GPU."""
_PORT = 29500


@dataclass(frozen=True, slots=True)
class StartCommands:
    """How to start a run, as text for a shell.

    Attributes
    ----------
    alone
        One process.
    machine
        Several processes on this machine, by torchrun.
    nodes
        Several machines; each gets its own ``--node-rank``, from 0.
    slurm
        A batch script for SLURM.
    """

    alone: str
    machine: str
    nodes: str
    slurm: str


def start_commands(
    folder: RunFolder, python: str | Path | None = None
) -> StartCommands:
    """Return the commands for a run.

    Parameters
    ----------
    folder
        The run; for several machines, at a path that all of them share.
    python
        Interpreter with SegMix and torch; by default the running one.
    """
    stage = folder.request().stage
    torchrun = [str(python or sys.executable), "-m", "torch.distributed.run"]
    work = ["-m", "segmix_core", stage, str(folder.path.absolute())]
    each = ["--nproc-per-node", str(PROCESSES)]
    place = ["--nnodes", "2", "--node-rank", "0", "--rdzv-endpoint", f"HOST:{_PORT}"]
    return StartCommands(
        alone=join_words(job_command(stage, folder, python)),
        machine=join_words([*torchrun, "--standalone", *each, *work]),
        nodes=join_words([*torchrun, *place, *each, *work]),
        slurm=_SLURM.format(
            stage=stage,
            processes=PROCESSES,
            port=_PORT,
            torchrun=shlex.join(torchrun),
            work=shlex.join(work),
        ),
    )


def join_words(words: Sequence[str]) -> str:
    """Return a command as text for the shell of this system."""
    if sys.platform == "win32":
        return subprocess.list2cmdline(words)
    return shlex.join(words)


_SLURM = """\
#!/bin/bash
#SBATCH --job-name=segmix-{stage}
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={processes}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun {torchrun} --nnodes "$SLURM_NNODES" --nproc-per-node {processes} \\
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:{port}" \\
    {work}
"""
