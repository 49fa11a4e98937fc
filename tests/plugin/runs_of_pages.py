"""What the tests of the pages do with runs."""

from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt

from segmix_core.events import Metrics, StageStarted
from segmix_core.project.records import LabelState
from segmix_core.runs import RunFolder, RunRequest, RunWriter
from segmix_core.runs.results import create_mask
from segmix_core.settings import RunSettings

STAGES = Path(__file__).parent / "job_stages.py"
LEFT = Qt.MouseButton.LeftButton


def wait(qtbot, condition):
    qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)


def label_all(session):
    states = np.full((16, 3), LabelState.ABSENT, np.int8)
    states[np.arange(16), np.arange(16) % 3] = LabelState.PRESENT
    session.actions.labels.set_labels(np.arange(16), states)


def finished(session, stage, *, reason="completed", message="", config=None):
    """Write an ended run with masks of class 2, where the stage leaves some."""
    store = session.model.project.store
    content = (config or RunSettings()).model_dump(mode="json")
    request = RunRequest(stage, store.path, content, revision=store.revision)
    folder = RunFolder.create(store.runs_path, request)
    with RunWriter(folder) as writer:
        writer.emit(StageStarted(stage=stage, total_steps=2))
        writer.emit(Metrics(step=1, epoch=0, values={"loss": 0.5}))
        for image in store.images():
            create_mask(folder.path, image.id, image.working_shape)[:] = 2
        writer.end(reason, message)
    folder.log_path.write_text("first line\nlast line\n", encoding="utf-8")
    session.actions.runs.refresh()
    return folder
