import errno
import os
import signal
import sys

import psutil
import pytest

from segmix_core import __main__ as program
from segmix_core.errors import JobError
from segmix_core.runs import RunFolder, RunState, run_child
from segmix_core.runs.child import lower_priority


def fail(error):
    def stage(request, writer):
        raise error

    return stage


@pytest.mark.parametrize(
    ("stage", "code", "state"),
    [
        (lambda request, writer: {"a": 1}, 0, RunState.COMPLETED),
        (fail(RuntimeError("a bug")), 1, RunState.FAILED),
        (fail(JobError("x is y.", "Do z.")), 2, RunState.FAILED),
        (fail(OSError(errno.ENOSPC, "No space left")), 2, RunState.FAILED),
        (fail(OSError(errno.ENOENT, "No such file")), 1, RunState.FAILED),
        (lambda request, writer: {"stop": writer.should_stop()}, 3, RunState.CANCELED),
        (fail(KeyboardInterrupt()), 3, RunState.CANCELED),
    ],
)
def test_every_end_has_an_exit_code_and_one_last_event(folder, stage, code, state):
    if code == 3:
        folder.request_stop()
    assert run_child(folder, stage) == code
    assert folder.state() is state
    assert [event.kind for event in folder.events()[0]] == ["ended"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills instead")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_ends(folder, number):
    former = signal.getsignal(number)

    def polite(request, writer):
        os.kill(os.getpid(), number)
        return {"stopped": writer.should_stop()}

    def twice(request, writer):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        return {}

    assert run_child(folder, polite) == 3
    assert folder.ended().results == {"stopped": True}
    assert run_child(folder, twice) == 3
    assert "keyboard" in folder.ended().message
    assert signal.getsignal(number) == former


def test_the_program_runs_the_stage_it_is_told(folder, monkeypatch):
    stage = fail(JobError("There are no labels.", "Label some tiles."))
    monkeypatch.setattr(program, "_run_stage", stage)
    monkeypatch.setattr(program, "lower_priority", lambda: None)
    assert program.main(["train", str(folder.path)]) == 2
    assert folder.ended().hint == "Label some tiles."


def test_a_stopped_run_that_is_started_by_hand_goes_on(folder):
    heard = []

    def stage(request, writer):
        heard.append(writer.should_stop())
        return {}

    # Asked before it was ever started: that is still to be heard.
    folder.request_stop()
    assert run_child(folder, stage) == 3
    assert folder.state() is RunState.CANCELED
    assert run_child(folder, stage) == 0
    assert heard == [True, False]
    assert folder.state() is RunState.COMPLETED


def test_helper_processes_stay_silent(folder, monkeypatch):
    monkeypatch.setattr(program, "_run_stage", lambda request, writer: {})
    monkeypatch.setattr(program, "lower_priority", lambda: None)
    monkeypatch.setenv("RANK", "1")
    assert program.main(["train", str(folder.path)]) == 0
    assert folder.state() is RunState.CREATED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "0 arguments"),
        (["cams", "{folder}"], "a run of stage 'train'"),
        (["train", "{folder}/none"], "is not a run"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(folder, capsys, arguments, message):
    given = [argument.format(folder=folder.path) for argument in arguments]
    assert program.main(given) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0"}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_one_process_of_many_speaks(environment, first):
    assert program.is_first_process(environment) is first


@pytest.mark.skipif(sys.platform == "win32", reason="niceness is a POSIX idea")
def test_a_run_is_nice_to_others(folder, monkeypatch):
    asked = []

    def nice(process, value=None):
        asked.append(value)
        return 0

    monkeypatch.setattr(psutil.Process, "nice", nice)
    lower_priority()
    assert asked[-1] == 5


def test_a_folder_of_no_run_never_starts(tmp_path):
    with pytest.raises(JobError):
        run_child(RunFolder(tmp_path), fail(RuntimeError()))
