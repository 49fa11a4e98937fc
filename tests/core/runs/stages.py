"""Stages for the process tests: ``python stages.py NAME RUN_FOLDER``."""

import os
import sys
import time
from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.events import CheckpointWritten, StageStarted
from segmix_core.runs import RunFolder, run_child


def count(request, writer):
    """Count to ten, from the step of the last checkpoint."""
    done = writer.folder.status().checkpoint_step
    writer.emit(StageStarted(stage=request.stage, total_steps=10, resumed_at=done))
    for step in range(done + 1, 11):
        writer.progress(step, 10, f"step {step}")
        writer.emit(CheckpointWritten(step=step, path="checkpoints/last"))
        if writer.should_stop():
            break
    return {"steps": step}


def wait(request, writer):
    """Go on until somebody asks to stop."""
    writer.emit(StageStarted(stage=request.stage, total_steps=1000))
    step = 0
    while not writer.should_stop():
        step += 1
        writer.progress(step, 1000, str(step))
        time.sleep(0.02)
    writer.emit(CheckpointWritten(step=step, path="checkpoints/last"))
    return {}


def deaf(request, writer):
    """Never look whether to stop."""
    writer.emit(StageStarted(stage=request.stage, total_steps=1))
    while True:
        time.sleep(0.05)


def user_error(request, writer):
    raise JobError("There are no labels.", "Label some tiles.")


def bug(request, writer):
    raise RuntimeError("a bug")


def die(request, writer):
    """End without a last word, in the middle of a line."""
    writer.emit(StageStarted(stage=request.stage, total_steps=1))
    with writer.folder.events_path.open("ab") as file:
        file.write(b'{"event": "progr')
    os._exit(9)


if __name__ == "__main__":
    _, name, path = sys.argv
    sys.exit(run_child(RunFolder(Path(path)), globals()[name]))
