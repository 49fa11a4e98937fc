import shlex
import subprocess
import sys

import pytest

from segmix_core.runs import RunFolder
from segmix_core.runs.commands import start_commands


@pytest.fixture
def commands(tmp_path, request_of):
    folder = RunFolder.create(tmp_path / "my runs ($HOME)", request_of())
    return start_commands(folder, "/opt/a python"), str(folder.path)


@pytest.mark.skipif(sys.platform == "win32", reason="words of a POSIX shell")
def test_commands_for_one_and_several_processes(commands):
    made, path = commands
    work = ["-m", "segmix_core", "train", path]
    torchrun = ["/opt/a python", "-m", "torch.distributed.run"]
    each = ["--nproc-per-node", "2"]
    place = ["--nnodes", "2", "--node-rank", "0", "--rdzv-endpoint", "HOST:29500"]
    assert shlex.split(made.alone) == ["/opt/a python", "-P", *work]
    assert shlex.split(made.machine) == [*torchrun, "--standalone", *each, *work]
    assert shlex.split(made.nodes) == [*torchrun, *place, *each, *work]


@pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")
def test_the_script_for_slurm_calls_torchrun_on_every_node(commands, tmp_path):
    made, path = commands
    # What SLURM brings along, reduced to what the script asks of it.
    arrange = """
    SLURM_NNODES=2 SLURM_JOB_ID=7 SLURM_JOB_NODELIST='node[1-2]'
    scontrol() { echo node1; echo node2; }
    srun() { printf '%s\\n' "$@"; }
    """
    told = subprocess.run(
        ["bash", "-c", arrange + made.slurm],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.splitlines() == [
        *("/opt/a python", "-m", "torch.distributed.run"),
        *("--nnodes", "2", "--nproc-per-node", "2"),
        *("--rdzv-id", "7", "--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", "node1:29500"),
        *("-m", "segmix_core", "train", path),
    ]
    assert "#SBATCH --job-name=segmix-train\n#SBATCH --nodes=2\n" in made.slurm


@pytest.mark.skipif(sys.platform != "win32", reason="words of the Windows shell")
def test_commands_for_windows(commands):
    made, path = commands
    assert made.machine.endswith(f'-m segmix_core train "{path}"')
