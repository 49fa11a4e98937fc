import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segmix_core.cli import control, stages, watch
from segmix_core.cli.app import app
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest, RunState, RunStatus, kill, launch
from segmix_core.runs.writer import write_status

STAGES = Path(__file__).parents[1] / "runs" / "stages.py"


@pytest.fixture
def segmix():
    """Run a command line; the result has ``exit_code``, ``stdout`` and ``stderr``."""

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, words)

    return run


@pytest.fixture
def answer(segmix):
    """Run a command with --json; return its exit code and the object it printed."""

    def run(*arguments):
        result = segmix(*arguments, "--json")
        return result.exit_code, json.loads(result.stdout)

    return run


@pytest.fixture
def images(tmp_path):
    """Four tile images."""
    folder = tmp_path / "biopsies"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(4):
        pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"tile [{index}].png")
    return folder


@pytest.fixture
def project(tmp_path, images, segmix):
    """A project of two classes with four labeled tiles."""
    path = tmp_path / "demo.segmix"
    assert segmix("new", path, "--classes", "gland,stroma").exit_code == 0
    assert segmix("add", path, images).exit_code == 0
    with ProjectStore.open(path) as store:
        states = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.int8)
        store.set_labels(store.tiles().ids, states)
    return path


@pytest.fixture
def work(monkeypatch):
    """Let commands launch one of the stages in ``runs/stages.py``."""

    def choose(name):
        def start(folder):
            command = [sys.executable, str(STAGES), name, str(folder.path)]
            return launch(folder, command=command)

        monkeypatch.setattr(stages, "launch", start)

    return choose


@pytest.fixture
def impatient(monkeypatch):
    """Let commands kill without waiting for a process to save itself."""
    for module in (control, watch):
        monkeypatch.setattr(module, "kill", partial(kill, grace_seconds=0.1))


@pytest.fixture
def finished(project):
    """Put a run that was completed into the project."""

    def make(stage, created=1e9):
        request = RunRequest(stage, project, created=created)
        folder = RunFolder.create(project / "runs", request)
        write_status(folder, RunStatus(state=RunState.COMPLETED))
        return folder

    return make
