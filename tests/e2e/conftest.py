"""A user with a command line, and projects whose content may not get lost."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segmix_core.cli import stages
from segmix_core.cli.app import app
from segmix_core.pipeline import run_stage
from segmix_core.project.store import ProjectStore
from segmix_core.runs import list_runs
from segmix_core.runs.child import run_child

SMALL = {
    "train": ["train.epochs=1", "train.batch_size=4", "train.width=8"],
    "cams": ["cams.scales=[1.0]", "cams.flips=false"],
    "pseudo-masks": ["pseudo_masks.min_object_px=0"],
    "train-segmenter": [
        "segmenter.encoder=tu-mobilenetv3_small_050",
        "segmenter.epochs=1",
        "segmenter.batch_size=4",
    ],
    "predict": ["predict.window_px=64", "predict.overlap_px=8"],
    "export": [],
}


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Let commands run stages in this process, with small networks."""

    def work(folder):
        run_child(folder, run_stage)
        return os.getpid()

    monkeypatch.setattr(stages, "launch", work)


@pytest.fixture
def answer():
    """Run a command with --json; return its exit code and the object it printed."""

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*words, "--json"])
        assert result.stdout, result.output
        return result.exit_code, json.loads(result.stdout)

    return run


@pytest.fixture
def stage(answer):
    """Run a stage with small networks, and further settings."""

    def run(name, project, *settings):
        given = [*SMALL[name], "machine.device=cpu", "machine.threads=1", *settings]
        return answer(name, project, *(w for text in given for w in ("--set", text)))

    return run


def _draw_tiles(folder, count=8, shape=(32, 32)):
    """Light tiles and dark tiles, in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.normal(190 - 90 * (number % 2), 20, (*shape, 3))
        pixels = pixels.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"tile{number}.png")
    return folder


@pytest.fixture
def draw_tiles():
    """Draw tile images of light and dark tissue into a new folder."""
    return _draw_tiles


@pytest.fixture
def labeled(answer):
    """Make a project of the classes light and dark, with all tiles labeled."""

    def make(path, tiles, classes=("light", "dark")):
        assert answer("new", path, "--classes", ",".join(classes))[0] == 0
        assert answer("add", path, tiles)[0] == 0
        with ProjectStore.open(path) as store:
            ids = store.tiles().ids
            states = np.eye(2, dtype=np.int8)[np.arange(len(ids)) % 2]
            store.set_labels(ids, states[:, : len(classes)])
        return path

    return make


@pytest.fixture
def project(tmp_path, labeled, draw_tiles):
    """A project of eight labeled tiles of 32 pixels."""
    return labeled(tmp_path / "p.segmix", draw_tiles(tmp_path / "tiles"))


@pytest.fixture
def content():
    """Tell everything of a project that a user would miss."""
    return _content


def _content(project: Path):
    with ProjectStore.open(project) as store:
        tiles = store.tiles()
        return (
            store.revision,
            [(entry.index, entry.name) for entry in store.classes()],
            [str(image.path) for image in store.images()],
            tiles.ids.tolist(),
            tiles.labels.tolist(),
            [(run.name, str(run.state())) for run in list_runs(store.runs_path)],
        )
