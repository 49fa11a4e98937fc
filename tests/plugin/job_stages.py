"""Stages for the plugin's tests: ``python job_stages.py RUN_FOLDER``."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from segmix_core.errors import JobError
from segmix_core.events import (
    CheckpointWritten,
    Metrics,
    SettingFitted,
    StageStarted,
    Warned,
)
from segmix_core.runs import RunFolder, run_child


def shuffled(step, count=4, edge=16):
    """Return the arrays of a "shuffled" preview: gray tiles, patches turned round."""
    gray = np.arange(count, dtype=np.uint8)[:, None, None, None] * 40 + 20
    images = np.broadcast_to(gray, (count, edge, edge, 3))
    sources = np.broadcast_to(np.arange(count)[:, None, None], (count, 2, 2)).copy()
    sources[:, 0, 0] = np.roll(np.arange(count), step % count)
    return {
        "images": images,
        "tile_ids": np.arange(1, count + 1),
        "sources": sources,
        "positions": np.broadcast_to(np.arange(4).reshape(2, 2), sources.shape),
        "patch_size": edge // 2,
        "shuffle_ratio": 0.25,
    }


def run(request, writer):
    """Do what ``options["behavior"]`` says."""
    behavior = request.options.get("behavior", "count")
    if behavior == "fail":
        raise JobError("No memory is left.", "Choose a smaller batch size.")
    done = writer.folder.status().checkpoint_step
    writer.emit(StageStarted(stage=request.stage, total_steps=6, resumed_at=done))
    for step in range(done + 1, 7):
        writer.emit(Metrics(step=step, epoch=0, values={"loss": 1 / step}))
        writer.save_preview(step, "shuffled", **shuffled(step))
        writer.progress(step, 6, f"step {step}")
        if behavior == "wait" and step == 3:
            wait(writer)
        if behavior == "gate" and step == 3:
            wait_for_gate(writer)
        if behavior == "deaf" and step == 3:
            time.sleep(60)
        if behavior == "die" and step == 3:
            writer.emit(CheckpointWritten(step=3, path="checkpoints/last"))
            os._exit(9)
        if writer.should_stop():
            break
    writer.emit(CheckpointWritten(step=step, path="checkpoints/last"))
    writer.emit(Warned(message="The batch was halved."))
    choice = {"setting": "pseudo_masks.gate", "target": "gland", "value": 0.4}
    writer.emit(SettingFitted(**choice, measure="F1", score=0.5, tiles=9))
    return {"steps": step}


def wait(writer):
    while not writer.should_stop():
        time.sleep(0.02)


def wait_for_gate(writer):
    while not (writer.folder.path / "GO").exists():
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(run_child(RunFolder(Path(sys.argv[1])), run))
