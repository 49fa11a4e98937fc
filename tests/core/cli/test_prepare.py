import shlex
import subprocess
import sys

import pytest

from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.process_mark import mark_process
from segmix_core.runs import RunFolder, RunState, RunStatus
from segmix_core.runs.writer import write_status

TINY = ["--epochs", "2", "--batch-size", "4", "--device", "cpu", "--threads", "1"]
TINY += ["--set", "train.width=8", "--method", "segmix-plus"]


def test_a_prepared_run_waits_for_its_commands(project, segmix, answer, finished):
    finished("pseudo-masks")
    for stage in ("train", "train-segmenter"):
        code, said = answer(stage, project, "--prepare")
        folder = RunFolder(project / "runs" / said["run"])
        assert (code, said["stage"], said["state"]) == (0, stage, "created")
        assert set(said["commands"]) == {"alone", "machine", "nodes", "slurm"}
        assert folder.state() is RunState.CREATED
        assert not folder.log_path.exists()
    shown = segmix("train", project, "--resume", folder.path.name, "--prepare")
    assert shown.exit_code == 2
    assert "Use 'segmix train-segmenter'" in shown.stderr
    shown = segmix("train", project, "--prepare").stdout
    assert shown.startswith("Prepared: ")
    assert shown.count("-m segmix_core train ") == 4


def test_a_stopped_run_is_prepared_to_go_on(project, answer):
    _, said = answer("train", project, "--prepare")
    folder = RunFolder(project / "runs" / said["run"])
    folder.request_stop()
    code, again = answer("train", project, "--resume", folder.name, "--prepare")
    assert (code, again["run"]) == (0, said["run"])
    assert not folder.stop_path.exists()


def test_a_running_run_is_not_prepared(project, answer):
    _, said = answer("train", project, "--prepare")
    folder = RunFolder(project / "runs" / said["run"])
    write_status(folder, RunStatus(state=RunState.RUNNING, process=mark_process()))
    code, said = answer("train", project, "--resume", folder.name, "--prepare")
    assert code == 2
    assert "is already running" in said["message"]


def test_prepare_and_detach_contradict_each_other(project, answer):
    code, said = answer("train", project, "--prepare", "--detach")
    assert code == 2
    assert "cannot be combined" in said["message"]
    assert not (project / "runs").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs gloo on a socket")
def test_the_printed_torchrun_command_trains_in_two_processes(project, answer):
    _, said = answer("train", project, *TINY, "--prepare")
    done = subprocess.run(
        shlex.split(said["commands"]["machine"]),
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    folder = RunFolder(project / "runs" / said["run"])
    assert folder.state() is RunState.COMPLETED
    # Both read the request and share the work; one of them speaks for the run.
    last = load_checkpoint(folder.checkpoints_path / "last")
    assert last.extra["terms"]["processes"] == 2
    told = [event.kind for event in folder.events()[0]]
    assert told.count("started") == told.count("ended") == 1
    # Each of both networks has one; the second is what the first process keeps.
    assert told.count("checkpoint") == 2
    assert (last.step, last.arguments["pooled_share"]) == (2, 0.1)
