"""Two tiny projects, a slide and a folder of tiles, with a run of every stage."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.intake import add_paths
from segmix_core.pipeline import run_stage
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest
from segmix_core.runs.child import EXIT_COMPLETED, run_child
from segmix_core.runs.inputs import find_inputs
from segmix_core.runs.writer import RunWriter
from segmix_core.settings import RunSettings

TINY = {
    # As published: of SegMix+ the tests tell that are about it.
    "train.method": "segmix",
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.width": 8,
    "cams.scales": [1.0],
    "cams.flips": False,
    "cams.batch_size": 8,
    "pseudo_masks.min_object_px": 0,
    "segmenter.encoder": "tu-mobilenetv3_small_050",
    "segmenter.epochs": 2,
    "segmenter.batch_size": 8,
    "predict.window_px": 96,
    "predict.overlap_px": 16,
    "machine.device": "cpu",
    "machine.threads": 1,
    # The same on every machine, whatever its processor has instructions for.
    "machine.precision": "float32",
}
CHAIN = ("train", "cams", "pseudo-masks", "train-segmenter", "predict", "export")
CLASSES = ("plain", "striped")


def paint(height: int, width: int, seed: int, *, level: int = 1) -> np.ndarray:
    """Pink tissue whose right half has stripes, under a band of glass."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (222, 150, 190), np.float64)
    stripes = np.arange(width) // (4 * level) % 2 == 0
    image[:, stripes & (np.arange(width) >= width // 2)] = (110, 60, 140)
    image[: height // 8] = 243
    return (image + rng.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


class StoppingWriter(RunWriter):
    """Finds a STOP file when it is asked for the ``after``-th time."""

    def __init__(self, folder: RunFolder, after: int) -> None:
        super().__init__(folder)
        self.asked = 0
        self._after = after

    def should_stop(self) -> bool:
        self.asked += 1
        if self.asked == self._after:
            self.folder.request_stop()
        return super().should_stop()


@dataclass(frozen=True)
class Workshop:
    """Runs stages of a project in this process."""

    project: Path

    def store(self) -> ProjectStore:
        return ProjectStore.open(self.project)

    def folder(
        self,
        stage: str,
        *,
        inputs: Mapping[str, Path] | None = None,
        options: Mapping[str, Any] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Ask for a run; by default on the newest runs it can read."""
        runs = self.project / "runs"
        config = RunSettings().replace({**TINY, **(changes or {})})
        request = RunRequest(
            stage,
            self.project,
            config.model_dump(mode="json"),
            find_inputs(runs, stage) if inputs is None else dict(inputs),
            dict(options or {}),
        )
        return RunFolder.create(runs, request)

    def run(self, stage: str, **wishes: Any) -> RunFolder:
        """Run a stage to its end."""
        folder = self.folder(stage, **wishes)
        assert run_child(folder, run_stage) == EXIT_COMPLETED, folder.ended()
        return folder

    def attempt(self, stage: str, **wishes: Any) -> dict[str, Any]:
        """Run a stage and let its errors through."""
        folder = self.folder(stage, **wishes)
        with RunWriter(folder) as writer:
            return run_stage(folder.request(), writer)

    def stop(self, stage: str, after: int = 1, **wishes: Any) -> StoppingWriter:
        """Run a stage that is asked to stop after its ``after``-th step."""
        folder = self.folder(stage, **wishes)
        with StoppingWriter(folder, after) as writer:
            results = run_stage(folder.request(), writer)
            writer.end("canceled" if writer.stopped else "completed", "", results)
        return writer

    def resume(self, folder: RunFolder) -> None:
        folder.stop_path.unlink()
        assert run_child(folder, run_stage) == EXIT_COMPLETED, folder.ended()

    def exports(self) -> list[str]:
        path = self.project / "exports"
        return sorted(entry.name for entry in path.iterdir()) if path.exists() else []


def results(folder: RunFolder) -> dict[str, Any]:
    ended = folder.ended()
    assert ended is not None
    return ended.results


def make_slide_project(root: Path, *, stride_px: int = 64) -> Workshop:
    """A slide of 0.25 µm, worked on at 0.5 µm in 192 x 272 pixels."""
    slide = root / "slide é [1].tif"
    pixels = paint(384, 544, 0, level=2)
    tags = {"resolution": (40000, 40000), "resolutionunit": 3}
    tifffile.imwrite(slide, pixels, photometric="rgb", tile=(128, 128), **tags)
    project = root / "slide.segmix"
    with ProjectStore.create(project, CLASSES) as store:
        add_paths(store, [slide], tile_px=64, stride_px=stride_px, mpp=0.5)
        tiles = store.tiles()
        right = tiles.boxes[:, 1] + tiles.boxes[:, 3]
        labels = [tiles.boxes[:, 1] < 272, right > 272]
        store.set_labels(tiles.ids, np.stack(labels, axis=1).astype(np.int8))
    return Workshop(project)


def make_folder_project(
    root: Path, sizes: Sequence[tuple[int, int]] = ((64, 64), (48, 56), (40, 61)) * 4
) -> Workshop:
    """Tiles of different sizes, half of them with stripes."""
    folder = root / "tiles (é) [2]"
    folder.mkdir()
    for number, (height, width) in enumerate(sizes):
        half = paint(height, 2 * width, number)
        part = half[:, width:] if number % 2 else half[:, :width]
        Image.fromarray(part).save(folder / f"tile {number:02d}.png")
    project = root / "folder.segmix"
    with ProjectStore.create(project, CLASSES) as store:
        add_paths(store, [folder])
        states = [(1, 0), (0, 1)] * (len(sizes) // 2) + [(1, 0)] * (len(sizes) % 2)
        store.set_labels(store.tiles().ids, np.array(states, np.int8))
    return Workshop(project)


@pytest.fixture(scope="session")
def finished_slide(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A slide of overlapping tiles through the whole loop; not to be changed."""
    workshop = make_slide_project(tmp_path_factory.mktemp("slide"), stride_px=40)
    for stage in CHAIN:
        workshop.run(stage)
    return workshop


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Tiles of different sizes through the whole loop; not to be changed."""
    workshop = make_folder_project(tmp_path_factory.mktemp("folder"))
    for stage in CHAIN:
        workshop.run(stage)
    return workshop


@pytest.fixture
def slide(finished_slide: Workshop, tmp_path: Path) -> Workshop:
    """A copy of the finished slide, to be changed at will."""
    return _copy(finished_slide, tmp_path)


@pytest.fixture
def folder(finished_folder: Workshop, tmp_path: Path) -> Workshop:
    """A copy of the finished folder, to be changed at will."""
    return _copy(finished_folder, tmp_path)


@pytest.fixture
def wide_folder(tmp_path: Path) -> Workshop:
    """Tiles of 112 pixels and less, which patches of 14 divide; nothing was run."""
    return make_folder_project(tmp_path, ((112, 112), (100, 96)) * 4)


def _copy(workshop: Workshop, target: Path) -> Workshop:
    # Images lie beside the project, which knows them by their relative paths.
    shutil.copytree(workshop.project.parent, target, dirs_exist_ok=True)
    return Workshop(target / workshop.project.name)
